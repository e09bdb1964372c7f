import { describe, expect, it } from 'vitest';
import { episodeAdvantages, stepReturn } from './episodes.ts';

describe('episodes with an outcome', () => {
  it('R_t = o + mean(valid step verdicts); without a valid verdict the outcome alone', () => {
    expect(stepReturn({ outcome: 1, verdicts: [1, -1, 1, 1] })).toBe(1.5);
    expect(stepReturn({ outcome: -1, verdicts: [] })).toBe(-1);
  });

  it('are z-scored within (task, step index), by the population', () => {
    const advantages = episodeAdvantages([
      { task: 'a', step: 0, verdicts: [1], outcome: 1 },
      { task: 'a', step: 0, verdicts: [-1], outcome: -1 },
      { task: 'a', step: 0, verdicts: [], outcome: 1 },
      { task: 'b', step: 0, verdicts: [1], outcome: 1 },
    ]);
    // Returns 2, -2, 1: mean 1/3, population deviation sqrt(26/9).
    const deviation = Math.sqrt(26 / 9);
    expect(advantages[0]).toBeCloseTo(5 / 3 / deviation, 5);
    expect(advantages[1]).toBeCloseTo(-7 / 3 / deviation, 5);
    expect(advantages[2]).toBeCloseTo(2 / 3 / deviation, 5);
    const bucket = advantages.slice(0, 3).map(Number);
    expect(bucket.reduce((sum, a) => sum + a, 0)).toBeCloseTo(0, 9);
  });

  it('a bucket of equal returns is dropped, a single one is 0', () => {
    expect(episodeAdvantages([{ task: 'a', step: 1, verdicts: [1], outcome: 1 }, { task: 'a', step: 1, verdicts: [1], outcome: 1 }, { task: 'a', step: 2, verdicts: [1], outcome: -1 }])).toEqual([null, null, 0]);
  });

  it('steps of different tasks or places never meet', () => {
    expect(episodeAdvantages([{ task: 'a', step: 0, verdicts: [], outcome: 1 }, { task: 'b', step: 0, verdicts: [], outcome: -1 }, { task: 'a', step: 1, verdicts: [], outcome: -1 }])).toEqual([0, 0, 0]);
  });
});
