import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { adapterRollback, consentSet, statusGet, trainingNow, trainingPause } from '../../protocol/editor.ts';
import { adapterCompare, adapterExport, learningView } from '../../protocol/learning.ts';
import { signalPublish } from '../../protocol/signals.ts';
import { call } from '../../protocol/transport.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { observeOutcome, watchPromotion } from '../gate/watch.ts';
import { wilson } from '../journal/curve.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Daemon } from './daemon.ts';
import { openWindow } from './window.fixture.ts';

const TEXT = 'export function read(path: string): string {\n  \n}\n';
const CURSOR = TEXT.indexOf('  \n}') + 2;
const clock = new VirtualClock(1_790_000_000_000);
let engine: EngineClient;
let root: string;
let workspace: string;
let daemon: Daemon;
let link: MessageConnection;
let sent = 0;

beforeAll(async () => {
  engine = await startEngine({ modelDir: bundledModel(), threads: 1 });
  root = mkdtempSync(join(tmpdir(), 'hindsight-learning-'));
  mkdirSync(join(root, 'p'));
  workspace = pathToFileURL(join(root, 'p')).href;
  daemon = await Daemon.start({ home: join(root, 'home'), modelDir: bundledModel(), engine, clock, typist: 'replay', settings: { ...DEFAULT_SETTINGS, holdoutShare: 0, quietSamples: 1, stepSamples: 2 } });
  await daemon.ready;
  link = await openWindow(daemon, workspace);
  await call(link, consentSet, { workspace, state: 'granted' });
});
afterAll(async () => {
  link.dispose();
  await daemon.stop();
  await engine.close();
  rmSync(root, { recursive: true, force: true });
});

/** A suggestion is offered, and something else is typed. */
async function lesson(name: string, written: string): Promise<void> {
  const uri = `${workspace}/${name}`;
  await link.sendNotification('textDocument/didOpen', { textDocument: { uri, languageId: 'typescript', version: 1, text: TEXT } });
  await link.sendRequest('textDocument/inlineCompletion', { textDocument: { uri }, position: { line: 1, character: 2 }, context: { triggerKind: 2 } });
  const signals = [written, '\n'].map((text, at) => ({ kind: 'document.changed' as const, at: clock.now() + at, uri, version: 2 + at, changes: [{ offset: CURSOR + (at === 0 ? 0 : written.length), length: 0, text }] }));
  await call(link, signalPublish, { session: 's', first: sent, signals });
  sent += signals.length;
  await link.sendNotification('textDocument/didClose', { textDocument: { uri } });
  clock.advance(60_000);
}

describe('what was learned', () => {
  it('is empty before there is anything, and says so without inventing a share', async () => {
    expect(await call(link, learningView, { workspace, lessons: 10 })).toEqual({ serving: null, curve: [], versions: [], lessons: [] });
  });

  it('tells of each lesson what was suggested, what was written and which version learned it', async () => {
    for (const name of ['a.ts', 'b.ts', 'c.ts']) await lesson(name, `return quagga(path, "${name}");`);
    const before = await call(link, learningView, { workspace, lessons: 10 });
    expect(before.lessons.map(({ uri, state }) => [uri.split('/').at(-1), state])).toEqual([['c.ts', 'waiting'], ['b.ts', 'waiting'], ['a.ts', 'waiting']]);
    expect(before.lessons.every(({ offered, written, score, evidence }) => offered !== '' && written?.includes('quagga') && score !== null && score < 0 && evidence.length > 0)).toBe(true);
    expect(before.curve).toEqual([{ version: null, accepted: wilson(0, 3), survived: { of: 0, value: null, lower: null, upper: null } }]);
    await call(link, trainingNow, { workspace }, { deadline: 120 });
    const { versions, lessons } = await call(link, learningView, { workspace, lessons: 10 });
    expect(versions.length).toBeGreaterThan(0);
    expect(versions.every(({ reason, why }) => reason !== '' && why.join(' ').includes('trained from'))).toBe(true);
    expect(lessons.filter(({ state }) => state === 'learned').map(({ version }) => versions.some((one) => one.version === version))).not.toContain(false);
    expect(lessons.some(({ state }) => state === 'learned')).toBe(true);
  });

  it('compares two versions on the same prompt, stores nothing of it, and exports one as PEFT once', async () => {
    const { versions } = await call(link, learningView, { workspace, lessons: 0 });
    const version = versions[0]?.version ?? 0;
    const place = { workspace, uri: `${workspace}/d.ts`, text: TEXT, offset: CURSOR };
    const turns = daemon.journal.stats().turns;
    const { answers } = await call(link, adapterCompare, { ...place, versions: [null, version] });
    expect(answers[0]).not.toBe('');
    expect((await call(link, adapterCompare, { ...place, versions: [version, null] })).answers).toEqual([answers[1], answers[0]]);
    expect((await call(link, adapterCompare, { ...place, versions: [null, null] })).answers).toEqual([answers[0], answers[0]]);
    expect(daemon.journal.stats().turns).toBe(turns);
    await expect(call(link, adapterCompare, { ...place, versions: [null, 99] })).rejects.toThrow(/99/);
    const folder = join(root, 'out');
    expect((await call(link, adapterExport, { workspace, version, folder })).files).toEqual(['adapter_config.json', 'adapter_model.safetensors', 'receipt.json']);
    expect(existsSync(join(folder, 'adapter_model.safetensors'))).toBe(true);
    await expect(call(link, adapterExport, { workspace, version, folder })).rejects.toThrow(/exists already/);
  });
});

