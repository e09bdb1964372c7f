import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { CancellationTokenSource } from 'vscode-jsonrpc';
import { adapterList, consentSet, learningShow, statusChanged, statusGet } from '../../protocol/editor.ts';
import type { Status } from '../../protocol/editor.ts';
import { daemonHello } from '../../protocol/handshake.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal } from '../../protocol/signals.ts';
import { call, on } from '../../protocol/transport.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { nextOf, turnOf } from '../learn/samples.fixture.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { plantedSecrets } from '../../protocol/planted.fixture.ts';
import { bundledModel } from '../models/bundled.ts';
import { memoryLink } from '../replay/link.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { serveConnection } from './connection.ts';
import { Daemon } from './daemon.ts';
import { statusOf } from './status.ts';

const WORKSPACE = 'file:///p';
const URI = 'file:///p/src/a.ts';
const TEXT = 'import { readFileSync } from "node:fs";\n\nexport function read(path: string): string {\n  \n}\n';
const CURSOR = TEXT.indexOf('  \n}') + 2;
const START = 1_790_000_000_000;
let engine: EngineClient;
let home: string;
let clock: VirtualClock;
let daemon: Daemon;
const links: MessageConnection[] = [];

beforeAll(async () => (engine = await startEngine({ modelDir: bundledModel(), threads: 1 })));
afterAll(() => engine.close());
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-daemon-'));
  clock = new VirtualClock(START);
  daemon = await Daemon.start({ home, modelDir: bundledModel(), engine, clock, typist: 'replay', settings: { ...DEFAULT_SETTINGS, holdoutShare: 0 } });
  await daemon.ready;
});
afterEach(async () => {
  for (const link of links.splice(0)) link.dispose();
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

interface Client {
  link: MessageConnection;
  answer: unknown;
  complete: (cancelled?: CancellationTokenSource) => Promise<{ insertText: string; command: { arguments: [string] } }[]>;
}

async function connect(session = 's', options: unknown = { protocol: { min: 1, max: 1 }, client: { name: 'test', version: '1' }, session, workspace: WORKSPACE }): Promise<Client> {
  const { client: link, server } = memoryLink();
  serveConnection(daemon, server);
  link.listen();
  links.push(link);
  const answer = await link.sendRequest<unknown>('initialize', { processId: null, rootUri: WORKSPACE, capabilities: {}, initializationOptions: options });
  await link.sendNotification('initialized', {});
  await link.sendNotification('textDocument/didOpen', { textDocument: { uri: URI, languageId: 'typescript', version: 1, text: TEXT } });
  const position = { line: 3, character: 2 };
  return { link, answer, complete: (source) => link.sendRequest('textDocument/inlineCompletion', { textDocument: { uri: URI }, position, context: { triggerKind: 2 } }, ...(source ? [source.token] : [])) };
}

const typed = (text: string, version: number, offset = CURSOR): Signal => ({ kind: 'document.changed', at: clock.now(), uri: URI, version, changes: [{ offset, length: 0, text }] });

describe('the handshake', () => {
  it('names protocol, daemon, limits and the last signal on disk', async () => {
    const { answer } = await connect();
    const { capabilities } = answer as { capabilities: { inlineCompletionProvider: unknown; textDocumentSync: { change: number }; experimental: { hindsight: unknown } } };
    expect(daemonHello.parse(capabilities.experimental.hindsight)).toMatchObject({ protocol: 1, acknowledged: -1, daemon: { pid: process.pid } });
    expect(capabilities.inlineCompletionProvider).toBe(true);
    expect(capabilities.textDocumentSync.change).toBe(2);
  });

  it('refuses a client of another protocol and says which side to update', async () => {
    const hello = { protocol: { min: 9, max: 9 }, client: { name: 'new', version: '9' }, session: 's', workspace: WORKSPACE };
    await expect(connect('s', hello)).rejects.toThrow('This side speaks protocol 1-1 and the other side 9-9. Update the daemon.');
    await expect(connect('s', { editor: 'vim' })).rejects.toThrow(/not a hello of Hindsight/);
  });

  it('outlives a client that says exit', async () => {
    const { link } = await connect();
    await link.sendRequest('shutdown');
    await link.sendNotification('exit');
    expect((await connect('next')).answer).toBeTruthy();
  });
});

describe('holding back', () => {
  it('watches until enough is known; then what would hardly be taken is not shown, and what is written there still teaches', async () => {
    const hello = { protocol: { min: 1, max: 1 }, client: { name: 'test', version: '1' }, session: 's', workspace: WORKSPACE, holdBack: true };
    const early = await connect('s', hello);
    expect((await call(early.link, statusGet, { workspace: WORKSPACE })).holdBack).toMatch(/^Every suggestion is still shown: .* 0 taken and 0 turned down are known\.$/);
    early.link.dispose();
    await daemon.stop();
    daemon = await Daemon.start({ home, modelDir: bundledModel(), engine, clock, typist: 'replay', settings: { ...DEFAULT_SETTINGS, holdoutShare: 0 } });
    await daemon.ready;
    // A developer who takes suggestions in comments and nowhere else.
    for (let i = 0; i < 300; i++) {
      const inComment = i % 3 === 0;
      const turn = turnOf([`call${i}()`], { id: `t-${i}`, workspace: WORKSPACE, session: 'earlier', block: `b-${Math.floor(i / 20)}`, offeredAt: i, before: inComment ? '  // see ' : '  ' });
      daemon.journal.insertTurn(turn);
      daemon.journal.closeTurn(nextOf(turn, { outcome: inComment ? 'accepted' : 'diverged', decidedAt: i }));
    }
    const { link, complete } = await connect('s', hello);
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    expect((await call(link, statusGet, { workspace: WORKSPACE })).holdBack).toMatch(/^Suggestions that you would hardly take are held back/);
    expect(await complete()).toEqual([]);
    const [turn] = daemon.journal.turnsOf({ workspace: WORKSPACE, limit: 1 });
    expect(turn).toMatchObject({ shownText: '', held: expect.stringMatching(/./) as string });
    const signals = [typed('throw new Error(path);', 2), typed('\n', 3, CURSOR + 22)];
    await call(link, signalPublish, { session: 's', first: 0, signals });
    expect(daemon.journal.nextState(turn?.id ?? '')).toMatchObject({ outcome: 'diverged', developerText: expect.stringContaining('throw new Error') as string });
    expect(daemon.journal.verdicts(turn?.id ?? ''), 'what was not shown is not judged').toEqual([]);
    expect(daemon.journal.samples({ workspace: WORKSPACE }).map(({ route }) => route)).toEqual(['distillation']);
    expect(daemon.journal.verify()).toEqual([]);
  });
});

describe('a completion', () => {
  it('is on disk with its tokens before the editor has it, and its outcome becomes a sample', async () => {
    const { link, complete } = await connect();
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    const [item] = await complete();
    const turn = daemon.journal.turn(item?.command.arguments[0] ?? '');
    expect(turn).toMatchObject({ shownText: item?.insertText, offset: CURSOR, version: 1, adapter: null, role: 'main', fingerprint: engine.model.fingerprint, offeredAt: START });
    expect(turn?.responseIds.length).toBe(turn?.logprobs.length);
    const signals = [typed('throw new Error(path);', 2), typed('\n', 3, CURSOR + 22)];
    expect(await call(link, signalPublish, { session: 's', first: 0, signals })).toEqual({ acknowledged: 1 });
    expect(daemon.journal.nextState(turn?.id ?? '')).toMatchObject({ outcome: 'diverged', developerText: 'throw new Error(path);\n' });
    expect(daemon.journal.samples({ state: 'ready' })).toHaveLength(1);
    expect(daemon.journal.verify()).toEqual([]);
    expect((await call(link, learningShow, { workspace: WORKSPACE })).markdown).toContain('throw new Error(path);');
    expect(await call(link, adapterList, { workspace: WORKSPACE })).toEqual({ serving: null, adapters: [] });
  });

  it('is served without consent, and leaves no trace on the disk (invariant 1)', async () => {
    const { link, complete } = await connect();
    const [item] = await complete();
    expect(item?.insertText).toBeTruthy();
    await expect(call(link, signalPublish, { session: 's', first: 0, signals: [typed('zanzibar', 2)] })).rejects.toThrow(/before its owner agrees/);
    const files = readdirSync(home).filter((name) => statSync(join(home, name)).isFile()).map((name) => readFileSync(join(home, name), 'latin1')).join('');
    for (const text of ['zanzibar', 'readFileSync', item?.command.arguments[0] ?? '?', URI]) expect(files).not.toContain(text);
  });

  it('never carries a secret to the disk: pasted, typed, standing in the document or in a file beside it', async () => {
    const secrets = plantedSecrets(11);
    const { link, complete } = await connect();
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    const half = Math.floor(secrets.length / 2);
    const block = (some: typeof secrets): string => some.map(({ text }) => `${text}\n`).join('');
    await link.sendNotification('textDocument/didOpen', { textDocument: { uri: 'file:///p/other.ts', languageId: 'typescript', version: 1, text: `export function read() {}\n${block(secrets.slice(half))}` } });
    let text = TEXT;
    let version = 1;
    let first = 0;
    const send = async (...changes: { offset: number; length: number; text: string }[]): Promise<void> => {
      const signals: Signal[] = [];
      for (const change of changes) {
        text = text.slice(0, change.offset) + change.text + text.slice(change.offset + change.length);
        version++;
        signals.push({ kind: 'document.changed', at: clock.now(), uri: URI, version, changes: [change] });
      }
      await link.sendNotification('textDocument/didChange', { textDocument: { uri: URI, version }, contentChanges: [{ text }] });
      await call(link, signalPublish, { session: 's', first, signals });
      first += signals.length;
    };
    for (const { text: planted } of secrets.slice(0, half)) {
      // Before the cursor: a completion is asked for while it stands there, and while it is being typed.
      await send({ offset: 0, length: 0, text: `${planted}\n` });
      await complete();
      for (let second = 0; second < 40; second++) clock.advance(1000);
      const characters = [...`${planted}\n`].map((char, offset) => ({ offset, length: 0, text: char }));
      await send(...characters.slice(0, 12));
      await complete();
      for (let at = 12; at < characters.length; at += 9) await send(...characters.slice(at, at + 9));
    }
    expect(daemon.journal.verify()).toEqual([]);
    const files = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(home, name)).isFile()).map((name) => readFileSync(join(home, name), 'latin1')).join('');
    const prompts = (await Promise.all(daemon.journal.turnsOf({ session: 's' }).map(({ promptIds }) => engine.detokenize({ ids: promptIds })))).map(({ text: prompt }) => prompt).join('\n');
    expect(prompts).toContain('********');
    const stored = daemon.journal.signals('s').flatMap((signal) => (signal.kind === 'document.changed' ? signal.changes.map((change) => change.text) : [])).join('');
    for (const { kind, secret } of secrets) {
      for (const line of secret.split('\n')) for (const place of [files, stored, prompts]) expect(place.includes(line), kind).toBe(false);
    }
  });

  it('is computed for the newest request of a document only', async () => {
    const { complete } = await connect();
    const answers = await Promise.all([complete(), complete(), complete()]);
    expect(answers.map((items) => items.length)).toEqual([0, 0, 1]);
  });

  it('ends when the editor cancels', async () => {
    const { complete } = await connect();
    const source = new CancellationTokenSource();
    const answer = complete(source).catch(() => []);
    source.cancel();
    expect(await answer).toEqual([]);
    expect((await complete()).length).toBe(1);
  });

  it('sees the text as the editor has it: incremental changes, CRLF, other open files', async () => {
    const { link } = await connect();
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    await link.sendNotification('textDocument/didChange', {
      textDocument: { uri: URI, version: 2 },
      contentChanges: [{ range: { start: { line: 3, character: 2 }, end: { line: 3, character: 2 } }, text: 'const 🙂 = ' }],
    });
    await link.sendRequest('textDocument/inlineCompletion', { textDocument: { uri: URI }, position: { line: 3, character: 13 }, context: { triggerKind: 1 } });
    const [turn] = daemon.journal.turnsOf({ workspace: WORKSPACE });
    expect(turn).toMatchObject({ version: 2, offset: CURSOR + 11 });
    expect(turn?.before.endsWith('  const 🙂 = ')).toBe(true);
  });
});

