import { describe, expect, it } from 'vitest';
import { auc, calibrationError } from './scores.ts';

describe('auc', () => {
  it('is the chance that a positive outranks a negative, ties half', () => {
    expect(auc([0.1, 0.4, 0.35, 0.8], [false, false, true, true])).toBe(0.75);
    expect(auc([1, 2, 3], [false, true, true])).toBe(1);
    expect(auc([5, 5, 5, 5], [true, false, true, false])).toBe(0.5);
  });

  it('is unknown, not a number, where one kind is absent', () => {
    expect(auc([1, 2], [true, true])).toBeNaN();
  });
});

describe('calibrationError', () => {
  it('is the gap between confidence and accuracy, weighted by bin', () => {
    expect(calibrationError([0.95, 0.95], [true, true])).toBeCloseTo(0.05);
    expect(calibrationError([0.75, 0.75, 0.75, 0.75], [true, true, true, false])).toBeCloseTo(0);
    expect(calibrationError([1, 1], [true, false])).toBeCloseTo(0.5);
  });
});
