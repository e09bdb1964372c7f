import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { delta, reportedKl, spliceTarget, support } from './distill.ts';
import { summary } from './informativeness.ts';

const logs = (probabilities: number[]): number[] => probabilities.map(Math.log);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const distribution = fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 2, maxLength: 12 }).map((raw) => raw.map((value) => value / sum(raw)));

describe('support', () => {
  it('is the top-K and the developer’s token, lifted to its floor before renormalising', () => {
    const found = support([1, 2], logs([0.6, 0.3]), { token: 9, logprob: Math.log(0.0001) }, 0.05);
    expect(found?.tokens).toEqual([1, 2, 9]);
    expect(found?.weights[2]).toBeCloseTo(0.05 / 1.05, 3);
    expect(sum(found?.weights ?? [])).toBeCloseTo(1);
  });

  it('leaves a developer’s token that is already likely as it is, and lists it once', () => {
    const found = support([1, 9], logs([0.5, 0.5]), { token: 9, logprob: Math.log(0.5) }, 0.05);
    expect(found).toMatchObject({ tokens: [1, 9], weights: [0.5, 0.5] });
  });

  it('never turns unknown into a number', () => {
    expect(support([1, 2], [null, Math.log(0.3)], { token: 9, logprob: null }, 0.05)?.tokens).toEqual([2]);
    expect(support([], [], { token: 9, logprob: null }, 0.05)).toBeNull();
    expect(delta([null, -1], [-2, -2], 1)).toEqual([null, 1]);
    expect(spliceTarget([1], [null], { token: 9, logprob: null }, 0.05)).toBeNull();
  });
});

describe('advantage of distillation', () => {
  it('is teacher minus student, within ±1', () => {
    expect(delta([-1, -9, -0.5], [-1.5, -1, -5], 1)).toEqual([0.5, -1, 1]);
  });
});

describe('splice target', () => {
  it('is a distribution in which the developer’s token has its floor and the rest its proportions', () => {
    fc.assert(
      fc.property(distribution, fc.nat(11), fc.double({ min: 0, max: 0.9, noNaN: true }), (probabilities, pick, floor) => {
        const token = pick % probabilities.length;
        const target = spliceTarget(probabilities.map((_, index) => index), logs(probabilities), { token, logprob: Math.log(probabilities[token] ?? 0) }, floor);
        expect(sum(target?.targets ?? [])).toBeCloseTo(1);
        expect(target?.targets[token]).toBeCloseTo(Math.max(floor, probabilities[token] ?? 0));
      }),
    );
  });
});

describe('reported KL', () => {
  it('conformance 16: is not negative, 0 for equals, and no more than the full KL', () => {
    fc.assert(
      fc.property(distribution, distribution, fc.integer({ min: 1, max: 12 }), (p, q, k) => {
        const size = Math.min(p.length, q.length);
        const [a, b] = [p, q].map((raw) => raw.slice(0, size).map((value) => value / sum(raw.slice(0, size))));
        if (!a || !b) return;
        const full = sum(a.map((value, index) => value * Math.log(value / (b[index] ?? 1))));
        const reported = reportedKl(logs(a.slice(0, k)), logs(b.slice(0, k)));
        expect(reported).toBeGreaterThanOrEqual(0);
        expect(reported).toBeLessThanOrEqual(full + 1e-6);
        expect(reportedKl(logs(a.slice(0, k)), logs(a.slice(0, k)))).toBeCloseTo(0, 9);
      }),
    );
  });
  it('is unknown where a number is', () => expect(reportedKl([Math.log(0.5), null], [Math.log(0.5), -1])).toBeNull());
});

describe('informativeness', () => {
  it('has an interval that covers the mean, and none from one value', () => {
    const found = summary([0.1, 0.3, 0.5, 0.3], 'journal');
    expect(found.mean).toBeCloseTo(0.3);
    expect(found.lo).toBeLessThan(0.3);
    expect(summary([0.4], 'journal').lo).toBe(-Infinity);
  });
});
