/** Weights in bf16 and int8: every instruction set against the plain path, and paths against each other. */
import { describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { Dtype, Isa, LossSettings, Tensor } from '../index.ts';
import { maxDifference, randomIds, span, writeAdapterFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const SETTINGS: LossSettings = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0.1, ceLambda: 0.5, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } };
const shapes: Record<string, Shape> = {
  'prime sizes': { architecture: 'qwen2', vocab: 337, hidden: 50, layers: 2, heads: 5, kvHeads: 1, headDim: 10, intermediate: 71, tied: true },
  'several panels': { architecture: 'llama', vocab: 509, hidden: 192, layers: 2, heads: 6, kvHeads: 2, headDim: 32, intermediate: 640, biases: true },
};

interface Outcome {
  logits: Float32Array;
  gradients: Tensor[];
  served: Float32Array;
}

async function everything(dir: string, adapterDir: string, load: { isa: Isa; dtype: Dtype; threads: number }, vocab: number): Promise<Outcome> {
  const model = await loadNative().load({ dir, ...load });
  try {
    const ids = randomIds({ vocab }, 75);
    const adapter = await model.loadAdapter(adapterDir, true);
    const { logits } = await model.score({ ids, positions: span(1, 75), adapter, logits: true });
    const positions = span(20, 75);
    await model.forwardBackward(adapter, [{ ids, temperature: 0.8, ce: { positions }, pg: { positions, advantages: Float32Array.from(positions, (p) => Math.sin(p)) }, kl: { positions } }], SETTINGS);
    const { logprobs } = await model.generate({ id: 1, prompt: ids, maxTokens: 1, temperature: 0, adapter });
    return { logits, gradients: await model.gradients(adapter), served: logprobs };
  } finally {
    model.close();
  }
}

/** Largest difference over all tensors, relative to each tensor's size (Euclidean). */
function gradientError(a: Tensor[], b: Tensor[]): number {
  return Math.max(...a.map((tensor, i) => {
    const other = b[i]?.data ?? new Float32Array();
    const size = Math.hypot(...tensor.data);
    expect(size).toBeGreaterThan(0);
    return Math.hypot(...tensor.data.map((value, j) => value - (other[j] ?? NaN))) / size;
  }));
}

describe.each(Object.entries(shapes))('%s', (_, shape) => {
  const dir = writeModel(shape);
  const adapterDir = writeAdapterFolder(shape, { rank: 5, alpha: 7 });

  describe.each(['bf16', 'int8'] as const)('%s', (dtype) => {
    const plain = everything(dir, adapterDir, { isa: 'reference', dtype, threads: 1 }, shape.vocab);
    test.each(loadNative().isas.filter((isa) => isa !== 'reference').flatMap((isa) => [1, 2].map((threads) => [isa, threads] as const)))('%s on %i threads agrees with the reference', async (isa, threads) => {
      const [fast, expected] = [await everything(dir, adapterDir, { isa, dtype, threads }, shape.vocab), await plain];
      // Both round at the same places, but their fp32 sums differ in the last bits, which can tip the
      // rounding of a later input by one unit of bf16 (2^-8). The largest logit here is 26: half a unit
      // of it is 0.05. Gradients pass a row of 50 numbers through 28 products: measured 0.021 at worst.
      expect(maxDifference(fast.logits, expected.logits)).toBeLessThan(0.05);
      expect(gradientError(fast.gradients, expected.gradients)).toBeLessThan(0.03);
    });
    test('threads do not change a bit', async () => {
      const isa = loadNative().isas.at(-1) ?? 'portable';
      const [one, three] = [await everything(dir, adapterDir, { isa, dtype, threads: 1 }, shape.vocab), await everything(dir, adapterDir, { isa, dtype, threads: 3 }, shape.vocab)];
      expect(maxDifference(one.logits, three.logits)).toBe(0);
      expect(gradientError(one.gradients, three.gradients)).toBe(0);
      expect(one.served).toEqual(three.served);
    });
  });

  test('bf16 is near fp32', async () => {
    const isa = loadNative().isas.at(-1) ?? 'portable';
    const fp32 = await everything(dir, adapterDir, { isa, dtype: 'fp32', threads: 1 }, shape.vocab);
    const bf16 = await everything(dir, adapterDir, { isa, dtype: 'bf16', threads: 1 }, shape.vocab);
    expect(maxDifference(bf16.logits, fp32.logits)).toBeLessThan(0.15);
    // Not a bound of the method but of these models: 0.026 and 0.011, by the reference path as by the kernels.
    expect(gradientError(fp32.gradients, bf16.gradients)).toBeLessThan(0.05);
  });

  test.each(['bf16', 'int8'] as const)('%s: the trainer computes the log-probs that scoring gives, and bf16 those that were served', async (dtype) => {
    const model = await loadNative().load({ dir, dtype });
    const adapter = await model.loadAdapter(adapterDir, true);
    const prompt = randomIds(shape, 40);
    const served = await model.generate({ id: 1, prompt, maxTokens: 12, temperature: 1, seed: 3, adapter });
    const ids = Int32Array.of(...prompt, ...served.tokens);
    const positions = span(40, 40 + served.tokens.length);
    const scored = await model.score({ ids, positions, adapter });
    const trained = await model.forwardBackward(adapter, [{ ids, temperature: 1, pg: { positions, advantages: new Float32Array(positions.length) } }], SETTINGS);
    model.close();
    expect(trained.pgLogprobs).toEqual(scored.logprobs);
    if (dtype === 'bf16') expect(served.logprobs).toEqual(scored.logprobs);
    else expect(maxDifference(served.logprobs, scored.logprobs)).toBeLessThan(0.3);
  });
});
