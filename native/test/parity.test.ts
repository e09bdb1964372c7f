/** The numbers of transformers and peft, on every instruction set of this processor. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runParity } from '../bench/parity.ts';
import { loadNative } from '../index.ts';

const FIXTURES = join(import.meta.dirname, '../../testdata/parity');
const names = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);

describe.each(loadNative().isas)('%s', (isa) => {
  describe.each([1, 2])('%i threads', (threads) => {
    test.each(names)('%s agrees with transformers and peft', async (name) => {
      const report = await runParity(join(FIXTURES, name), { isa, threads });
      expect(report.fixtures.flatMap((fixture) => fixture.checks.filter((check) => !check.pass))).toEqual([]);
      expect(report.fixtures[0]?.checks.length).toBeGreaterThan(60);
      expect(report.pass).toBe(true);
    });
  });
});
