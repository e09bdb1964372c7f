import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import type { Turn } from '../journal/records.ts';
import { Scene, WORKSPACE } from '../learn/scene.fixture.ts';
import { AdapterStore } from './store.ts';
import { WEIGHTS, OPTIMIZER, RECEIPT, workspaceKey, writeFolder } from './files.ts';

describe('versions of a workspace, with the real engine', () => {
  let scene: Scene;
  const prompts: Turn[] = [];
  const greedy = async (): Promise<number[][]> => {
    const adapter = (await scene.adapters.ensureServing(WORKSPACE))?.name ?? null;
    const answers: number[][] = [];
    for (const { promptIds } of prompts) answers.push((await scene.engine.generate({ prompt: promptIds, sampling: { maxTokens: 24, temperature: 0 }, adapter })).ids);
    return answers;
  };
  const answers: number[][][] = [];

  /** Two promoted versions that answer differently from the base and from one another. */
  beforeAll(async () => {
    // Steps large enough to change greedy answers, small enough for the gate.
    scene = await Scene.start({ stepSamples: 4, lr: 0.01 }, { golden: GOLDEN_TEXTS.slice(0, 10) });
    for (let round = 0; round < 3; round++) {
      answers.push(prompts.length === 0 ? [] : await greedy());
      if (round === 2) break;
      for (let index = 0; index < 4; index++) {
        const turn = await scene.turn({ id: `t-${round}-${index}`, prefix: `export function total${index}(items: number[]) {\n  ` });
        if (round === 0) prompts.push(turn);
        scene.outcome(turn, { developerText: round === 0 ? `assertKnown(items, ${index});\n` : `throw new Refusal('none', ${index});\n` });
      }
      if (round === 0) answers[0] = await greedy();
      await scene.trainer.drain(WORKSPACE);
    }
  });
  afterAll(() => scene.close());

  it('conformance 22: a rollback gives the same greedy tokens again', async () => {
    expect(scene.journal.serving(WORKSPACE)).toBe(2);
    expect(answers[2]).not.toEqual(answers[1]);
    expect(await scene.adapters.rollback(WORKSPACE)).toBe(1);
    expect(await greedy()).toEqual(answers[1]);
    expect(await scene.adapters.rollback(WORKSPACE)).toBeNull();
    expect(await greedy()).toEqual(answers[0]);
    expect(await scene.adapters.rollback(WORKSPACE, 2)).toBe(2);
    expect(await greedy()).toEqual(answers[2]);
    expect(scene.adapters.list(WORKSPACE).map((record) => record.state)).toEqual(['serving', 'rolledBack']);
  });

  it('survive a restart of daemon and engine alike', async () => {
    await scene.reopen();
    expect(await greedy()).toEqual(answers[2]);
    const restarted = new Promise<void>((resolve) => void scene.engine.onRestart(resolve));
    process.kill(scene.engine.pid ?? 0, 'SIGKILL');
    await restarted;
    expect(await greedy()).toEqual(answers[2]);
  });

  it('have an average that teaches: a twentieth of each version, beginning at the base', async () => {
    const weights = (dir: string): Map<string, Float32Array> => {
      const file = readFileSync(path.join(dir, WEIGHTS));
      const length = Number(file.readBigUInt64LE(0));
      const entries = Object.entries(JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, { data_offsets: [number, number] }>).filter(([name]) => name !== '__metadata__');
      return new Map(entries.map(([name, { data_offsets: [from, to] }]) => [name, new Float32Array(Uint8Array.from(file.subarray(8 + length + from, 8 + length + to)).buffer)]));
    };
    const [one, two] = [1, 2].map((version) => weights(scene.adapters.dir(WORKSPACE, version)));
    await scene.adapters.ensureTeacher(WORKSPACE, 1, 0.05);
    const name = await scene.adapters.ensureTeacher(WORKSPACE, 2, 0.05);
    const teacher = weights(path.join(scene.adapters.dir(WORKSPACE, 2), 'teacher'));
    expect([...teacher.keys()].sort()).toEqual([...(two?.keys() ?? [])].sort());
    for (const [key, values] of teacher) {
      const of = (version: Map<string, Float32Array> | undefined): Float32Array => version?.get(key) ?? new Float32Array();
      const before = key.includes('lora_A') ? 1 : 0.05;
      values.forEach((value, index) => expect(Math.abs(value - (0.95 * before * (of(one)[index] ?? NaN) + 0.05 * (of(two)[index] ?? NaN)))).toBeLessThan(1e-6));
    }
    // It reads like neither the base nor the version: an adapter of its own.
    const [turn] = prompts;
    if (turn === undefined) throw new Error('no turn');
    const under = async (adapter: string | null): Promise<number> => (await scene.logprobs(turn, 'assertKnown(items, 0);', adapter)).reduce((sum, value) => sum + value, 0);
    const [base, averaged, serving] = [await under(null), await under(name), await under((await scene.adapters.ensureServing(WORKSPACE))?.name ?? null)];
    expect(averaged).toBeGreaterThan(base);
    expect(averaged).toBeLessThan(serving);
  });

  it('are exported as PEFT files with their receipt, without optimizer state', () => {
    const to = path.join(scene.home, 'exported');
    scene.adapters.export(WORKSPACE, 2, to);
    const dir = scene.adapters.dir(WORKSPACE, 2);
    expect(readFileSync(path.join(to, WEIGHTS))).toEqual(readFileSync(path.join(dir, WEIGHTS)));
    expect(JSON.parse(readFileSync(path.join(to, 'adapter_config.json'), 'utf8'))).toMatchObject({ peft_type: 'LORA', r: 16, lora_alpha: 32 });
    expect(JSON.parse(readFileSync(path.join(to, RECEIPT), 'utf8'))).toMatchObject({ version: 2, parent: 1 });
    expect(existsSync(path.join(dir, OPTIMIZER))).toBe(true);
    expect(existsSync(path.join(to, OPTIMIZER))).toBe(false);
  });

  it('of another base are refused, and do not serve', async () => {
    scene.journal.insertAdapter({ workspace: 'file:///other', version: 1, parent: null, fingerprint: 'another base', dir: '', sha256: '', state: 'serving', createdAt: 0, samples: 1, reason: '' });
    scene.journal.setServing('file:///other', 1);
    await expect(scene.adapters.ensureLoaded('file:///other', 1)).rejects.toMatchObject({ errorName: 'adapterUnfit' });
    expect(await scene.adapters.ensureServing('file:///other')).toBeNull();
  });

  it('whose files were changed or are gone are named, not loaded', async () => {
    const store = new AdapterStore({ journal: scene.journal, engine: scene.engine, root: path.join(scene.home, 'adapters') });
    writeFileSync(path.join(store.dir(WORKSPACE, 1), WEIGHTS), 'changed');
    await expect(store.rollback(WORKSPACE, 1)).rejects.toMatchObject({ errorName: 'adapterCorrupt' });
    await expect(store.ensureLoaded(WORKSPACE, 99)).rejects.toMatchObject({ errorName: 'adapterMissing' });
    expect(scene.journal.serving(WORKSPACE)).toBe(2);
  });
});

describe('adapter folders', () => {
  it('are whole or not there', async () => {
    const scene = await Scene.start();
    const dir = path.join(scene.home, 'folder', '1');
    await expect(writeFolder(dir, (temporary) => Promise.reject(new Error(`full disk at ${path.basename(temporary)}`)))).rejects.toThrow('full disk');
    expect(existsSync(dir)).toBe(false);
    await writeFolder(dir, (temporary) => Promise.resolve(writeFileSync(path.join(temporary, 'a'), '1')));
    expect(readFileSync(path.join(dir, 'a'), 'utf8')).toBe('1');
    await scene.close();
  });

  it('have one key per workspace, which is a path and readable', () => {
    expect(workspaceKey('file:///home/u/my-app')).toMatch(/^my-app-[0-9a-f]{12}$/);
    expect(workspaceKey('file:///a/app')).not.toBe(workspaceKey('file:///b/app'));
    expect(workspaceKey('file:///')).toMatch(/^[\w-]+$/);
  });
});
