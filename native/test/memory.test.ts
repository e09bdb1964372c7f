/** Training within a memory bound: layers are computed twice, and nothing else changes. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { Dtype, LossSettings, NativeModel, Tensor } from '../index.ts';
import { randomIds, span, TARGETS, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const MB = 1e6;
const shape: Shape = { architecture: 'qwen3', vocab: 211, hidden: 64, layers: 16, heads: 4, kvHeads: 2, headDim: 16, intermediate: 256, maxPositions: 4096, tied: true };
const dir = writeModel(shape);
const ids = randomIds(shape, 800);
const settings: LossSettings = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } };
const open: NativeModel[] = [];
afterAll(() => open.forEach((model) => model.close()));

async function gradients(dtype: Dtype, memoryBytes?: number): Promise<{ checkpointed: number; tensors: Tensor[] }> {
  const model = await loadNative().load({ dir, dtype, threads: 2, ...(memoryBytes && { memoryBytes }) });
  open.push(model);
  const adapter = await model.createAdapter({ rank: 4, alpha: 8, targets: TARGETS, seed: 3 });
  // A second step: the first leaves B at zero and A without a gradient.
  for (let step = 0; step < 2; step++) {
    const { checkpointed } = await model.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions: span(1, ids.length) } }], settings);
    if (step === 1) return { checkpointed, tensors: await model.gradients(adapter) };
    await model.optimStep(adapter, { lr: 1e-2, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 0 });
  }
  throw new Error('unreachable');
}

describe.each(['fp32', 'bf16', 'int8'] as const)('%s', (dtype) => {
  test('checkpointed layers give the same gradient to the last bit', async () => {
    const whole = await gradients(dtype);
    const bounded = await gradients(dtype, process.memoryUsage().rss + 40 * MB);
    expect(whole.checkpointed).toBe(0);
    expect(bounded.checkpointed).toBeGreaterThan(0);
    expect(bounded.tensors).toEqual(whole.tensors);
    expect(Math.max(...whole.tensors.map(({ data }) => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0)))).toBeGreaterThan(0);
  });
});

test('a sequence that cannot fit is refused with what it takes, and nothing is lost', async () => {
  await expect(gradients('bf16', process.memoryUsage().rss + 5 * MB)).rejects.toThrow(/Training on a sequence of 800 tokens takes \d+ MB even with every layer checkpointed/);
});

test('short sequences that would share a pass are trained apart where together they do not fit', async () => {
  const wide: Shape = { ...shape, layers: 2, hidden: 128, intermediate: 4096 };
  const folder = writeModel(wide);
  const short = [0, 1, 2, 3].map((seed) => randomIds(wide, 64 + seed));
  const train = async (sequences: Int32Array[], memoryBytes?: number): Promise<{ tokens: number; tensors: Tensor[] }> => {
    const model = await loadNative().load({ dir: folder, dtype: 'fp32', threads: 2, ...(memoryBytes && { memoryBytes }) });
    try {
      const adapter = await model.createAdapter({ rank: 4, alpha: 8, targets: TARGETS, seed: 3 });
      const { tokens } = await model.forwardBackward(adapter, sequences.map((one) => ({ ids: one, temperature: 1, ce: { positions: span(1, one.length) } })), settings);
      return { tokens, tensors: await model.gradients(adapter) };
    } finally {
      model.close();
    }
  };
  const whole = Int32Array.from(short.flatMap((one) => [...one]));
  const refused = await train(short.slice(-1), MB).then(() => '', String);
  const bound = (Number(/takes (\d+) MB/.exec(refused)?.[1]) + 10) * MB;
  await expect(train([whole], bound)).rejects.toThrow(/takes \d+ MB even with every layer checkpointed/);
  const apart = await train(short, bound);
  const together = await train(short);
  expect(apart.tokens).toBe(whole.length);
  for (const [index, { data }] of together.tensors.entries()) {
    const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    data.forEach((value, at) => expect(Math.abs(value - (apart.tensors[index]?.data[at] ?? NaN))).toBeLessThanOrEqual(1e-5 * largest));
  }
});

test('a process of its own stays within the bound', async () => {
  const train = async (...flags: string[]): Promise<{ peakRssBytes: number; pass: boolean }> => {
    const args = [path.join(import.meta.dirname, '../../dist/hindsight.js'), 'bench', 'train', '--model', dir, '--dtype', 'bf16', '--seq', '1500', '--batch', '1', '--runs', '2', '--rank', '4', '--threads', '2', '--json', '-', ...flags];
    return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout) as { peakRssBytes: number; pass: boolean };
  };
  const free = await train();
  const bound = Math.round((free.peakRssBytes - 50 * MB) / MB);
  const bounded = await train('--memory', `${bound}MB`);
  expect(bounded.pass).toBe(true);
  expect(bounded.peakRssBytes).toBeLessThan(bound * MB);
});