describe('status', () => {
  it('is told to the windows of the workspace when it changes', async () => {
    const { link } = await connect();
    const other = await connect('other');
    const told: Status[] = [];
    on(link, statusChanged, ({ status }) => told.push(status));
    await call(other.link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    await other.complete();
    clock.advance(1000);
    await call(link, statusGet, { workspace: WORKSPACE });
    expect(told.at(-1)).toMatchObject({ state: 'serving', adapter: null, pipe: { turnsOpen: 1 }, model: { name: 'seed' } });
  });

  it('warns of trainable requests that leave no trainable turn (conformance 24)', async () => {
    const { link, complete } = await connect();
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    for (let request = 0; request < 20; request++) await complete();
    const { warning } = await call(link, statusGet, { workspace: WORKSPACE });
    expect(warning).toMatch(/^20 suggestions were offered and nothing could be learned from any of them/);
    await call(link, signalPublish, { session: 's', first: 0, signals: [typed('throw 1;', 2), typed('\n', 3, CURSOR + 8)] });
    expect((await call(link, statusGet, { workspace: WORKSPACE })).warning).toBeNull();
  });

  it('says why there is no engine', () => {
    const facts = { model: null, adapter: null, remote: null, pipe: daemon.journal.pipeCounts(), paused: false, stepping: false, offers: 0, lessons: 0, waiting: null, quietUntil: null, remark: null };
    expect(statusOf({ ...facts, engine: 'starting' }).state).toBe('starting');
    expect(statusOf({ ...facts, engine: 'down' }).state).toBe('offline');
  });
});

describe('a daemon without a usable model', () => {
  it('takes signals all the same, and says what is wrong', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hindsight-nomodel-'));
    const poor = await Daemon.start({ home: folder, modelDir: join(folder, 'no model'), clock });
    await expect(poor.ready).rejects.toThrow(/There is no/);
    poor.setConsent(WORKSPACE, 'granted');
    expect(poor.publish({ session: 's', workspace: WORKSPACE, first: 0, signals: [typed('x', 2)] })).toBe(0);
    expect(poor.status(WORKSPACE)).toMatchObject({ state: 'offline', model: null });
    expect(poor.status(WORKSPACE).warning).toMatch(/There is no/);
    await poor.stop();
    rmSync(folder, { recursive: true });
  });

  it('starts the engine again that was killed while it started', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hindsight-late-'));
    const late = await Daemon.start({ home: folder, modelDir: bundledModel() });
    const first = late.ready;
    const starting = engines().find((pid) => pid !== engine.pid);
    process.kill(starting ?? 0, 'SIGKILL');
    await expect(first).rejects.toThrow(/SIGKILL/);
    expect(late.status(WORKSPACE).state).toBe('offline');
    await expect.poll(() => late.status(WORKSPACE).state, { timeout: 60_000 }).not.toBe('offline');
    await late.ready;
    await late.stop();
    rmSync(folder, { recursive: true });
  });
});

/** Processes of engines that this one started. */
function engines(): number[] {
  return execFileSync('pgrep', ['-P', String(process.pid), '-f', 'engine'], { encoding: 'utf8' }).trim().split('\n').map(Number);
}
