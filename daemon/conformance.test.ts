/** The method's conformance list has 27 lines, and each is a test that names it ("conformance 12, 27: …"). */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const LINES = 27;

it('every line of the conformance list is named by a test', () => {
  const files = ['daemon', 'native/test'].flatMap((root) => readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => path.join(root, name))).filter((name) => name.endsWith('.test.ts') && name !== path.join('daemon', 'conformance.test.ts'));
  const titles = files.flatMap((name) => [...readFileSync(name, 'utf8').matchAll(/\b(?:it|test|describe)\b[^\n]*?['`"(][^'`"\n]*conformance (\d[\d, ]*)/g)].map((match) => match[1] ?? ''));
  const named = new Set(titles.flatMap((numbers) => numbers.split(',').map(Number)));
  expect(Array.from({ length: LINES }, (_, index) => index + 1).filter((line) => !named.has(line))).toEqual([]);
});
