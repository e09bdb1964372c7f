/** The loss terms do what their equations say. Numbers refer to docs/learning.md, Conformance. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { LossSettings, NativeModel, Tensor, TrainSequence } from '../index.ts';
import { values } from '../io/safetensors.ts';
import { maxDifference, noise, randomIds, span, tensorsOf, writeAdapterFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const shape: Shape = { architecture: 'qwen2', vocab: 97, hidden: 24, layers: 2, heads: 2, kvHeads: 1, headDim: 12, intermediate: 40 };
const dir = writeModel(shape);
const adapterDir = writeAdapterFolder(shape);
const ids = randomIds(shape, 40);
const response = span(20, 40);
const settings: LossSettings = {
  clipLow: 0.2, clipHigh: 0.28, klBeta: 0.05, ceLambda: 0.1, spliceWeight: 0.7, pgWeight: 1.3, opdWeight: 0.9, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 },
};
const STEP = { lr: 0.01, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 0 };

let model: NativeModel;
let adapter: number;
beforeAll(async () => {
  model = await loadNative().load({ dir, threads: 2 });
});
afterAll(() => model.close());
beforeEach(async () => {
  adapter = await model.loadAdapter(adapterDir, true);
});

async function gradientOf(sequences: TrainSequence[], options: Partial<LossSettings> = {}): Promise<{ gradients: Tensor[]; loss: Awaited<ReturnType<NativeModel['forwardBackward']>> }> {
  await model.zeroGradients(adapter);
  const loss = await model.forwardBackward(adapter, sequences, { ...settings, ...options });
  return { gradients: await model.gradients(adapter), loss };
}
const norm = (tensors: Tensor[]): number => Math.sqrt(tensors.reduce((sum, t) => sum + t.data.reduce((s, v) => s + v * v, 0), 0));
const flat = (tensors: Tensor[]): number[] => tensors.flatMap((t) => Array.from(t.data));
const scored = (positions: Int32Array, temperature: number, handle = adapter) => model.score({ ids, positions, temperature, adapter: handle });
const filled = (n: number, value: number): Float32Array => new Float32Array(n).fill(value);

/** All terms at once, off the kinks of the surrogate. */
async function richSequence(temperature = 0.8): Promise<TrainSequence> {
  const next = noise(3);
  const k = 5;
  const list = await model.score({ ids, positions: response, temperature, topK: k, adapter });
  const reference = await model.score({ ids, positions: response, temperature });
  const old = list.logprobs.map((l, i) => l + (i % 2 ? 0.07 : -0.05));
  return {
    ids, temperature,
    pg: { positions: response, advantages: Float32Array.from(response, next), old, behaviour: old.map((l) => l - 0.1 * next()) },
    opd: { positions: response, k, tokens: list.topIds, delta: list.topLogprobs.map(next), weights: list.topLogprobs.map(Math.exp), old: list.topLogprobs.map((l) => l + 0.06 * next()) },
    splice: { positions: response, k, tokens: list.topIds, targets: list.topLogprobs.map(() => 0.2) },
    kl: { positions: response, reference: reference.logprobs },
    ce: { positions: span(1, 20) },
  };
}

describe('finite differences', () => {
  test.each(['pg', 'opd', 'splice', 'kl', 'ce'] as const)('%s: the gradient predicts the loss along a random direction', async (term) => {
    const full = await richSequence();
    const sequence: TrainSequence = { ids, temperature: full.temperature, [term]: full[term] };
    const reference = await loadNative().load({ dir, isa: 'reference', threads: 1 });
    try {
      const handle = await reference.loadAdapter(adapterDir, true);
      const base = await reference.forwardBackward(handle, [sequence], settings);
      const gradients = await reference.gradients(handle);
      expect(base.positions[term]).toBeGreaterThan(15);
      // eps = 1e30 turns AdamW into plain ascent: with m = (1-b1) g, w moves by -lr/eps' * g.
      const lossAt = async (direction: Tensor[], size: number): Promise<number> => {
        const moved = await reference.loadAdapter(adapterDir, true);
        await reference.setGradients(moved, direction);
        await reference.optimStep(moved, { lr: -size * 1e6, beta1: 0.9, beta2: 0.98, eps: 1e6, weightDecay: 0, clipNorm: 0 });
        const { loss } = await reference.forwardBackward(moved, [sequence], settings);
        await reference.deleteAdapter(moved);
        return loss[term];
      };
      for (const seed of [1, 2, 3]) {
        const next = noise(seed);
        const direction = gradients.map((t) => ({ ...t, data: t.data.map(next) }));
        const slope = gradients.reduce((sum, t, i) => sum + t.data.reduce((s, v, j) => s + v * (direction[i]?.data[j] ?? 0), 0), 0);
        const h = 1e-3;
        const measured = ((await lossAt(direction, h)) - (await lossAt(direction, -h))) / (2 * h);
        expect(Math.abs(measured - slope)).toBeLessThan(2e-3 * Math.max(Math.abs(slope), 0.1 * norm(gradients)));
      }
    } finally {
      reference.close();
    }
  });
});

