import { describe, expect, it } from 'vitest';
import { Backoff } from './backoff.ts';

const SETTINGS = { firstMs: 100, longestMs: 1000, goodAfterMs: 5000 };

describe('backoff', () => {
  it('doubles up to the longest wait and never falls under half of it', () => {
    const longest = new Backoff(SETTINGS, () => 1);
    expect([1, 2, 3, 4, 5, 6].map(() => longest.afterEnd(0))).toEqual([100, 200, 400, 800, 1000, 1000]);
    const shortest = new Backoff(SETTINGS, () => 0);
    expect([1, 2, 3, 4, 5].map(() => shortest.afterEnd(0))).toEqual([50, 100, 200, 400, 500]);
  });

  it('starts over after a connection that held, and not after one that flapped', () => {
    const backoff = new Backoff(SETTINGS, () => 1);
    backoff.afterEnd(0);
    backoff.afterEnd(0);
    expect(backoff.afterEnd(4999)).toBe(400);
    expect(backoff.afterEnd(5000)).toBe(100);
  });
});
