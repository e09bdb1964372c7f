/** Requests in one batch get what they get alone, whatever adapters they use and whoever joins. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { Dtype, GenerateRequest, GenerateResult, NativeModel } from '../index.ts';
import { randomIds, SMALL, writeAdapterFolder, writeModel } from './models.ts';

const shape = { ...SMALL, tied: false, maxPositions: 400 };
const dir = writeModel(shape);
const adapterDir = writeAdapterFolder(shape);

describe.each(['fp32', 'bf16', 'int8'] as const)('%s', (dtype: Dtype) => {
  let model: NativeModel;
  const adapters = [0];
  let id = 0;
  const ask = (request: Partial<GenerateRequest>) => model.generate({ id: ++id, prompt: randomIds(shape, 40), maxTokens: 24, temperature: 0, ...request });

  beforeAll(async () => {
    model = await loadNative().load({ dir, dtype, threads: 2 });
    adapters.push(await model.loadAdapter(adapterDir));
    for (let seed = 1; seed < 3; seed++) {
      const adapter = await model.loadAdapter(adapterDir, true);
      const positions = Int32Array.from({ length: 20 }, (_, i) => i + 1);
      const divisor = { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 };
      await model.forwardBackward(adapter, [{ ids: randomIds(shape, 30, seed), temperature: 1, ce: { positions } }], { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor });
      await model.optimStep(adapter, { lr: 0.02, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
      adapters.push(adapter);
    }
  });
  afterAll(() => model.close());

  test('tokens and log-probs are those of a request alone, bit for bit', async () => {
    const requests = Array.from({ length: 20 }, (_, i): Partial<GenerateRequest> => ({
      prompt: randomIds(shape, 3 + ((i * 17) % 90), i), maxTokens: 5 + ((i * 7) % 30), adapter: adapters[i % 4] ?? 0, temperature: i % 3 === 0 ? 0 : 0.9, seed: i, priority: i % 2,
    }));
    const alone: GenerateResult[] = [];
    for (const request of requests) alone.push(await ask(request));
    await model.clearCache();
    const before = model.metrics();
    const together = await Promise.all(requests.map((request) => ask(request)));
    const after = model.metrics();
    together.forEach((result, i) => {
      expect(result.tokens).toEqual(alone[i]?.tokens);
      expect(result.logprobs).toEqual(alone[i]?.logprobs);
    });
    const made = together.reduce((sum, { tokens }) => sum + tokens.length, 0);
    expect(after.decodePasses - before.decodePasses).toBeLessThan(made / 2);
    expect(new Set(alone.map(({ tokens }) => tokens.slice(0, 5).join())).size).toBeGreaterThan(10);
  });

  test('one request of each of eight adapters: they share their passes', async () => {
    const eight = [...adapters];
    while (eight.length < 8) eight.push(await model.loadAdapter(adapterDir));
    const maxTokens = 240, before = model.metrics();
    const together = await Promise.all(eight.map((adapter, seed) => ask({ adapter, maxTokens, temperature: 1, seed, speculate: false })));
    const after = model.metrics();
    for (const adapter of eight.slice(adapters.length)) await model.deleteAdapter(adapter);
    expect(together.map(({ tokens }) => tokens.length)).toEqual(Array.from(eight, () => maxTokens));
    // 239 at best, 1912 if each adapter had passes of its own; requests that a busy machine starts late share fewer.
    expect(after.decodePasses - before.decodePasses).toBeLessThan(4 * maxTokens);
  });

  test('a cancelled request leaves, and the others go on unchanged', async () => {
    const alone = await ask({ maxTokens: 60, adapter: adapters[1] ?? 0 });
    const gone = ask({ maxTokens: 300, prompt: randomIds(shape, 20, 5) });
    const victim = id;
    const stays = ask({ maxTokens: 60, adapter: adapters[1] ?? 0 });
    setTimeout(() => model.cancel(victim), 5);
    expect((await stays).tokens).toEqual(alone.tokens);
    expect(['cancelled', 'length']).toContain((await gone).finishReason);
  });

  test.each([0, 0.7])('prompt lookup at temperature %d: same text, fewer passes where the text repeats', async (temperature) => {
    // A prompt that holds the response already, as that of an edit does.
    const start = randomIds(shape, 30, 9);
    const { tokens: body } = await ask({ prompt: start, maxTokens: 60, speculate: false });
    const prompt = Int32Array.of(...start, ...body, ...start, ...body.subarray(0, 4));
    const request = { prompt, maxTokens: 50, temperature, seed: 3 };
    const plain = await ask({ ...request, speculate: false });
    const drafted = await ask(request);
    expect(drafted.tokens).toEqual(plain.tokens);
    expect(drafted.logprobs).toEqual(plain.logprobs);
    expect(plain.draftedTokens).toBe(0);
    expect(drafted.acceptedTokens).toBeLessThanOrEqual(drafted.draftedTokens);
    // Greedy text of a random model runs into loops, which lookup foresees.
    if (temperature === 0) expect(drafted.acceptedTokens).toBeGreaterThan(5);
  });
});