test('conformance 12: OPD alone on a response that contradicts the teacher lowers its probability', async () => {
  const before = await scored(response, 1);
  const delta = filled(20, -0.8);
  const sequence: TrainSequence = { ids, temperature: 1, opd: { positions: response, k: 1, tokens: Int32Array.from(response, (p) => ids[p] ?? 0), delta, weights: filled(20, 1) } };
  await gradientOf([sequence]);
  await model.optimStep(adapter, STEP);
  const after = await scored(response, 1);
  const mean = (v: Float32Array): number => v.reduce((s, x) => s + x, 0) / v.length;
  expect(mean(after.logprobs)).toBeLessThan(mean(before.logprobs) - 0.05);
});

describe('conformance 13: only labelled tokens carry loss', () => {
  test('tokens behind the last label change nothing', async () => {
    const changed = ids.slice();
    for (let p = 31; p < 40; p++) changed[p] = ((ids[p] ?? 0) + 7) % shape.vocab;
    const term = (tokens: Int32Array): TrainSequence => ({ ids: tokens, temperature: 1, pg: { positions: span(20, 31), advantages: filled(11, 1) } });
    const a = await gradientOf([term(ids)]);
    const b = await gradientOf([term(changed)]);
    expect(maxDifference(flat(a.gradients), flat(b.gradients))).toBeLessThan(1e-6 * norm(a.gradients));
  });

  test('a sequence without labels has no gradient and no loss', async () => {
    const { gradients, loss } = await gradientOf([{ ids, temperature: 1 }]);
    expect(norm(gradients)).toBe(0);
    expect(Object.values(loss.loss)).toEqual([NaN, NaN, NaN, NaN, NaN]);
  });
});

test('conformance 14: loss and gradients do not depend on the order or the split of sequences', async () => {
  const rich = await richSequence();
  const other: TrainSequence = { ids: ids.subarray(0, 33), temperature: 1, pg: { positions: span(25, 33), advantages: filled(8, -0.5) }, ce: { positions: span(1, 9) } };
  const third: TrainSequence = { ids: randomIds(shape, 17, 4), temperature: 0.9, pg: { positions: span(3, 17), advantages: filled(14, 0.4) } };
  // Enough for a pass in which the query heads of a key head are one item of attention's gradient.
  const more = Array.from({ length: 8 }, (_, i): TrainSequence => ({ ids: randomIds(shape, 8 + i, 20 + i), temperature: 1, ce: { positions: span(1, 8 + i) } }));
  const divisor = { pg: 3, opd: 1, splice: 1, kl: 1, ce: 10 };
  const forward = await gradientOf([rich, other, third, ...more], { divisor });
  const backward = await gradientOf([...more, third, rich, other], { divisor });
  await model.zeroGradients(adapter);
  const parts = [];
  for (const sequence of [other, third, rich, ...more]) parts.push(await model.forwardBackward(adapter, [sequence], { ...settings, divisor }));
  const split = await model.gradients(adapter);
  const tolerance = 1e-6 * norm(forward.gradients);
  expect(maxDifference(flat(forward.gradients), flat(backward.gradients))).toBeLessThan(tolerance);
  expect(maxDifference(flat(forward.gradients), flat(split))).toBeLessThan(tolerance);
  expect(forward.loss.loss.pg).toBeCloseTo(backward.loss.loss.pg, 9);
  expect(parts.slice(0, 3).reduce((sum, part) => sum + part.loss.pg, 0)).toBeCloseTo(forward.loss.loss.pg, 9);
  // Short sequences share a pass: each is still computed as if it were alone.
  const [second, last, first] = parts.map((part) => [...part.pgLogprobs]);
  expect([...forward.loss.pgLogprobs]).toEqual([first, second, last].flat());
});

