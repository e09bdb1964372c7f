/** Generation, scoring and the prefix cache tell one story. Numbers refer to docs/learning.md. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { GenerateRequest, NativeModel } from '../index.ts';
import { maxDifference, randomIds, SMALL, span, writeAdapterFolder, writeModel } from './models.ts';

// Untied: a random tied head would repeat its input with near certainty.
const shape = { ...SMALL, tied: false, maxPositions: 400 };
const dir = writeModel(shape);
const adapterDir = writeAdapterFolder(shape);
const prompt = randomIds(shape, 150);
let model: NativeModel;
let adapter: number;
let nextId = 1;

beforeAll(async () => {
  model = await loadNative().load({ dir, threads: 2 });
  adapter = await model.loadAdapter(adapterDir);
  model.setVocabulary(Array.from({ length: shape.vocab }, (_, i) => Buffer.from(`<${i}>`)));
});
afterAll(() => model.close());

const generate = (request: Partial<GenerateRequest> = {}, onToken?: (token: number, logprob: number) => void) =>
  model.generate({ id: nextId++, prompt, maxTokens: 20, temperature: 0, ...request }, onToken);

describe('conformance 9, 11: score path = generation path', () => {
  test.each([[0, 1], [0.7, 0.7], [1.3, 0.9]])('temperature %d, log-probs at %d', async (temperature, logprobTemperature) => {
    const made = await generate({ temperature, logprobTemperature, seed: 3, adapter });
    const ids = Int32Array.of(...prompt, ...made.tokens);
    await model.clearCache();
    const scored = await model.score({ ids, positions: span(prompt.length, ids.length), temperature: logprobTemperature, adapter });
    expect(made.tokens.length).toBe(20);
    expect(maxDifference(made.logprobs, scored.logprobs)).toBe(0);
    const off = await model.score({ ids, positions: span(prompt.length, ids.length), temperature: logprobTemperature });
    expect(maxDifference(made.logprobs, off.logprobs)).toBeGreaterThan(0.01);
  });

  test('trainer and server agree bit for bit', async () => {
    const trained = await model.loadAdapter(adapterDir, true);
    const positions = span(prompt.length - 40, prompt.length);
    const scored = await model.score({ ids: prompt, positions, temperature: 0.7, adapter });
    const { pgLogprobs } = await model.forwardBackward(trained, [{ ids: prompt, temperature: 0.7, pg: { positions, advantages: new Float32Array(40).fill(1) } }], {
      clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 0, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 },
    });
    expect(maxDifference(pgLogprobs, scored.logprobs)).toBe(0);
  });
});

describe('conformance 20: prefix cache', () => {
  test.each([1, 2, 31, 32, 33, 64, 100, 149])('a warm prefix of %i tokens gives the logits of a cold cache, bit for bit', async (warm) => {
    const positions = span(warm + 1, prompt.length);
    await model.clearCache();
    const cold = await model.score({ ids: prompt, positions, adapter, logits: true });
    await model.clearCache();
    await model.score({ ids: prompt.subarray(0, warm + 1), positions: Int32Array.of(warm), adapter });
    const warmed = await model.score({ ids: prompt, positions, adapter, logits: true });
    expect(maxDifference(cold.logits, warmed.logits)).toBe(0);
  });

  test('only new tokens are computed, and a fork shares its prefix', async () => {
    await model.clearCache();
    const first = await generate();
    expect(first.cachedTokens).toBe(0);
    const longer = Int32Array.of(...prompt, ...first.tokens, 5, 6, 7);
    const second = await generate({ prompt: longer });
    expect(second.cachedTokens).toBe(prompt.length + first.tokens.length - 1);
    const fork = prompt.slice();
    fork[100] = (fork[100] ?? 0) === 1 ? 2 : 1;
    expect((await generate({ prompt: fork })).cachedTokens).toBe(100);
    await model.clearCache();
    expect((await generate({ prompt: longer })).tokens).toEqual(second.tokens);
  });

  test('the memory bound holds, and the least recently used prefix goes first', async () => {
    const page = 2 * shape.layers * shape.kvHeads * shape.headDim * 32 * 4;
    const small = await loadNative().load({ dir, threads: 1, cacheBytes: 10 * page });
    const run = (seed: number) => small.generate({ id: 1, prompt: randomIds(shape, 100, seed), maxTokens: 1, temperature: 0 });
    await run(1);
    await run(2);
    expect((await run(1)).cachedTokens).toBe(99);
    await run(3);
    expect(small.metrics().cacheBytes).toBeLessThanOrEqual(10 * page);
    expect((await run(1)).cachedTokens).toBeGreaterThan(32);
    expect((await run(2)).cachedTokens).toBeLessThan(99);
    small.close();
  });

  test('an adapter does not see the base model\'s cache', async () => {
    await generate();
    expect((await generate({ adapter: await model.cloneAdapter(adapter) })).cachedTokens).toBe(0);
  });

  test('a step invalidates the adapter\'s cache', async () => {
    const training = await model.loadAdapter(adapterDir, true);
    await generate({ adapter: training });
    const positions = span(100, 150);
    await model.forwardBackward(training, [{ ids: prompt, temperature: 1, ce: { positions } }], {
      clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 },
    });
    await model.optimStep(training, { lr: 0.05, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
    const after = await generate({ adapter: training });
    expect(after.cachedTokens).toBe(0);
    await model.clearCache();
    expect((await generate({ adapter: training })).tokens).toEqual(after.tokens);
  });
});

describe('sampling', () => {
  test('the same seed gives the same tokens, on any number of threads', async () => {
    const one = await loadNative().load({ dir, threads: 1 });
    const request = { id: 1, prompt, maxTokens: 30, temperature: 1, topK: 50, topP: 0.9, seed: 42 };
    const single = await one.generate(request);
    one.close();
    const double = await generate(request);
    expect(double.tokens).toEqual(single.tokens);
    expect((await generate({ ...request, seed: 43 })).tokens).not.toEqual(single.tokens);
  });

  test('top-k 1 and a tiny top-p are greedy, and leave the log-probs those of the full softmax', async () => {
    const greedy = await generate({ maxTokens: 10, logprobTemperature: 0.8 });
    for (const narrow of [{ topK: 1 }, { topP: 1e-6 }]) {
      const made = await generate({ maxTokens: 10, temperature: 0.8, ...narrow });
      expect(made.tokens).toEqual(greedy.tokens);
      expect(maxDifference(made.logprobs, greedy.logprobs)).toBe(0);
    }
  });

  test('samples follow the softmax', async () => {
    const ids = prompt.subarray(0, 8);
    const { topIds, topLogprobs } = await model.score({ ids: Int32Array.of(...ids, 0), positions: Int32Array.of(8), temperature: 1, topK: 3 });
    const counts = new Map<number, number>();
    for (let seed = 0; seed < 600; seed++) {
      const { tokens } = await generate({ prompt: ids, maxTokens: 1, temperature: 1, seed });
      counts.set(tokens[0] ?? -1, (counts.get(tokens[0] ?? -1) ?? 0) + 1);
    }
    topIds.forEach((id, i) => {
      const p = Math.exp(topLogprobs[i] ?? 0);
      expect(Math.abs((counts.get(id) ?? 0) / 600 - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / 600) + 0.002);
    });
  });
});

test('samples of a large vocabulary follow the softmax from its first part to its last', async () => {
  const wide = { ...shape, vocab: 5000 };
  const large = await loadNative().load({ dir: writeModel(wide), threads: 1 });
  const ids = randomIds(wide, 8);
  const { topIds, topLogprobs } = await large.score({ ids: Int32Array.of(...ids, 0), positions: Int32Array.of(8), temperature: 1, topK: wide.vocab });
  const tenth = (id: number) => Math.floor((id * 10) / wide.vocab);
  const mass = new Array<number>(10).fill(0);
  topIds.forEach((id, i) => (mass[tenth(id)] = (mass[tenth(id)] ?? 0) + Math.exp(topLogprobs[i] ?? 0)));
  const counts = new Array<number>(10).fill(0);
  for (let seed = 0; seed < 600; seed++) {
    const { tokens } = await large.generate({ id: 1, prompt: ids, maxTokens: 1, temperature: 1, seed });
    const at = tenth(tokens[0] ?? -1);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  large.close();
  expect(mass.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 4);
  mass.forEach((p, i) => expect(Math.abs((counts[i] ?? 0) / 600 - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / 600)));
});

describe('ends of a response', () => {
  test('stop ids, stop strings, end-of-sequence ids, length', async () => {
    const free = await generate();
    const [, , third = -1] = free.tokens;
    const first = free.tokens.indexOf(third);
    const byId = await generate({ stopIds: Int32Array.of(third) });
    expect([byId.finishReason, byId.tokens.length]).toEqual(['stop', first + 1]);
    const text = `>${`<${free.tokens[3]}`}`; // crosses two tokens
    const byText = await generate({ stop: ['never seen', text] });
    expect(byText.finishReason).toBe('stop');
    expect(byText.tokens.length).toBeLessThanOrEqual(4);
    expect([free.finishReason, free.tokens.length]).toEqual(['length', 20]);
    const ended = await loadNative().load({ dir: writeModel({ ...shape, config: { eos_token_id: [third, 1] } }), threads: 1 });
    const made = await ended.generate({ id: 1, prompt, maxTokens: 20, temperature: 0 });
    expect(ended.info.eosIds).toEqual([third, 1]);
    ended.close();
    expect(made.finishReason).toBe('eos');
    expect(made.tokens).toEqual(free.tokens.slice(0, made.tokens.length));
  });

  test('the last position ends the response', async () => {
    const made = await generate({ prompt: randomIds(shape, 395), maxTokens: 50 });
    expect([made.finishReason, made.tokens.length]).toEqual(['length', 5]);
  });

  test('two requests in flight need two ids', async () => {
    const same = () => model.generate({ id: 900, prompt, maxTokens: 5, temperature: 0 });
    await expect(Promise.all([same(), same()])).rejects.toMatchObject({ code: 'REQUEST_ID_IN_USE' });
  });
});

describe('a long request of the seed model', () => {
  const long: GenerateRequest = { id: 1, prompt: Int32Array.from({ length: 40 }, (_, i) => i * 31), maxTokens: 1500, temperature: 2, seed: 1, priority: 1 };
  let seed: NativeModel;
  beforeAll(async () => {
    seed = await loadNative().load({ dir: join(import.meta.dirname, '../../testdata/models/seed'), threads: 1 });
  });
  afterAll(() => seed.close());

  test('is cancelled within a token, and keeps the tokens so far', async () => {
    const seen: number[] = [];
    const { finishReason, tokens } = await seed.generate({ ...long, maxTokens: 1900 }, (token) => {
      seen.push(token);
      if (seen.length === 3) seed.cancel(1);
    });
    expect(finishReason).toBe('cancelled');
    expect(Array.from(tokens)).toEqual(seen);
  });

  test('is cancelled during its prefill', async () => {
    const request = seed.generate({ ...long, prompt: Int32Array.from({ length: 1900 }, (_, i) => i) });
    seed.cancel(1);
    const { finishReason, tokens } = await request;
    expect([finishReason, tokens.length]).toEqual(['cancelled', 0]);
  });

  test('lets a request of higher priority go first, between two tokens, and is not changed by it', async () => {
    const alone = await seed.generate(long);
    const order: string[] = [];
    let urgent: Promise<unknown> | undefined;
    const patient = await seed.generate(long, () => {
      urgent ??= seed.generate({ id: 2, prompt: long.prompt, maxTokens: 2, temperature: 1, priority: 9 }).then(() => order.push('urgent'));
    });
    order.push('patient');
    await urgent;
    expect(order).toEqual(['urgent', 'patient']);
    expect(patient.tokens).toEqual(alone.tokens);
    expect(patient.logprobs).toEqual(alone.logprobs);
  });
});

describe('score', () => {
  test('candidates, top-K and the scored token agree; -1 gives NaN', async () => {
    const positions = Int32Array.of(5, 9, 149);
    const best = await model.score({ ids: prompt, positions, topK: 4, temperature: 0.6 });
    const candidates = Int32Array.from(positions.length === 3 ? [...best.topIds.subarray(0, 4), -1, ...best.topIds.subarray(4, 8), -1, ...best.topIds.subarray(8), -1] : []);
    const again = await model.score({ ids: prompt, positions, candidates, temperature: 0.6 });
    const kept = Array.from(again.candidateLogprobs).filter((v) => !Number.isNaN(v));
    expect(maxDifference(kept, best.topLogprobs)).toBe(0);
    expect(Array.from(again.candidateLogprobs).filter(Number.isNaN).length).toBe(3);
    const own = await model.score({ ids: prompt, positions, candidates: Int32Array.from(positions, (p) => prompt[p] ?? 0), temperature: 0.6 });
    expect(maxDifference(own.candidateLogprobs, own.logprobs)).toBe(0);
    expect(best.topIds.length + best.topLogprobs.length).toBe(24);
  });

  test('conformance 10: teacher log-probs have the response\'s length and the first equals a full pass', async () => {
    const hint = randomIds(shape, 11, 77);
    const positions = span(120, 150);
    const teacher = await model.score({ ids: Int32Array.of(...hint, ...prompt), positions: positions.map((p) => p + 11) });
    expect(teacher.logprobs.length).toBe(30);
    await model.clearCache();
    const first = await model.score({ ids: Int32Array.of(...hint, ...prompt.subarray(0, 121)), positions: Int32Array.of(131) });
    expect(first.logprobs[0]).toBe(teacher.logprobs[0]);
  });
});

describe('bad requests', () => {
  test.each([
    ['TOKEN_OUT_OF_RANGE', { prompt: Int32Array.of(1, 211) }],
    ['TOKEN_OUT_OF_RANGE', { prompt: Int32Array.of(-1) }],
    ['PROMPT_TOO_LONG', { prompt: new Int32Array(401) }],
    ['PROMPT_EMPTY', { prompt: new Int32Array(0) }],
    ['ADAPTER_UNKNOWN', { adapter: 999 }],
    ['BAD_ARGUMENT', { temperature: NaN }],
    ['BAD_ARGUMENT', { topP: 0 }],
    ['BAD_ARGUMENT', { maxTokens: 1.5 }],
  ] as const)('%s', async (code, request) => {
    await expect(generate(request)).rejects.toMatchObject({ code, message: expect.stringMatching(/: [a-z].*\.$/) as string });
  });

  test('after close every call is refused, and what waited is told', async () => {
    const other = await loadNative().load({ dir, threads: 1 });
    const waiting = Array.from({ length: 30 }, (_, id) => other.generate({ id, prompt, maxTokens: 240, temperature: 0 }));
    other.close();
    const ends = await Promise.allSettled(waiting);
    const outcomes = ends.map((end) => (end.status === 'fulfilled' ? end.value.finishReason : (end.reason as { code: string }).code));
    expect(outcomes.at(-1)).toBe('MODEL_CLOSED');
    expect(outcomes.filter((outcome) => !['length', 'cancelled', 'MODEL_CLOSED'].includes(outcome))).toEqual([]);
    await expect(other.score({ ids: prompt, positions: Int32Array.of(1) })).rejects.toMatchObject({ code: 'MODEL_CLOSED' });
  });
});
