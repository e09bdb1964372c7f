// usage: summary.mjs LOG STATUS. Sums the closing lines of vitest ("Tests  3 failed | 64 passed (67)")
// and of the editor suite ("editor: 12 passed, 0 failed"); exits with STATUS, or 1 if nothing ran.
import { readFileSync } from 'node:fs';

const [log, status] = process.argv.slice(2);
const text = readFileSync(log, 'utf8').replace(/\x1b\[[0-9;]*m/g, '');
let passed = 0;
let failed = 0;
for (const line of text.split('\n')) {
  const runner = /^\s*Tests\s+(.*)\(\d+\)/.exec(line)?.[1] ?? /^editor: (.*)$/.exec(line)?.[1];
  if (!runner) continue;
  passed += Number(/(\d+) passed/.exec(runner)?.[1] ?? 0);
  failed += Number(/(\d+) failed/.exec(runner)?.[1] ?? 0);
}
let code = Number(status);
if (code !== 0 && failed === 0) failed = 1;
if (passed === 0) code ||= 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(code);