describe('conformance 15: clipping', () => {
  const withRatio = async (advantage: number, ratio: number): Promise<number> => {
    const { logprobs } = await scored(response, 1);
    const sequence: TrainSequence = { ids, temperature: 1, pg: { positions: response, advantages: filled(20, advantage), old: logprobs.map((l) => l - Math.log(ratio)) } };
    return norm((await gradientOf([sequence])).gradients);
  };
  test('A = +1 has no gradient beyond 1.28, A = -1 none below 0.8', async () => {
    expect(await withRatio(1, 1.3)).toBe(0);
    expect(await withRatio(1, 1.25)).toBeGreaterThan(0);
    expect(await withRatio(1, 0.5)).toBeGreaterThan(0);
    expect(await withRatio(-1, 0.78)).toBe(0);
    expect(await withRatio(-1, 0.82)).toBeGreaterThan(0);
    expect(await withRatio(-1, 2)).toBeGreaterThan(0);
  });
  test('a distillation token is clipped the same way', async () => {
    const { logprobs } = await scored(response, 1);
    const opd = (delta: number, ratio: number): TrainSequence => ({
      ids, temperature: 1,
      opd: { positions: response, k: 1, tokens: Int32Array.from(response, (p) => ids[p] ?? 0), delta: filled(20, delta), weights: filled(20, 1), old: logprobs.map((l) => l - Math.log(ratio)) },
    });
    expect(norm((await gradientOf([opd(1, 1.3)])).gradients)).toBe(0);
    expect(norm((await gradientOf([opd(-1, 0.78)])).gradients)).toBe(0);
    expect(norm((await gradientOf([opd(-1, 1.3)])).gradients)).toBeGreaterThan(0);
  });
});

describe('conformance 16: kl', () => {
  test('is positive, and zero with no gradient where the policies are equal', async () => {
    const same = await model.createAdapter({ rank: 2, alpha: 4, targets: ['q_proj', 'down_proj'], seed: 1 });
    const equal = await model.forwardBackward(same, [{ ids, temperature: 0.7, kl: { positions: response } }], settings);
    expect(equal.loss.kl).toBe(0);
    expect(norm(await model.gradients(same))).toBe(0);
    const { loss } = await gradientOf([{ ids, temperature: 0.7, kl: { positions: response } }]);
    expect(loss.loss.kl).toBeGreaterThan(0);
  });
  test('the engine\'s own reference is the adapter switched off', async () => {
    const reference = (await scored(response, 0.7, 0)).logprobs;
    const given = await gradientOf([{ ids, temperature: 0.7, kl: { positions: response, reference } }]);
    const own = await gradientOf([{ ids, temperature: 0.7, kl: { positions: response } }]);
    expect(own.loss.loss.kl).toBe(given.loss.loss.kl);
    expect(flat(own.gradients)).toEqual(flat(given.gradients));
  });
});

describe('unknown numbers', () => {
  test('NaN masks its position: neither sum nor mean counts it', async () => {
    const rich = await richSequence();
    const drop = new Set([2, 7, 19]);
    const keep = Array.from(response.keys()).filter((i) => !drop.has(i));
    const spoil = (source: Float32Array | undefined, at: number, width = 1): Float32Array => {
      const out = Float32Array.from(source ?? []);
      out[at * width] = NaN;
      return out;
    };
    const some = <T extends Int32Array | Float32Array>(source: T, width = 1): T => source.filter((_: number, i: number) => keep.includes(Math.floor(i / width))) as T;
    const { pg, opd, splice, kl } = rich;
    if (!pg?.old || !pg.behaviour || !opd?.old || !splice || !kl?.reference) throw new Error('sequence');
    const masked: TrainSequence = {
      ...rich,
      pg: { ...pg, advantages: spoil(pg.advantages, 2), old: spoil(pg.old, 7), behaviour: spoil(pg.behaviour, 19) },
      opd: { ...opd, delta: spoil(opd.delta, 2, 5), weights: spoil(opd.weights, 7, 5), old: spoil(opd.old, 19, 5) },
      splice: { ...splice, targets: spoil(spoil(spoil(splice.targets, 2, 5), 7, 5), 19, 5) },
      kl: { ...kl, reference: spoil(spoil(spoil(kl.reference, 2), 7), 19) },
    };
    const shorter: TrainSequence = {
      ...rich,
      pg: { positions: some(response), advantages: some(pg.advantages), old: some(pg.old), behaviour: some(pg.behaviour) },
      opd: { positions: some(response), k: 5, tokens: some(opd.tokens, 5), delta: some(opd.delta, 5), weights: some(opd.weights, 5), old: some(opd.old, 5) },
      splice: { positions: some(response), k: 5, tokens: some(splice.tokens, 5), targets: some(splice.targets, 5) },
      kl: { positions: some(response), reference: some(kl.reference) },
    };
    const a = await gradientOf([masked]);
    const b = await gradientOf([shorter]);
    expect(a.loss.positions).toEqual({ pg: 17, opd: 17, splice: 17, kl: 17, ce: 19 });
    expect(a.loss.loss).toEqual(b.loss.loss);
    expect(flat(a.gradients)).toEqual(flat(b.gradients));
    expect(a.loss.effectiveSampleSize).toBe(b.loss.effectiveSampleSize);
    expect(a.loss.pgLogprobs.length).toBe(20);
    expect(norm(a.gradients)).toBeGreaterThan(0);
  });

  test('an empty distillation slot is no token', async () => {
    const one: TrainSequence = { ids, temperature: 1, opd: { positions: Int32Array.of(25), k: 1, tokens: Int32Array.of(4), delta: Float32Array.of(-0.5), weights: Float32Array.of(1) } };
    const padded: TrainSequence = { ids, temperature: 1, opd: { positions: Int32Array.of(25, 30), k: 2, tokens: Int32Array.of(4, -1, -1, -1), delta: Float32Array.of(-0.5, NaN, 1, 1), weights: Float32Array.of(1, NaN, 1, 1) } };
    const a = await gradientOf([one]);
    const b = await gradientOf([padded]);
    expect(b.loss.positions.opd).toBe(1);
    expect(flat(b.gradients)).toEqual(flat(a.gradients));
  });
});

