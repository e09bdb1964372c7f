import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// What tests leave behind goes with the run. A short name: the paths of sockets are limited to some hundred characters.
const temporary = mkdtempSync(join(tmpdir(), 'hs-'));
process.env['TMPDIR'] = temporary;
process.once('exit', () => rmSync(temporary, { recursive: true, force: true }));

export default defineConfig({
  test: {
    include: ['{protocol,daemon,native}/**/*.test.ts', 'extension/**/*.test.ts'],
    exclude: ['extension/test/**', '**/node_modules/**'],
    globalSetup: ['esbuild.config.mjs'],
    // Two workers: the suites drive real engines and daemons, and the reference machine has two cores.
    pool: 'forks',
    poolOptions: { forks: { maxForks: 2 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
