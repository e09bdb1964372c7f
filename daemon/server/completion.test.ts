import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { ACCEPTED_COMMAND, consentSet, statusChanged, statusGet } from '../../protocol/editor.ts';
import type { Status } from '../../protocol/editor.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal } from '../../protocol/signals.ts';
import { call, on } from '../../protocol/transport.ts';
import { QUIET_AFTER, QUIET_MS } from '../agent/completion/pace.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import type { Turn } from '../journal/records.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Daemon } from './daemon.ts';
import type { DaemonOptions } from './daemon.ts';
import { openWindow } from './window.fixture.ts';

const WORKSPACE = 'file:///p';
const URI = 'file:///p/src/a.ts';
const TEXT = 'import { readFileSync } from "node:fs";\n\nexport function read(path: string): string {\n  \n}\n';
const CURSOR = TEXT.indexOf('  \n}') + 2;
let engine: EngineClient;
/** Passes of the model since the daemon started. */
let generated: number;
let home: string;
let clock: VirtualClock;
let daemon: Daemon;
let typist: Person;

beforeAll(async () => (engine = await startEngine({ modelDir: bundledModel(), threads: 1 })));
afterAll(() => engine.close());
beforeEach(() => start());

async function start(options: Partial<DaemonOptions> = {}): Promise<void> {
  home = mkdtempSync(join(tmpdir(), 'hindsight-completions-'));
  clock = new VirtualClock(1_790_000_000_000);
  generated = 0;
  const counted = new Proxy(engine, { get: (target, name) => (name === 'generate' ? (...args: Parameters<typeof engine.generate>) => (generated++, target.generate(...args)) : Reflect.get(target, name, target)) });
  daemon = await Daemon.start({ home, modelDir: bundledModel(), engine: counted, clock, settings: { ...DEFAULT_SETTINGS, holdoutShare: 0 }, ...options });
  await daemon.ready;
  generated = 0;
  typist = await Person.sitsDown();
}

afterEach(end);

async function end(): Promise<void> {
  typist.link.dispose();
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
}

interface Item {
  insertText: string;
  command: { command: string; arguments: [string] };
}

/** A person at an editor with one document, who agreed to be learned from. */
class Person {
  text = TEXT;
  cursor = CURSOR;
  #version = 1;
  #signals = 0;

  private constructor(readonly link: MessageConnection) {}

  static async sitsDown(): Promise<Person> {
    const link = await openWindow(daemon, WORKSPACE);
    await call(link, consentSet, { workspace: WORKSPACE, state: 'granted' });
    await link.sendNotification('textDocument/didOpen', { textDocument: { uri: URI, languageId: 'typescript', version: 1, text: TEXT } });
    return new Person(link);
  }

  /** Each character is a change; so is an accepted text as a whole. */
  async type(text: string, how: 'by keys' | 'accepted' = 'by keys'): Promise<void> {
    for (const written of how === 'accepted' ? [text] : [...text]) await this.replace(this.cursor, 0, written);
  }

