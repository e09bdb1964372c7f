import { describe, expect, it } from 'vitest';
import { hold, nextPace, readPace } from './pace.ts';
import type { Pace } from './pace.ts';

const report = (passed: boolean, decidedBy: 'heldOut' | 'golden', goldenChange = 0): Parameters<typeof nextPace>[1] => ({ passed, decidedBy, goldenChange });
const after = (pace: Pace, ...reports: Parameters<typeof nextPace>[1][]): Pace => reports.reduce(nextPace, pace);
const NEW = readPace({ get: () => undefined }, 'w');

describe('the pace of learning', () => {
  it('is a quarter until held-out edits decide, however well it goes', () => {
    expect(NEW.share).toBe(0.25);
    expect(after(NEW, ...Array.from({ length: 20 }, () => report(true, 'golden'))).share).toBe(0.25);
  });

  it('grows to the full rate with held-out edits, and halves with every refusal, never to nothing', () => {
    expect(after(NEW, ...Array.from({ length: 9 }, () => report(true, 'heldOut'))).share).toBe(1);
    expect(after(NEW, report(false, 'heldOut')).share).toBe(0.125);
    expect(after(NEW, ...Array.from({ length: 50 }, () => report(false, 'golden'))).share).toBeGreaterThan(0);
  });

  it('holds to the base ten times as strongly at the bound of what may be forgotten as far from it', () => {
    expect(hold(after(NEW, report(true, 'golden', 0.01)))).toBe(10);
    expect(hold(after(NEW, report(true, 'golden', 0.002)))).toBeLessThan(1.5);
    expect(hold(after(NEW, report(true, 'golden', -0.01)))).toBe(1);
    // What was refused does not serve: nothing more is forgotten.
    expect(hold(after(NEW, report(true, 'golden', 0.009), report(false, 'golden', 0.02)))).toBeLessThan(10);
  });
});