describe('a version of which less is kept than of what was before it', () => {
  it('is taken back by itself: the base serves again, the version is quarantined, and its receipt says why', async () => {
    const version = daemon.journal.serving(workspace) ?? 0;
    expect(version).toBeGreaterThan(0);
    // Nothing new is promoted meanwhile.
    await call(link, trainingPause, {});
    const [turn] = daemon.journal.turnsOf({ workspace, limit: 1 });
    if (turn === undefined) throw new Error('no turn');
    for (let n = 0; n < 60; n++) observeOutcome(daemon.journal, { ...turn, adapter: null }, { turn: turn.id, outcome: 'accepted', acceptedChars: 1, developerText: null, survival: [[30, 1]], decidedAt: 0 });
    watchPromotion(daemon.journal, workspace, version, null);
    for (const name of ['e.ts', 'f.ts', 'g.ts']) await lesson(name, `return nyala("${name}");`);
    await expect.poll(() => daemon.journal.serving(workspace), { timeout: 10_000 }).toBeNull();
    const record = daemon.journal.adapters(workspace).find((one) => one.version === version);
    expect(record).toMatchObject({ state: 'quarantined', reason: expect.stringMatching(/^Less was kept of what it suggested/) as string });
    expect(JSON.parse(readFileSync(join(record?.dir ?? '', 'receipt.json'), 'utf8'))).toMatchObject({ quarantined: { servesInstead: null } });
    expect((await call(link, statusGet, { workspace })).warning).toMatch(/was taken back, the base model serves again/);
    await lesson('h.ts', 'return nyala("h");');
    expect(daemon.journal.turnsOf({ workspace, limit: 1 })[0]?.adapter).toBeNull();
    await expect(call(link, adapterRollback, { workspace, to: version })).rejects.toThrow();
  });
});

describe('Wilson’s interval', () => {
  it('is the textbook’s, stays within 0 and 1, and narrows as cases come', () => {
    // Brown, Cai, DasGupta (2001): 8 of 20.
    expect(wilson(8, 20)).toMatchObject({ lower: expect.closeTo(0.2188, 3) as number, upper: expect.closeTo(0.6134, 3) as number });
    for (const [hits, of] of [[0, 1], [1, 1], [0, 50], [50, 50], [3, 7]] as const) {
      const { value, lower, upper } = wilson(hits, of);
      const order = [0, lower ?? -1, value ?? -1, upper ?? -1, 1];
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
    const width = (of: number): number => (wilson(of / 2, of).upper ?? 1) - (wilson(of / 2, of).lower ?? 0);
    expect(width(1000)).toBeLessThan(width(100));
  });
});
