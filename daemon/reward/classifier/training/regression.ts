/**
 * The model: softmax regression over hashed features, logits = Σ value·table[id] + bias. A hidden
 * layer of 12 beside it was measured and did not carry over to unseen tools (docs/classifier.md).
 */
import type { Features } from '../features.ts';
import { BUCKETS } from '../features.ts';
import { POLARITIES } from '../corpus/record.ts';
import { Random } from '../corpus/random.ts';

export const CLASSES = POLARITIES.length;

export interface Regression {
  /** [BUCKETS, CLASSES] */
  table: Float32Array;
  /** [CLASSES] */
  bias: Float32Array;
}

export interface Example {
  features: Features;
  label: number;
  weight: number;
}

export interface TrainingSettings {
  seed: number;
  epochs: number;
  rate: number;
  /** Share of an example's features that each pass leaves out: no n-gram of one tool may decide alone. */
  dropout: number;
}

export const DEFAULT_TRAINING: TrainingSettings = { seed: 7, epochs: 12, rate: 0.08, dropout: 0.3 };

/** Stochastic gradient descent with Adagrad on the weighted cross-entropy, one example at a time, from zero. */
export function train(examples: readonly Example[], settings: TrainingSettings): Regression {
  const random = new Random(settings.seed);
  const model: Regression = { table: new Float32Array(BUCKETS * CLASSES), bias: new Float32Array(CLASSES) };
  const squares: Regression = { table: new Float32Array(BUCKETS * CLASSES), bias: new Float32Array(CLASSES) };
  for (let epoch = 0; epoch < settings.epochs; epoch++) {
    const rate = settings.rate * (1 - epoch / (settings.epochs + 1));
    for (const example of random.shuffle(examples)) descend(model, squares, thin(example, settings.dropout, random), rate);
  }
  return model;
}

function thin(example: Example, dropout: number, random: Random): Example {
  const { ids, values } = example.features;
  const kept: number[] = [];
  for (let i = 0; i < ids.length; i++) if (!random.chance(dropout)) kept.push(i);
  if (kept.length === 0) return example;
  const scale = Math.sqrt(ids.length / kept.length);
  return { ...example, features: { ids: Int32Array.from(kept, (i) => ids[i] ?? 0), values: Float32Array.from(kept, (i) => (values[i] ?? 0) * scale) } };
}

export function logitsOf({ table, bias }: Regression, { ids, values }: Features): number[] {
  const logits = Float64Array.from(bias);
  for (let i = 0; i < ids.length; i++) {
    const row = (ids[i] ?? 0) * CLASSES;
    const value = values[i] ?? 0;
    for (let k = 0; k < CLASSES; k++) logits[k] = (logits[k] ?? 0) + value * (table[row + k] ?? 0);
  }
  return Array.from(logits);
}

export function softmax(logits: readonly number[], temperature = 1): number[] {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - highest) / temperature));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

function descend(model: Regression, squares: Regression, { features, label, weight }: Example, rate: number): void {
  const wrong = Float64Array.from(softmax(logitsOf(model, features)), (p, k) => weight * (p - (k === label ? 1 : 0)));
  for (let k = 0; k < CLASSES; k++) adagrad(model.bias, squares.bias, k, wrong[k] ?? 0, rate);
  for (let i = 0; i < features.ids.length; i++) {
    const row = (features.ids[i] ?? 0) * CLASSES;
    const value = features.values[i] ?? 0;
    for (let k = 0; k < CLASSES; k++) adagrad(model.table, squares.table, row + k, value * (wrong[k] ?? 0), rate);
  }
}

function adagrad(weights: Float32Array, squares: Float32Array, at: number, slope: number, rate: number): void {
  const total = (squares[at] ?? 0) + slope * slope;
  squares[at] = total;
  weights[at] = (weights[at] ?? 0) - (rate * slope) / (Math.sqrt(total) + 1e-6);
}