test('importance: c = min(exp(old - behaviour), 2), constant, and its effective sample size', async () => {
  const { logprobs } = await scored(response, 1);
  const term = (gap: number): TrainSequence => ({ ids, temperature: 1, pg: { positions: response, advantages: filled(20, 1), old: logprobs, behaviour: logprobs.map((l) => l - gap) } });
  const plain = await gradientOf([{ ids, temperature: 1, pg: { positions: response, advantages: filled(20, 1) } }]);
  for (const [gap, c] of [[0, 1], [Math.log(1.5), 1.5], [3, 2], [-2, Math.exp(-2)]] as const) {
    const { gradients, loss } = await gradientOf([term(gap)]);
    expect(norm(gradients) / norm(plain.gradients)).toBeCloseTo(c, 4);
    expect(loss.effectiveSampleSize).toBeCloseTo(1, 6);
  }
  const mixed: TrainSequence = { ids, temperature: 1, pg: { positions: response, advantages: filled(20, 1), old: logprobs, behaviour: logprobs.map((l, i) => (i < 10 ? l : l + 20)) } };
  expect((await gradientOf([mixed])).loss.effectiveSampleSize).toBeCloseTo(0.5, 5);
});

test('adapters of few targets train; untouched layers keep their function', async () => {
  for (const targets of [['q_proj'], ['v_proj', 'down_proj'], ['gate_proj', 'o_proj', 'k_proj']]) {
    const few = await model.createAdapter({ rank: 1, alpha: 1, targets, seed: 3 });
    await model.forwardBackward(few, [{ ids, temperature: 1, ce: { positions: response } }], settings);
    const gradients = await model.gradients(few);
    expect(new Set(gradients.map((t) => t.name.split('.')[6]))).toEqual(new Set(targets));
    // B = 0 at the start: A's gradient is zero and B's is not.
    expect(norm(gradients.filter((t) => t.name.includes('lora_A')))).toBe(0);
    expect(norm(gradients.filter((t) => t.name.includes('lora_B')))).toBeGreaterThan(0);
  }
});

test('training lowers the loss on what it is shown', async () => {
  const sequence: TrainSequence = { ids, temperature: 1, ce: { positions: response } };
  const losses: number[] = [];
  for (let step = 0; step < 15; step++) {
    losses.push((await model.forwardBackward(adapter, [sequence], settings)).loss.ce);
    const { gradNorm, step: count } = await model.optimStep(adapter, { ...STEP, clipNorm: 1 });
    expect(gradNorm).toBeGreaterThan(0);
    expect(count).toBe(step + 1);
  }
  expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] ?? 0));
});

test.each([
  ['a position beyond the end', { pg: { positions: Int32Array.of(40), advantages: filled(1, 1) } }],
  ['position 0, which nothing predicts', { ce: { positions: Int32Array.of(0) } }],
  ['too few advantages', { pg: { positions: response, advantages: filled(3, 1) } }],
  ['a token outside the vocabulary', { opd: { positions: Int32Array.of(5), k: 1, tokens: Int32Array.of(97), delta: filled(1, 1), weights: filled(1, 1) } }],
  ['the wrong array type', { ce: { positions: [1, 2] as unknown as Int32Array } }],
])('%s is refused and changes no gradient', async (_, term) => {
  await model.zeroGradients(adapter);
  await expect(model.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions: response } }, { ids, temperature: 1, ...term }], settings)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  expect(norm(await model.gradients(adapter))).toBe(0);
});

test('the tied and the untied head of equal weights are the same model', async () => {
  const tied = { ...shape, tied: true };
  const tensors = tensorsOf(tied);
  expect(values(tensors.get('model.embed_tokens.weight') ?? { dtype: 'F32', shape: [], bytes: new Uint8Array() }).length).toBe(97 * 24);
  const one = await loadNative().load({ dir: writeModel(tied), threads: 1 });
  expect(one.info).toMatchObject({ tiedHead: true, parameters: model.info.parameters - 97 * 24 });
  one.close();
});
