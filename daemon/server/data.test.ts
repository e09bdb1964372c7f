import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { dataExport, dataForget, dataPreview, dataWouldStore } from '../../protocol/data.ts';
import { adapterList, consentSet, trainingNow } from '../../protocol/editor.ts';
import { signalPublish } from '../../protocol/signals.ts';
import { call } from '../../protocol/transport.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Daemon } from './daemon.ts';
import { openWindow } from './window.fixture.ts';

const MARK = 'quaggaZebra';
const TEXT = 'export function read(path: string): string {\n  \n}\n';
const CURSOR = TEXT.indexOf('  \n}') + 2;
let engine: EngineClient;
let home: string;
let folder: string;
let workspace: string;
let daemon: Daemon;
let link: MessageConnection;
let clock: VirtualClock;
let sent = 0;

beforeAll(async () => (engine = await startEngine({ modelDir: bundledModel(), threads: 1 })));
afterAll(() => engine.close());
beforeEach(async () => {
  const root = mkdtempSync(join(tmpdir(), 'hindsight-data-'));
  home = join(root, 'home');
  folder = join(root, 'my project');
  mkdirSync(folder);
  workspace = pathToFileURL(folder).href;
  clock = new VirtualClock(1_790_000_000_000);
  sent = 0;
  daemon = await Daemon.start({ home, modelDir: bundledModel(), engine, clock, typist: 'replay', settings: { ...DEFAULT_SETTINGS, holdoutShare: 0, quietSamples: 1, stepSamples: 2 } });
  await daemon.ready;
  link = await openWindow(daemon, workspace);
  await call(link, consentSet, { workspace, state: 'granted' });
});
afterEach(async () => {
  link.dispose();
  await daemon.stop();
  rmSync(join(home, '..'), { recursive: true, force: true });
});

const uriOf = (name: string): string => `${workspace}/${name.split('/').map(encodeURIComponent).join('/')}`;
const filesOf = (dir: string): string[] => readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name)).filter((path) => statSync(path).isFile());
/** Every byte under the home, as text. */
const disk = (): string => filesOf(home).map((path) => readFileSync(path, 'latin1')).join('');

async function open(name: string, text: string): Promise<void> {
  await link.sendNotification('textDocument/didOpen', { textDocument: { uri: uriOf(name), languageId: 'typescript', version: 1, text } });
}

/** A suggestion is offered, and something else is typed: a lesson. */
async function lesson(name: string, written: string): Promise<void> {
  await open(name, TEXT);
  await link.sendRequest('textDocument/inlineCompletion', { textDocument: { uri: uriOf(name) }, position: { line: 1, character: 2 }, context: { triggerKind: 2 } });
  const signals = [written, '\n'].map((text, at) => ({ kind: 'document.changed' as const, at: clock.now() + at, uri: uriOf(name), version: 2 + at, changes: [{ offset: CURSOR + (at === 0 ? 0 : written.length), length: 0, text }] }));
  await call(link, signalPublish, { session: 's', first: sent, signals });
  sent += signals.length;
  await link.sendNotification('textDocument/didClose', { textDocument: { uri: uriOf(name) } });
  clock.advance(60_000);
}

describe('what is recorded', () => {
  it('is shown as it stands, and taken along', async () => {
    await lesson('a b.ts', `return ${MARK};`);
    const { records } = await call(link, dataPreview, { workspace, limit: 500 });
    expect(new Set(records.map(({ kind }) => kind))).toEqual(new Set(['signal', 'turn', 'nextState', 'verdict', 'hint']));
    expect(records.map(({ at }) => at)).toEqual(records.map(({ at }) => at).toSorted((a, b) => b - a));
    expect(records.filter(({ kind }) => kind === 'signal').map(({ json }) => JSON.parse(json) as unknown).reverse()).toEqual(daemon.journal.signals('s'));
    expect((await call(link, dataPreview, { workspace, limit: 2 })).records).toEqual(records.slice(0, 2));
    const path = join(home, '..', 'mine.jsonl');
    const done = await call(link, dataExport, { workspace, path });
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { kind: string; record: unknown });
    expect(done).toEqual({ records: records.length, bytes: statSync(path).size });
    expect(lines.map(({ kind, record }) => `${kind} ${JSON.stringify(record)}`).sort()).toEqual(records.map(({ kind, json }) => `${kind} ${JSON.stringify(JSON.parse(json))}`).sort());
    expect(statSync(path).mode & 0o77).toBe(0);
    await expect(call(link, dataPreview, { workspace: `${workspace}2`, limit: 5 })).resolves.toEqual({ records: [] });
  });

  it('would be, of a file: its text with secrets masked, or nothing and why', async () => {
    writeFileSync(join(folder, '.gitignore'), 'out/\n');
    const text = 'const a = 1;\nconst password = "correct-horse-9";\n';
    const of = (uri: string) => call(link, dataWouldStore, { workspace, uri, text });
    expect(await of(uriOf('a.ts'))).toEqual({ stored: 'yes', text: text.replace('correct-horse-9', '*'.repeat(15)), masked: 1 });
    expect((await of(uriOf('.env'))).stored).toBe('ignored');
    expect((await of(uriOf('out/a.ts'))).stored).toBe('ignored');
    expect((await of('file:///elsewhere/a.ts')).stored).toBe('outside');
    await call(link, consentSet, { workspace, state: 'granted', classes: ['edits'] });
    expect(await of(uriOf('a.ts'))).toEqual({ stored: 'consent', text: '', masked: 0 });
  });
});

