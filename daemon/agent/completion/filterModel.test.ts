import { describe, expect, it } from 'vitest';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { fitLogistic, logOdds, sigmoid } from './filterModel.ts';

const uniform = (random: Random): number => random.next() * 2 - 1;

describe('fitLogistic', () => {
  it('recovers the weights that made the labels', () => {
    const random = new Random(1);
    const rows = Array.from({ length: 6000 }, () => [uniform(random), 10 * uniform(random)]);
    const labels = rows.map(([a = 0, b = 0]) => random.chance(sigmoid(0.5 + 2 * a - 0.3 * b)));
    const model = fitLogistic(rows, labels, 0.01);
    const weights = model.weights.map((weight, j) => weight / (model.scale[j] ?? 1));
    expect(weights[0]).toBeCloseTo(2, 0);
    expect(weights[1]).toBeCloseTo(-0.3, 1);
    expect(logOdds(model, [0, 0])).toBeCloseTo(0.5, 0);
  });

  it('stays finite where a feature never varies or separates perfectly', () => {
    const model = fitLogistic([[1, 5], [2, 5], [3, 5], [4, 5]], [false, false, true, true], 1);
    expect([...model.weights, model.bias].every(Number.isFinite)).toBe(true);
    expect(logOdds(model, [4, 5])).toBeGreaterThan(logOdds(model, [1, 5]));
  });
});
