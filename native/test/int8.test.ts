/** What int8 costs in quality, on the bundled model: prompts are texts that the model itself wrote. On
 *  source code: daemon/engine/int8.test.ts. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { LossSettings, NativeModel, Tensor } from '../index.ts';
import { span } from './models.ts';

const SEED = join(import.meta.dirname, '../../testdata/models/seed');
const PROMPTS = process.env.HINDSIGHT_FULL ? 200 : 40;
const SETTINGS: LossSettings = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } };

async function texts(model: NativeModel): Promise<Int32Array[]> {
  const out: Int32Array[] = [];
  for (let i = 0; out.length < PROMPTS; i++) {
    const first = Int32Array.of(1 + ((i * 37) % (model.info.vocabSize - 1)));
    const { tokens } = await model.generate({ id: 1, prompt: first, maxTokens: 47, temperature: 0.8, seed: i });
    if (tokens.length > 30) out.push(Int32Array.of(...first, ...tokens));
  }
  return out;
}

/** @returns nats per token by the scoring path, which multiplies bytes by bf16; generation multiplies bytes by bytes. */
async function nats(model: NativeModel, ids: Int32Array): Promise<number> {
  const { logprobs } = await model.score({ ids, positions: span(1, ids.length) });
  return -logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length;
}

test('int8 serves nearly the text and the likelihood of fp32', async () => {
  const [fp32, int8] = [await loadNative().load({ dir: SEED }), await loadNative().load({ dir: SEED, dtype: 'int8' })];
  const prompts = await texts(fp32);
  let equal = 0;
  let total = 0;
  let [before, after] = [0, 0];
  for (const prompt of prompts) {
    const want = await fp32.generate({ id: 1, prompt, maxTokens: 16, temperature: 0 });
    const got = await int8.generate({ id: 1, prompt, maxTokens: 16, temperature: 0 });
    total += want.tokens.length;
    equal += want.tokens.filter((token, i) => got.tokens[i] === token).length;
    before += await nats(fp32, prompt);
    after += await nats(int8, prompt);
  }
  fp32.close();
  int8.close();
  const [same, perplexity] = [equal / total, Math.exp((after - before) / prompts.length)];
  console.info(`int8 on the seed: ${(100 * same).toFixed(1)} % equal greedy tokens, perplexity x ${perplexity.toFixed(4)}`);
  expect(same).toBeGreaterThanOrEqual(0.95);
  expect(perplexity).toBeLessThanOrEqual(1.01);
});

test('gradients through an int8 base are those of bf16 within 2 %', async () => {
  const gradients: Tensor[][] = [];
  for (const dtype of ['fp32', 'bf16', 'int8'] as const) {
    const model = await loadNative().load({ dir: SEED, dtype });
    const adapter = await model.createAdapter({ rank: 16, alpha: 32, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'], seed: 7 });
    const [ids] = await texts(model);
    if (ids) await model.forwardBackward(adapter, [{ ids: Int32Array.from({ length: 48 }, (_, i) => 1 + ((i * 37) % (model.info.vocabSize - 1))), temperature: 1, ce: { positions: span(1, 48) } }], SETTINGS);
    gradients.push(await model.gradients(adapter));
    model.close();
  }
  const distance = (a: Tensor[], b: Tensor[]) => {
    const difference = Math.hypot(...a.map((tensor, i) => Math.hypot(...tensor.data.map((value, j) => value - (b[i]?.data[j] ?? NaN)))));
    return difference / Math.hypot(...a.map((tensor) => Math.hypot(...tensor.data)));
  };
  const [fp32 = [], bf16 = [], int8 = []] = gradients;
  console.info(`gradient distance: bf16 from fp32 ${distance(fp32, bf16).toFixed(4)}, int8 from bf16 ${distance(bf16, int8).toFixed(4)}`);
  expect(distance(bf16, int8)).toBeLessThan(0.02);
});
