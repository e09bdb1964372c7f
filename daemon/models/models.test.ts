/** Models and the commands about them, through the built program. */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runHindsight } from '../../protocol/program.fixture.ts';
import type { Ended } from '../../protocol/program.fixture.ts';
import { bundledModel } from './bundled.ts';
import { inspectModel } from './inspect.ts';
import { importModel, listModels, resolveModel } from './models.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

let home: string;
beforeAll(() => {
  home = mkdtempSync(path.join(tmpdir(), 'hindsight-models-'));
});
afterAll(() => rmSync(home, { recursive: true }));

const hindsight = (...args: string[]): Promise<Ended> => runHindsight(home, ...args);

/** One sentence with a remedy, nothing on stdout, exit code not 0. */
function expectRefusal({ code, out, err }: Ended, sentence: RegExp): void {
  expect(err).toMatch(sentence);
  expect(err.trim().split('\n')).toHaveLength(1);
  expect(out).toBe('');
  expect(code).toBe(1);
}

describe('a model folder', () => {
  it('says what it is from its headers', async () => {
    expect(await inspectModel(bundledModel())).toMatchObject({ name: 'seed', architecture: 'qwen3', dtype: 'BF16', parameters: 4_197_120, vocabSize: 4096, layers: 4 });
  });

  it('is found by name once it is imported, whole, and listed', async () => {
    await importModel(bundledModel(), 'mine', home);
    const dir = resolveModel('mine', home);
    expect(dir).toBe(path.join(home, 'models', 'mine'));
    expect((await inspectModel(dir)).parameters).toBe(4_197_120);
    expect((await listModels(home)).map((model) => [model.name, model.bundled, model.problem])).toEqual([['seed', true, null], ['mine', false, null]]);
    await expect(importModel(bundledModel(), 'mine', home)).rejects.toMatchObject({ errorName: 'badRequest' });
    await expect(importModel(bundledModel(), '../out', home)).rejects.toMatchObject({ errorName: 'badRequest' });
  });

  it('that is not whole leaves nothing behind', async () => {
    const source = path.join(home, 'broken');
    cpSync(bundledModel(), source, { recursive: true });
    truncateSync(path.join(source, 'model.safetensors'), 100_000);
    await expect(importModel(source, 'broken', home)).rejects.toMatchObject({ errorName: 'modelCorrupt', message: expect.stringContaining('bytes too short') });
    expect(existsSync(path.join(home, 'models', 'broken'))).toBe(false);
    expect(readdirSync(path.join(home, 'models')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('without a name is the bundled seed', () => {
    expect(resolveModel(undefined, home)).toBe(bundledModel());
    expect(resolveModel('seed', home)).toBe(bundledModel());
    expect(() => resolveModel('nowhere', home)).toThrow(/neither the name/);
  });
});

describe('hindsight model, engine and bench', () => {
  it('print one JSON object', async () => {
    const { code, out } = await hindsight('model', 'info', '--json', '-');
    expect(JSON.parse(out)).toMatchObject({ name: 'seed', chat: true, eos: [0] });
    expect(code).toBe(0);
  });

  it('import a model with its weights in int8 beside it', async () => {
    const { code, out } = await hindsight('model', 'import', bundledModel(), '--name', 'small', '--quantize', 'int8');
    expect(code).toBe(0);
    expect(out).toMatch(/^small is in /);
    expect(readdirSync(path.join(home, 'models', 'small'))).toContain('model.int8.safetensors');
  });

  it('refuse bad models, each in one sentence', async () => {
    const dir = path.join(home, 'bad');
    const spoil = (file: string, content: string | null): void => {
      rmSync(dir, { recursive: true, force: true });
      cpSync(bundledModel(), dir, { recursive: true });
      if (content === null) rmSync(path.join(dir, file));
      else writeFileSync(path.join(dir, file), content);
    };
    expectRefusal(await hindsight('model', 'info', path.join(home, 'nowhere')), /There is no model/);
    spoil('tokenizer.json', null);
    expectRefusal(await hindsight('model', 'info', dir), /no usable tokenizer/);
    spoil('model.safetensors', 'no tensors at all');
    expectRefusal(await hindsight('model', 'info', dir), /cannot be read/);
    spoil('config.json', '{"model_type": "mamba", "vocab_size": 1, "num_hidden_layers": 1, "max_position_embeddings": 1}');
    expectRefusal(await hindsight('model', 'info', dir), /not supported/);
  });

  it('refuse what cannot be done', async () => {
    expectRefusal(await hindsight('engine', '--listen', 'nowhere'), /host/i);
    expectRefusal(await hindsight('engine', '--device', 'cuda'), /not supported/);
    expectRefusal(await hindsight('bench', 'parity'), /needs fixtures/);
    expectRefusal(await hindsight('bench', 'parity', '--fixtures', path.join(home, 'nowhere')), /no folder/);
  });

  it('bench parity holds on a fixture, and fails on one that expects something else', async () => {
    const fixture = path.join(ROOT, 'testdata/parity/qwen3');
    const good = await hindsight('bench', 'parity', '--fixtures', fixture, '--json', '-', '--dump', path.join(home, 'dump.safetensors'));
    expect(JSON.parse(good.out)).toMatchObject({ bench: 'parity', pass: true });
    expect(good.code).toBe(0);
    expect(existsSync(path.join(home, 'dump.safetensors'))).toBe(true);
    const other = path.join(home, 'other');
    cpSync(fixture, other, { recursive: true });
    cpSync(path.join(ROOT, 'testdata/parity/llama3-rope/expected.safetensors'), path.join(other, 'expected.safetensors'));
    const bad = await hindsight('bench', 'parity', '--fixtures', other, '--json', '-');
    expect(bad.code).toBe(1);
  });
});
