/** Odd shapes, storage types and shards: every instruction set against the reference path. */
import { describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { Isa, Tensor } from '../index.ts';
import { maxDifference, randomIds, span, writeAdapterFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const shapes: Record<string, Shape> = {
  'one head, prime vocabulary': { architecture: 'llama', vocab: 101, hidden: 20, layers: 1, heads: 1, kvHeads: 1, headDim: 20, intermediate: 33 },
  'three heads, head_dim over hidden/heads': { architecture: 'qwen3', vocab: 509, hidden: 36, layers: 2, heads: 3, kvHeads: 3, headDim: 22, intermediate: 50, tied: true },
  'five query heads on one key head': { architecture: 'qwen2', vocab: 337, hidden: 50, layers: 2, heads: 5, kvHeads: 1, headDim: 10, intermediate: 71 },
  'nine heads on three': { architecture: 'llama', vocab: 1009, hidden: 72, layers: 3, heads: 9, kvHeads: 3, headDim: 8, intermediate: 100, tied: true },
  'Llama with every bias': { architecture: 'llama', vocab: 257, hidden: 44, layers: 2, heads: 2, kvHeads: 2, headDim: 22, intermediate: 61, biases: true },
  'bf16 in three shards': { architecture: 'qwen3', vocab: 131, hidden: 64, layers: 2, heads: 4, kvHeads: 2, headDim: 32, intermediate: 96, dtype: 'BF16', shards: 3 },
  'fp16, old rope spelling': {
    architecture: 'llama', vocab: 199, hidden: 40, layers: 2, heads: 4, kvHeads: 2, headDim: 10, intermediate: 64, dtype: 'F16',
    config: { rope_theta: 500000, rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 } },
  },
};

async function everything(dir: string, adapterDir: string, isa: Isa, threads: number, vocab: number): Promise<{ logits: Float32Array; gradients: Tensor[]; greedy: Int32Array }> {
  const model = await loadNative().load({ dir, isa, threads });
  try {
    const ids = randomIds({ vocab }, 75);
    const adapter = await model.loadAdapter(adapterDir, true);
    const { logits } = await model.score({ ids, positions: span(1, 75), adapter, logits: true });
    const positions = span(20, 75);
    await model.forwardBackward(adapter, [{ ids, temperature: 0.8, ce: { positions }, pg: { positions, advantages: Float32Array.from(positions, (p) => Math.sin(p)) }, kl: { positions } }], {
      clipLow: 0.2, clipHigh: 0.28, klBeta: 0.1, ceLambda: 0.5, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 },
    });
    const gradients = await model.gradients(adapter);
    const { tokens } = await model.generate({ id: 1, prompt: ids, maxTokens: 12, temperature: 0, adapter });
    return { logits, gradients, greedy: tokens };
  } finally {
    model.close();
  }
}

describe.each(Object.entries(shapes))('%s', (_, shape) => {
  const dir = writeModel(shape);
  const adapterDir = writeAdapterFolder(shape, { rank: 5, alpha: 7 });
  const plain = everything(dir, adapterDir, 'reference', 1, shape.vocab);

  test.each(loadNative().isas.filter((isa) => isa !== 'reference').flatMap((isa) => [1, 2, 3].map((threads) => [isa, threads] as const)))('%s on %i threads agrees with the reference', async (isa, threads) => {
    const [fast, expected] = [await everything(dir, adapterDir, isa, threads, shape.vocab), await plain];
    expect(maxDifference(fast.logits, expected.logits)).toBeLessThan(1e-4);
    expect(fast.greedy).toEqual(expected.greedy);
    for (const [i, tensor] of expected.gradients.entries()) {
      const scale = tensor.data.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      expect(scale).toBeGreaterThan(0);
      expect(maxDifference(fast.gradients[i]?.data ?? [], tensor.data) / scale, tensor.name).toBeLessThan(1e-3);
    }
  });
});

test('storage type changes the fingerprint, sharding does not', async () => {
  const shape = shapes['bf16 in three shards'];
  if (!shape) throw new Error('shape');
  const fingerprints = [];
  for (const variant of [shape, { ...shape, shards: 1 }, { ...shape, dtype: 'F32' as const }]) {
    const model = await loadNative().load({ dir: writeModel(variant), threads: 1 });
    fingerprints.push(model.info.fingerprint);
    model.close();
  }
  expect(fingerprints[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(fingerprints[1]).toBe(fingerprints[0]);
  expect(fingerprints[2]).not.toBe(fingerprints[0]);
});