  async replace(offset: number, length: number, text: string): Promise<void> {
    this.text = this.text.slice(0, offset) + text + this.text.slice(offset + length);
    this.cursor = offset + text.length;
    this.#version++;
    await this.link.sendNotification('textDocument/didChange', { textDocument: { uri: URI, version: this.#version }, contentChanges: [{ text: this.text }] });
    await this.publish({ kind: 'document.changed', at: clock.now(), uri: URI, version: this.#version, changes: [{ offset, length, text }] });
  }

  async publish(signal: Signal): Promise<void> {
    await call(this.link, signalPublish, { session: 's', first: this.#signals++, signals: [signal] });
  }

  /** @param waited  milliseconds that pass while the editor waits */
  async ask(waited = 60, trigger: 'by typing' | 'invoked' = 'by typing'): Promise<Item | null> {
    const before = this.text.slice(0, this.cursor).split('\n');
    const position = { line: before.length - 1, character: before.at(-1)?.length ?? 0 };
    const answer = this.link.sendRequest<Item[]>('textDocument/inlineCompletion', { textDocument: { uri: URI }, position, context: { triggerKind: trigger === 'invoked' ? 1 : 2 } });
    // The request is in the daemon before its time passes.
    await call(this.link, statusGet, { workspace: WORKSPACE });
    clock.advance(waited);
    return (await answer)[0] ?? null;
  }

  turns(): Turn[] {
    return daemon.journal.turnsOf({ workspace: WORKSPACE });
  }
}

describe('an offer that is typed through', () => {
  it('stays the same turn without waiting and without another pass of the model, and is counted once', async () => {
    const first = await typist.ask();
    const offered = first?.insertText ?? '';
    expect(offered.length).toBeGreaterThan(6);
    for (let typed = 1; typed <= 4; typed++) {
      await typist.type(offered.charAt(typed - 1));
      const still = await typist.ask(0);
      expect(still?.insertText).toBe(offered.slice(typed));
      expect(still?.command).toEqual({ command: ACCEPTED_COMMAND, title: 'Accepted', arguments: first?.command.arguments });
    }
    await typist.type(offered.slice(4), 'accepted');
    await typist.publish({ kind: 'suggestion.accepted', at: clock.now(), turn: first?.command.arguments[0] ?? '' });
    for (let second = 0; second < 40; second++) clock.advance(1000);
    expect(typist.turns()).toHaveLength(1);
    expect(daemon.journal.nextState(first?.command.arguments[0] ?? '')).toMatchObject({ outcome: 'accepted', acceptedChars: offered.length });
  });

  it('gives way to a new one where something else is typed, and comes back where that is taken back', async () => {
    const first = await typist.ask();
    await typist.type('~');
    const other = await typist.ask(100);
    expect(other?.command.arguments[0]).not.toBe(first?.command.arguments[0]);
    await typist.replace(typist.cursor - 1, 1, '');
    expect(await typist.ask(0)).toEqual(first);
  });

  it('ends with its turn: what was abandoned is a new offer when it is asked for again', async () => {
    const first = await typist.ask();
    for (let second = 0; second < 40; second++) clock.advance(1000);
    const again = await typist.ask();
    expect(again?.insertText).toBe(first?.insertText);
    expect(again?.command.arguments[0]).not.toBe(first?.command.arguments[0]);
  });
});

describe('what follows an accepted suggestion', () => {
  it('is computed before it is asked for, is there at once, and is no offer until then', async () => {
    const first = await typist.ask();
    expect(generated).toBe(1);
    await typist.type(first?.insertText ?? '', 'accepted');
    await expect.poll(() => generated).toBe(2);
    expect(typist.turns()).toHaveLength(1);
    await typist.ask(0);
    expect([generated, typist.turns().length]).toEqual([2, 2]);
    expect(typist.turns()[0]).toMatchObject({ offset: typist.cursor, version: 2, offeredAt: clock.now() });
    expect(daemon.journal.verify()).toEqual([]);
  });

  it('is forgotten when something else is written', async () => {
    await typist.type((await typist.ask())?.insertText ?? '', 'accepted');
    await typist.type('~');
    await typist.ask();
    expect(typist.turns()[0]).toMatchObject({ offset: typist.cursor, version: 3 });
    expect(generated).toBe(3);
  });

  it('is not computed for what is typed by hand', async () => {
    await typist.type((await typist.ask())?.insertText ?? '');
    await engine.generate({ prompt: [5, 6], sampling: { maxTokens: 1, temperature: 0 }, adapter: null, priority: 0 });
    expect(generated).toBe(1);
  });

  it('goes on with lines that were late: the first one is offered alone', async () => {
    await end();
    await start({ lateMs: 0 });
    await typist.replace(0, TEXT.length, 'export function add(a: number, b: number): number {\n  ');
    const first = (await typist.ask())?.insertText ?? '';
    expect(first).toMatch(/^\S.*$/);
    await typist.type(first, 'accepted');
    const next = (await typist.ask(0))?.insertText ?? '';
    expect(next).toMatch(/^\n +\S/);
    expect(typist.turns().map(({ finishReason }) => finishReason)).toContain('length');
    for (const turn of typist.turns()) expect(turn.offsets).toHaveLength(turn.responseIds.length + 1);
  });
});

describe('a person who turns suggestions down', () => {
  /** Writes something else than what was suggested on a line. */
  async function turnDown(line: number): Promise<void> {
    await typist.type(`\n  const value${line} = `, 'accepted');
    const offered = (await typist.ask(4000))?.insertText ?? '';
    expect(offered).not.toBe('');
    await typist.type(offered.startsWith('~') ? '%' : '~');
  }

  it('is asked to wait longer for the next one', async () => {
    for (let line = 0; line < 3; line++) await turnDown(line);
    await typist.type('\n  const next = ', 'accepted');
    let answered = false;
    const answer = typist.ask(100).then((item) => (answered = item !== null));
    // Nothing of it can be behind this on the engine.
    for (let pass = 0; pass < 3; pass++) await engine.generate({ prompt: [5, 6], sampling: { maxTokens: 32, temperature: 0 }, adapter: null, priority: 0 });
    expect(answered).toBe(false);
    clock.advance(100);
    expect(await answer).toBe(true);
  });

  it('is left alone for some minutes after many in a row, is told so, and can still ask', async () => {
    const told: Status[] = [];
    on(typist.link, statusChanged, ({ status }) => told.push(status));
    for (let line = 0; line < QUIET_AFTER; line++) await turnDown(line);
    await typist.type('\n  const next = ', 'accepted');
    expect(await typist.ask(4000)).toBeNull();
    await expect.poll(() => told.at(-1)?.quietUntil).toBeGreaterThan(clock.now());
    const asked = (await typist.ask(0, 'invoked'))?.insertText ?? '';
    expect(asked.length).toBeGreaterThan(1);
    await typist.type(asked.slice(0, 1));
    expect((await typist.ask(4000))?.insertText, 'what was asked for goes on').toBe(asked.slice(1));
    await typist.replace(typist.cursor - 2, 2, '');
    await typist.type(` ${asked.slice(0, 1)}`);
    expect(await typist.ask(4000), 'and does not come back by itself').toBeNull();
    expect(await typist.ask(0, 'invoked')).not.toBeNull();
    clock.advance(QUIET_MS);
    expect((await call(typist.link, statusGet, { workspace: WORKSPACE })).quietUntil).toBeNull();
    await typist.type('\n  const last = ', 'accepted');
    expect(await typist.ask(4000)).not.toBeNull();
  });

  it('is not, where the setting says so', async () => {
    daemon.completion.setAdaptive(WORKSPACE, false);
    for (let line = 0; line < 4; line++) await turnDown(line);
    await typist.type('\n  const next = ', 'accepted');
    expect(await typist.ask(60)).not.toBeNull();
  });
});
