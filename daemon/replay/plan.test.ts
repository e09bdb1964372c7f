import { describe, expect, it } from 'vitest';
import { planCommit, textAfter } from './plan.ts';
import type { StreamCommit } from './stream.ts';

const lines = Array.from({ length: 40 }, (_, n) => (n % 10 === 9 ? '\n' : `  line ${n};\n`));
const commit: StreamCommit = {
  commit: 'c',
  files: [
    { path: 'a.ts', base: 'head\ntail', hunks: [{ line: 1, removed: 0, added: lines }, { line: 41, removed: 1, added: ['tail\r\n', '\tend'] }] },
    { path: 'b.ts', base: '', hunks: [{ line: 0, removed: 0, added: lines.slice(0, 3) }] },
    { path: 'gone.ts', deleted: true, hunks: [] },
  ],
};

describe('the plan of a commit', () => {
  const measured = (max: number): number => planCommit(commit, new Map(), max).flatMap((f) => f.hunks.flatMap((h) => h.added)).filter((line) => line.measured).length;

  it('types every line, and leaves the text that the commit left', () => {
    const [a, b] = planCommit(commit, new Map(), 10);
    expect(a && textAfter(a)).toBe(`head\n${lines.join('')}tail\r\n\tend`);
    expect(b && textAfter(b)).toBe(lines.slice(0, 3).join(''));
  });

  it('measures at most the given number of lines, never a blank one, and the same ones every time', () => {
    expect(measured(10)).toBe(10);
    expect(measured(1000)).toBe(36 + 2 + 3);
    expect(planCommit(commit, new Map(), 10)).toEqual(planCommit(commit, new Map(), 10));
    const blanks = planCommit(commit, new Map(), 1000).flatMap((f) => f.hunks.flatMap((h) => h.added)).filter((line) => line.body === '');
    expect(blanks.some((line) => line.measured)).toBe(false);
  });

  it('measures in stretches', () => {
    const flags = planCommit(commit, new Map(), 12)[0]?.hunks[0]?.added.map((line) => line.measured) ?? [];
    const starts = flags.filter((flag, n) => flag && flags[n - 1] !== true).length;
    expect(starts).toBeLessThanOrEqual(4);
  });
});
