import { describe, expect, it } from 'vitest';
import { AT_REST, delayAt, isQuiet, LEAST_DELAY_MS, MOST_DELAY_MS, paceAfter, QUIET_AFTER, QUIET_MS } from './pace.ts';
import type { Pace } from './pace.ts';

const NOW = 1_790_000_000_000;
const after = (outcomes: string, pace: Pace = AT_REST): Pace => [...outcomes].reduce((now, one) => paceAfter(now, one === '+' ? 'accepted' : 'rejected', NOW), pace);

describe('the wait for the next key', () => {
  it('is half as long again after each rejection and a fifth shorter after each acceptance, within its bounds', () => {
    expect(delayAt(after('--'), NOW)).toBeCloseTo(LEAST_DELAY_MS * 1.5 * 1.5);
    expect(delayAt(after('--+'), NOW)).toBeCloseTo(LEAST_DELAY_MS * 1.5 * 1.5 * 0.8);
    expect(delayAt(after('+++++'), NOW)).toBe(LEAST_DELAY_MS);
    expect(delayAt(after('-'.repeat(200)), NOW)).toBe(MOST_DELAY_MS);
  });

  it('goes back to what it was at rest while nothing happens', () => {
    const slow = after('-'.repeat(19));
    const delays = [0, 1, 2, 5, 20].map((minutes) => delayAt(slow, NOW + 60_000 * minutes));
    expect(delays).toEqual(delays.toSorted((a, b) => b - a));
    expect(delays[1]).toBeCloseTo(LEAST_DELAY_MS + ((delays[0] ?? 0) - LEAST_DELAY_MS) / 2);
    expect(delays.at(-1)).toBeCloseTo(LEAST_DELAY_MS, 0);
  });
});

describe('quiet', () => {
  it('comes with many rejections in a row, none taken between them, and ends by itself', () => {
    const almost = after('-'.repeat(QUIET_AFTER - 1));
    expect(isQuiet(almost, NOW)).toBe(false);
    expect(isQuiet(after('+' + '-'.repeat(QUIET_AFTER - 1), almost), NOW)).toBe(false);
    const quiet = after('-', almost);
    expect([isQuiet(quiet, NOW), isQuiet(quiet, NOW + QUIET_MS - 1), isQuiet(quiet, NOW + QUIET_MS)]).toEqual([true, true, false]);
    expect(isQuiet(paceAfter(quiet, 'rejected', NOW + QUIET_MS), NOW + QUIET_MS), 'it takes as many again').toBe(false);
  });

  it('ends at once when a suggestion that was asked for is taken', () => {
    expect(isQuiet(after('-'.repeat(QUIET_AFTER) + '+'), NOW)).toBe(false);
  });
});
