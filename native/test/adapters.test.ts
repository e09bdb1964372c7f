/** PEFT folders in and out (26), refusals, optimiser state. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { NativeModel } from '../index.ts';
import { readTensors, store, values, writeTensors } from '../io/safetensors.ts';
import { maxDifference, randomIds, SMALL, span, TARGETS, temporaryFolder, writeAdapterFolder, writeModel } from './models.ts';

const FIXTURES = join(import.meta.dirname, '../../testdata/parity');
let model: NativeModel;
beforeAll(async () => {
  model = await loadNative().load({ dir: writeModel(SMALL), threads: 1 });
});
afterAll(() => model.close());

const LOSS = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } };
const STEP = { lr: 0.01, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0.1, clipNorm: 1 };
const ids = randomIds(SMALL, 30);
const train = async (target: NativeModel, adapter: number): Promise<void> => {
  await target.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions: span(5, 30) } }], LOSS);
  await target.optimStep(adapter, STEP);
};

describe('conformance 26: round trip', () => {
  test.each(['llama', 'llama3-rope', 'qwen2', 'qwen3'])('%s: keys, shapes, types, values, metadata and configuration survive', async (name) => {
    const base = await loadNative().load({ dir: join(FIXTURES, name), threads: 1 });
    const source = join(FIXTURES, name, 'adapter');
    const out = temporaryFolder();
    await base.writeAdapter(await base.loadAdapter(source), out);
    base.close();
    expect(readFileSync(join(out, 'adapter_config.json'), 'utf8')).toBe(readFileSync(join(source, 'adapter_config.json'), 'utf8'));
    expect(readFileSync(join(out, 'adapter_model.safetensors')).equals(readFileSync(join(source, 'adapter_model.safetensors')))).toBe(true);
  });

  test.each(['F16', 'BF16'] as const)('%s tensors keep type and bytes untrained, become F32 once trained', async (dtype) => {
    const source = writeAdapterFolder(SMALL, { dtype, config: { an_unknown_field: [1, { two: 'ü' }] } });
    const adapter = await model.loadAdapter(source, true);
    const [plain, trained] = [temporaryFolder(), temporaryFolder()];
    await model.writeAdapter(await model.cloneAdapter(adapter), plain);
    expect(readFileSync(join(plain, 'adapter_config.json')).equals(readFileSync(join(source, 'adapter_config.json')))).toBe(true);
    expect(readTensors(join(plain, 'adapter_model.safetensors'))).toEqual(readTensors(join(source, 'adapter_model.safetensors')));
    await train(model, adapter);
    await model.writeAdapter(adapter, trained);
    for (const tensor of await model.adapterTensors(adapter)) {
      const stored = readTensors(join(trained, 'adapter_model.safetensors')).tensors.get(tensor.name);
      expect(stored?.dtype).toBe('F32');
      expect(stored && maxDifference(values(stored), tensor.data)).toBe(0);
    }
  });

  test('an adapter of ours is a complete peft folder and loads again', async () => {
    const adapter = await model.createAdapter({ rank: 4, alpha: 8.5, targets: ['q_proj', 'up_proj'], seed: 3 });
    await train(model, adapter);
    const out = temporaryFolder();
    await model.writeAdapter(adapter, out);
    const config = JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8.5, target_modules: ['q_proj', 'up_proj'], base_model_name_or_path: null, bias: 'none', lora_dropout: 0, use_dora: false, inference_mode: true });
    const again = await model.loadAdapter(out);
    expect(await model.adapterTensors(again)).toEqual(await model.adapterTensors(adapter));
    expect((await model.adapterTensors(adapter)).map((t) => t.name)).toContain('base_model.model.model.layers.1.mlp.up_proj.lora_B.weight');
  });

  test('initialisation: A uniform within 1/sqrt(K), B zero, by seed', async () => {
    const of = async (seed: number) => model.adapterTensors(await model.createAdapter({ rank: 8, alpha: 16, targets: TARGETS, seed }));
    const [one, same, other] = [await of(1), await of(1), await of(2)];
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
    for (const tensor of one) {
      const bound = tensor.name.includes('lora_A') ? 1 / Math.sqrt(tensor.shape[1] ?? 1) : 0;
      const max = tensor.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      expect(max).toBeLessThanOrEqual(bound);
      if (bound > 0) expect(max).toBeGreaterThan(0.9 * bound);
    }
  });
});

test('a clone is independent: training the original leaves what it serves', async () => {
  const training = await model.loadAdapter(writeAdapterFolder(SMALL), true);
  const serving = await model.cloneAdapter(training);
  const score = () => model.score({ ids, positions: span(1, 30), adapter: serving });
  const before = await score();
  await train(model, training);
  await model.clearCache();
  expect((await score()).logprobs).toEqual(before.logprobs);
  expect((await model.score({ ids, positions: span(1, 30), adapter: training })).logprobs).not.toEqual(before.logprobs);
});

test('the optimiser continues where it stopped', async () => {
  const straight = await model.createAdapter({ rank: 4, alpha: 8, targets: TARGETS, seed: 5 });
  const stopped = await model.createAdapter({ rank: 4, alpha: 8, targets: TARGETS, seed: 5 });
  for (let i = 0; i < 3; i++) await train(model, straight);
  await train(model, stopped);
  const out = temporaryFolder();
  await model.writeAdapter(stopped, out, true);
  const resumed = await model.loadAdapter(out, true);
  for (let i = 0; i < 2; i++) await train(model, resumed);
  expect(await model.adapterTensors(resumed)).toEqual(await model.adapterTensors(straight));
  expect((await model.optimStep(resumed, STEP)).step).toBe(4);
});

test('work on one adapter keeps its order without awaiting', async () => {
  const make = () => model.createAdapter({ rank: 4, alpha: 8, targets: TARGETS, seed: 6 });
  const [patient, hasty] = [await make(), await make()];
  for (let i = 0; i < 3; i++) await train(model, patient);
  const calls: Promise<unknown>[] = [];
  for (let i = 0; i < 3; i++) {
    calls.push(model.forwardBackward(hasty, [{ ids, temperature: 1, ce: { positions: span(5, 30) } }], LOSS), model.optimStep(hasty, STEP));
  }
  const tensors = model.adapterTensors(hasty);
  await Promise.all(calls);
  expect(await tensors).toEqual(await model.adapterTensors(patient));
});

describe('refusals', () => {
  const refused = (dir: string) => expect(model.loadAdapter(dir)).rejects;

  test('an adapter of another base', async () => {
    for (const other of [{ ...SMALL, hidden: 52 }, { ...SMALL, layers: 3 }, { ...SMALL, vocab: 5, intermediate: 84 }]) await refused(writeAdapterFolder(other)).toMatchObject({ code: 'ADAPTER_OTHER_BASE' });
    await refused(writeAdapterFolder({ ...SMALL, layers: 1 })).toMatchObject({ code: 'ADAPTER_INVALID' });
  });
  test.each([{ use_dora: true }, { use_rslora: true }, { bias: 'all' }, { peft_type: 'IA3' }, { modules_to_save: ['lm_head'] }, { rank_pattern: { q_proj: 8 } }, { fan_in_fan_out: true }, { lora_bias: true }, { target_modules: ['q_proj', 'lm_head'] }])('%o', async (config) => {
    await refused(writeAdapterFolder(SMALL, { config })).toMatchObject({ code: 'ADAPTER_UNSUPPORTED' });
  });
  test('missing folders, half files, unusable numbers', async () => {
    await refused('/nowhere').toMatchObject({ code: 'ADAPTER_MISSING' });
    await refused(temporaryFolder()).toMatchObject({ code: 'ADAPTER_MISSING' });
    await refused(writeAdapterFolder(SMALL, { config: { r: 0 } })).toMatchObject({ code: 'ADAPTER_INVALID' });
    await refused(writeAdapterFolder(SMALL, { config: { lora_alpha: 'big' } })).toMatchObject({ code: 'ADAPTER_INVALID' });
    const broken = writeAdapterFolder(SMALL);
    writeFileSync(join(broken, 'adapter_config.json'), '{"peft_type": "LORA",');
    await refused(broken).toMatchObject({ code: 'ADAPTER_INVALID' });
    const half = writeAdapterFolder(SMALL);
    const path = join(half, 'adapter_model.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, 3000));
    await refused(half).toMatchObject({ code: 'FILE_TRUNCATED' });
    const poisoned = writeAdapterFolder(SMALL);
    const { tensors } = readTensors(join(poisoned, 'adapter_model.safetensors'));
    const [first] = tensors;
    if (first) tensors.set(first[0], store(values(first[1]).fill(NaN), first[1].shape));
    writeTensors(join(poisoned, 'adapter_model.safetensors'), tensors);
    await refused(poisoned).toMatchObject({ code: 'ADAPTER_INVALID' });
    const lost = writeAdapterFolder(SMALL);
    const rest = readTensors(join(lost, 'adapter_model.safetensors')).tensors;
    rest.delete([...rest.keys()][3] ?? '');
    writeTensors(join(lost, 'adapter_model.safetensors'), rest);
    await refused(lost).toMatchObject({ code: 'ADAPTER_INVALID' });
  });
  test('unknown handles, wrong arguments', async () => {
    await expect(model.adapterTensors(12345)).rejects.toMatchObject({ code: 'ADAPTER_UNKNOWN' });
    await expect(model.createAdapter({ rank: 0, alpha: 1, targets: TARGETS, seed: 1 })).rejects.toMatchObject({ code: 'ADAPTER_INVALID' });
    await expect(model.createAdapter({ rank: 2, alpha: 1, targets: ['lm_head'], seed: 1 })).rejects.toMatchObject({ code: 'ADAPTER_INVALID' });
    const adapter = await model.createAdapter({ rank: 2, alpha: 4, targets: TARGETS, seed: 1 });
    await expect(model.writeAdapter(adapter, '/nowhere/at/all')).rejects.toMatchObject({ code: 'ADAPTER_MISSING' });
    await expect(model.setGradients(adapter, [])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await model.deleteAdapter(adapter);
    await expect(model.generate({ id: 1, prompt: ids, maxTokens: 1, temperature: 0, adapter })).rejects.toMatchObject({ code: 'ADAPTER_UNKNOWN' });
  });
  test('a folder that is a file cannot be written', async () => {
    const adapter = await model.createAdapter({ rank: 2, alpha: 4, targets: ['q_proj'], seed: 1 });
    const dir = temporaryFolder();
    mkdirSync(join(dir, 'adapter_model.safetensors'));
    await expect(model.writeAdapter(adapter, dir)).rejects.toMatchObject({ code: 'WRITE_FAILED' });
  });
});