describe('forgetting while everything runs', () => {
  it('takes a file out of every file of the home, and what a window still holds of it does not come back', async () => {
    // The later one may have the earlier one's text in its prompt, by memory: it would go with it.
    await lesson('src/other.ts', 'return path;');
    await lesson('src/a b.ts', `return ${MARK};`);
    expect(disk()).toContain(MARK);
    const gone = await call(link, dataForget, { scope: { what: 'file', uri: uriOf('src/a b.ts') } });
    expect(gone).toEqual({ signals: 2, turns: 1, samples: 1, remembered: 1, adapters: [], serving: [] });
    expect(disk()).not.toContain(MARK);
    const signals = [{ kind: 'document.changed' as const, at: clock.now() - 1, uri: uriOf('src/a b.ts'), version: 9, changes: [{ offset: 0, length: 0, text: MARK }] }];
    expect(await call(link, signalPublish, { session: 's', first: sent, signals })).toEqual({ acknowledged: sent });
    expect(disk()).not.toContain(MARK);
    expect(daemon.journal.turnsOf({ workspace }).map(({ uri }) => uri)).toEqual([uriOf('src/other.ts')]);
    expect(daemon.journal.verify()).toEqual([]);
    const folderGone = await call(link, dataForget, { scope: { what: 'folder', uri: `${uriOf('src')}/` } });
    expect(folderGone).toMatchObject({ signals: 2, turns: 1 });
    expect(daemon.journal.verify()).toEqual([]);
  });

  it('takes the turns of other files, too, whose prompts may hold its text', async () => {
    await open('secret notes.ts', `export function read(path: string): string {\n  return ${MARK};\n}\n`.repeat(20));
    await lesson('a.ts', 'return path;');
    expect(daemon.journal.turnsOf({ workspace })[0]?.beside).toContain('secret notes.ts');
    const gone = await call(link, dataForget, { scope: { what: 'file', uri: uriOf('secret notes.ts') } });
    expect(gone).toMatchObject({ turns: 1, samples: 1 });
    expect(daemon.journal.turnsOf({ workspace })).toEqual([]);
  });

  it('takes back the step that is under way, and trains nothing of it afterwards', async () => {
    for (const name of ['a.ts', 'b.ts', 'c.ts', 'd.ts']) await lesson(name, `return ${MARK} + path;`);
    const training = call(link, trainingNow, { workspace }, { deadline: 120 });
    const ended = training.then(() => 'trained', (error: unknown) => String(error));
    while (daemon.journal.steps({ state: 'running' }).length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const gone = await call(link, dataForget, { scope: { what: 'workspace', workspace } });
    expect(gone).toMatchObject({ turns: 4, samples: 4 });
    expect(await ended).toMatch(/cancelled|trained/);
    expect(disk()).not.toContain(MARK);
    expect(daemon.journal.samples({ workspace })).toEqual([]);
    expect((await call(link, trainingNow, { workspace })).steps).toBe(0);
    // Whatever was made of it before the wish is named by it.
    expect(gone.adapters.map(({ version }) => version)).toEqual(daemon.journal.adapters(workspace).map(({ version }) => version).reverse());
    expect(daemon.journal.verify()).toEqual([]);
  });

  it('names the versions that may have learned from it, and what can serve instead; everything takes them, too', async () => {
    await lesson('a.ts', 'return path;');
    await lesson('b.ts', `return ${MARK};`);
    await call(link, trainingNow, { workspace }, { deadline: 120 });
    const { adapters, serving } = await call(link, adapterList, { workspace });
    expect(adapters.length).toBeGreaterThan(0);
    const gone = await call(link, dataForget, { scope: { what: 'file', uri: uriOf('b.ts') } });
    expect(gone.adapters.map(({ version }) => version).reverse()).toEqual(adapters.map(({ version }) => version));
    expect(gone.serving).toEqual(serving === null ? [] : [{ workspace, version: serving, instead: null }]);
    await call(link, dataForget, { scope: { what: 'everything' } });
    expect(existsSync(join(home, 'adapters'))).toBe(false);
    expect(await call(link, adapterList, { workspace })).toEqual({ serving: null, adapters: [] });
    expect(daemon.journal.stats()).toMatchObject({ signals: 0, turns: 0, adapters: 0 });
    expect(daemon.journal.nextVersion(workspace)).toBe((adapters[0]?.version ?? 0) + 1);
    expect(daemon.journal.consent(workspace).state).toBe('granted');
    // And it goes on: the next lessons make the next version.
    await lesson('c.ts', 'return path.trim();');
    await call(link, trainingNow, { workspace }, { deadline: 120 });
    expect((await call(link, adapterList, { workspace })).adapters.map(({ version }) => version)).toEqual([(adapters[0]?.version ?? 0) + 1]);
    expect(daemon.journal.verify()).toEqual([]);
  });
});
