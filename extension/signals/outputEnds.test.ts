import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutputEnds } from './outputEnds.ts';

const endsOf = (chunks: readonly string[]): string => {
  const ends = new OutputEnds();
  for (const chunk of chunks) ends.write(chunk);
  return ends.text();
};

describe('the ends of an output', () => {
  it('are all of it while it is short, however it came', () => {
    fc.assert(fc.property(fc.array(fc.string()), (chunks) => endsOf(chunks) === chunks.join('')));
  });

  it('are whole lines of a long one, the first and the last among them, in bounded memory', () => {
    const lines = Array.from({ length: 200_000 }, (_, at) => `line ${at} of the output\n`);
    const kept = endsOf(lines);
    expect(kept.length).toBeLessThan(100_000);
    expect(kept.startsWith(lines[0] ?? '')).toBe(true);
    expect(kept.endsWith(lines.at(-1) ?? '')).toBe(true);
    for (const line of kept.split('\n').slice(0, -1)) expect(line).toMatch(/^(line \d+ of the output|\[…\])$/);
  });

  it('of one endless line are none of it: its middle is not known', () => {
    expect(endsOf(Array.from({ length: 1000 }, () => 'x'.repeat(1000)))).toBe('[…]\n');
  });
});
