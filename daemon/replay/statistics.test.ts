import { describe, expect, it } from 'vitest';
import { generator } from '../random.ts';
import { comparedCommits, intervals, metricsOf, NO_TALLY, pairedDelta, perCommit } from './statistics.ts';
import type { Tally } from './statistics.ts';

const tally = (some: Partial<Tally>): Tally => ({ ...NO_TALLY, ...some });

const one = { method: 1, baseline: 1 };

/** About normal, mean 0, variance 1. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

describe('metrics', () => {
  it('are those of learning.md', () => {
    const sum = tally({ lines: 10, chars: 200, shown: 8, accepted: 4, acceptedChars: 64, exactLines: 3, nats: -150, bytes: 210 });
    expect(metricsOf(sum, 2)).toEqual({ charsSavedPct: 30, acceptedPct: 50, exactLinePct: 30, nextEditLogLikPerByte: -150 / 210, shown: 4 });
  });

  it('of nothing are 0, not NaN', () => {
    expect(Object.values(metricsOf(NO_TALLY, 1)).every((value) => value === 0)).toBe(true);
  });
});

describe('the comparison', () => {
  it('is of the last 30 % of the commits', () => {
    expect([comparedCommits(1), comparedCommits(10), comparedCommits(50)]).toEqual([1, 3, 15]);
  });

  it('averages seeds within a commit', () => {
    const summed = perCommit([[tally({ nats: -1, bytes: 1 }), tally({ nats: -2, bytes: 1 })], [tally({ nats: -3, bytes: 1 }), tally({ nats: -4, bytes: 1 })]]);
    expect(summed.map((t) => t.nats / t.bytes)).toEqual([-2, -3]);
  });

  it('of equal runs is exactly zero, and pairing removes what both share', () => {
    const random = generator(3);
    const commits = Array.from({ length: 20 }, () => tally({ nats: -100 * random(), bytes: 50 }));
    expect(pairedDelta(commits, commits, one).nextEditLogLikPerByte).toEqual({ mean: 0, lo: 0, hi: 0 });
    const better = commits.map((t) => tally({ ...t, nats: t.nats + 5 }));
    const delta = pairedDelta(better, commits, one).nextEditLogLikPerByte;
    for (const value of Object.values(delta)) expect(value).toBeCloseTo(0.1, 10);
    const own = intervals(commits, 1).nextEditLogLikPerByte;
    expect(own.hi - own.lo).toBeGreaterThan(0.2);
  });

  it('gives the same interval every time', () => {
    const commits = Array.from({ length: 9 }, (_, n) => tally({ chars: 100, acceptedChars: n * 3, accepted: 1 }));
    expect(intervals(commits, 1).charsSavedPct).toEqual(intervals(commits, 1).charsSavedPct);
  });

  it('covers the true difference about 95 times in 100', () => {
    const random = generator(7);
    const trials = 100;
    let covered = 0;
    for (let trial = 0; trial < trials; trial += 1) {
      const base = Array.from({ length: 40 }, () => tally({ nats: 10 * normal(random) - 100, bytes: 100 }));
      const method = base.map((t) => tally({ ...t, nats: t.nats + 3 + 4 * normal(random) }));
      const { lo, hi } = pairedDelta(method, base, one).nextEditLogLikPerByte;
      if (lo <= 0.03 && 0.03 <= hi) covered += 1;
    }
    expect(covered / trials).toBeGreaterThan(0.87);
    expect(covered / trials).toBeLessThan(0.99);
  });
});
