/** Models and the commands about them, through the built program. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledModel } from './bundled.ts';
import { inspectModel } from './inspect.ts';
import { importModel, listModels, resolveModel } from './models.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

let home: string;
beforeAll(() => {
  home = mkdtempSync(path.join(tmpdir(), 'hindsight-models-'));
});
afterAll(() => rmSync(home, { recursive: true }));

function hindsight(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [path.join(ROOT, 'dist/hindsight.js'), ...args], { encoding: 'utf8', env: { ...process.env, HINDSIGHT_HOME: home }, timeout: 60_000 });
}

/** One sentence with a remedy, nothing on stdout, exit code not 0. */
function expectRefusal(result: ReturnType<typeof hindsight>, sentence: RegExp): void {
  expect(result.stderr).toMatch(sentence);
  expect(result.stderr.trim().split('\n')).toHaveLength(1);
  expect(result.stdout).toBe('');
  expect(result.status).toBe(1);
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
  it('print one JSON object', () => {
    const { status, stdout } = hindsight('model', 'info', '--json', '-');
    expect(JSON.parse(stdout)).toMatchObject({ name: 'seed', chat: true, eos: [0] });
    expect(status).toBe(0);
  });

  it('import a model with its weights in int8 beside it', () => {
    const { status, stdout } = hindsight('model', 'import', bundledModel(), '--name', 'small', '--quantize', 'int8');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^small is in /);
    expect(readdirSync(path.join(home, 'models', 'small'))).toContain('model.int8.safetensors');
  });

  it('refuse bad models, each in one sentence', () => {
    const dir = path.join(home, 'bad');
    const spoil = (file: string, content: string | null): void => {
      rmSync(dir, { recursive: true, force: true });
      cpSync(bundledModel(), dir, { recursive: true });
      if (content === null) rmSync(path.join(dir, file));
      else writeFileSync(path.join(dir, file), content);
    };
    expectRefusal(hindsight('model', 'info', path.join(home, 'nowhere')), /There is no model/);
    spoil('tokenizer.json', null);
    expectRefusal(hindsight('model', 'info', dir), /no usable tokenizer/);
    spoil('model.safetensors', 'no tensors at all');
    expectRefusal(hindsight('model', 'info', dir), /cannot be read/);
    spoil('config.json', '{"model_type": "mamba", "vocab_size": 1, "num_hidden_layers": 1, "max_position_embeddings": 1}');
    expectRefusal(hindsight('model', 'info', dir), /not supported/);
  });

  it('refuse what cannot be done', () => {
    expectRefusal(hindsight('engine', '--listen', 'nowhere'), /host/i);
    expectRefusal(hindsight('engine', '--device', 'cuda'), /not supported/);
    expectRefusal(hindsight('bench', 'parity'), /needs fixtures/);
    expectRefusal(hindsight('bench', 'parity', '--fixtures', path.join(home, 'nowhere')), /no folder/);
  });

  it('bench parity holds on a fixture, and fails on one that expects something else', () => {
    const fixture = path.join(ROOT, 'testdata/parity/qwen3');
    const good = hindsight('bench', 'parity', '--fixtures', fixture, '--json', '-', '--dump', path.join(home, 'dump.safetensors'));
    expect(JSON.parse(good.stdout)).toMatchObject({ bench: 'parity', pass: true });
    expect(good.status).toBe(0);
    expect(existsSync(path.join(home, 'dump.safetensors'))).toBe(true);
    const other = path.join(home, 'other');
    cpSync(fixture, other, { recursive: true });
    cpSync(path.join(ROOT, 'testdata/parity/llama3-rope/expected.safetensors'), path.join(other, 'expected.safetensors'));
    const bad = hindsight('bench', 'parity', '--fixtures', other, '--json', '-');
    expect(bad.status).toBe(1);
  });
});
