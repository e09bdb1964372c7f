import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Signal } from '../../protocol/signals.ts';
import type { OutboxLimits } from './outbox.ts';
import { Recorder } from './recorder.ts';
import { Seal } from './seal.ts';

const LIMITS: OutboxLimits = { signalsPerBatch: 3, batchBytes: 10_000, spoolBytes: 100_000 };
const WORKSPACE = 'file:///p';

/** A daemon as the protocol promises one: idempotent, refuses gaps, acknowledges what it holds. */
class StandInDaemon {
  readonly sessions = new Map<string, Signal[]>();
  failAfter = Infinity;
  readonly publish = (session: string, first: number, signals: Signal[]): Promise<number> => {
    const held = this.sessions.get(session) ?? [];
    if (this.failAfter-- <= 0) return Promise.reject(new Error('connection lost'));
    if (first > held.length) return Promise.reject(new Error('gap'));
    held.push(...signals.slice(held.length - first));
    this.sessions.set(session, held);
    return Promise.resolve(held.length - 1);
  };
  acknowledged(session: string): number {
    return (this.sessions.get(session)?.length ?? 0) - 1;
  }
  texts(session: string): string[] {
    return (this.sessions.get(session) ?? []).flatMap((each) => (each.kind === 'document.changed' ? each.changes.map((change) => change.text) : []));
  }
}

const typed = (text: string): Signal => ({ kind: 'document.changed', at: 1, uri: 'file:///p/a.ts', version: 1, changes: [{ offset: 0, length: 0, text }] });
const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `t${index}`);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'hindsight-spool-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const SEAL = new Seal();
const makeRecorder = (window: string, limits = LIMITS, seal = SEAL): Recorder =>
  new Recorder({ window, workspace: WORKSPACE, spoolFolder: folder, seal: () => Promise.resolve(seal), editor: 'test', now: () => 1, openDocuments: () => [], say: () => undefined, limits });

/** Leaves the spool as a window does that was killed: its process is gone. */
async function killWindow(): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name);
    await writeFile(file, (await readFile(file, 'utf8')).replace(/"pid":\d+/, '"pid":999999999'));
  }
}

describe('recorder', () => {
  it('holds nothing before it may', async () => {
    const recorder = makeRecorder('w1');
    recorder.record(typed('early'));
    await recorder.flush();
    expect(await readdir(folder)).toEqual([]);
    await recorder.begin();
    const daemon = new StandInDaemon();
    await recorder.connected(daemon.publish, { session: 'w1', acknowledged: -1 });
    await recorder.flush();
    expect(daemon.texts('w1')).toEqual([]);
    await recorder.end();
  });

  it('delivers in order, in batches, and across a daemon that goes away', async () => {
    const daemon = new StandInDaemon();
    const recorder = makeRecorder('w1');
    await recorder.begin();
    const all = letters(20);
    for (const [index, text] of all.entries()) {
      recorder.record(typed(text));
      if (index === 5) await recorder.connected(daemon.publish, { session: 'w1', acknowledged: daemon.acknowledged('w1') });
      if (index === 9) daemon.failAfter = 1;
      if (index === 14) daemon.failAfter = Infinity;
      if (index % 3 === 0) await recorder.flush();
    }
    await recorder.flush();
    expect(daemon.texts('w1')).toEqual(all);
    await recorder.end();
    expect(await readdir(folder)).toEqual([]);
  });

  it('a killed window loses nothing: the next one delivers what waits, once', async () => {
    const daemon = new StandInDaemon();
    const first = makeRecorder('w1');
    await first.begin();
    first.record(typed('a'));
    await first.connected(daemon.publish, { session: 'w1', acknowledged: -1 });
    await first.flush();
    first.disconnected();
    first.record(typed('b'));
    first.record(typed('c'));
    await first.flush();
    await killWindow();
    const second = makeRecorder('w2');
    await second.begin();
    await second.connected(daemon.publish, { session: 'w2', acknowledged: -1 });
    await second.connected(daemon.publish, { session: 'w2', acknowledged: daemon.acknowledged('w2') });
    expect(daemon.texts('w1')).toEqual(['a', 'b', 'c']);
    await second.end();
    expect(await readdir(folder)).toEqual([]);
  });

  it('a line cut off by the kill does not spoil the lines before it', async () => {
    const first = makeRecorder('w1');
    await first.begin();
    for (const text of ['a', 'b']) first.record(typed(text));
    await first.flush();
    await killWindow();
    const file = path.join(folder, (await readdir(folder))[0] ?? '');
    await writeFile(file, (await readFile(file, 'utf8')).slice(0, -20));
    const daemon = new StandInDaemon();
    await makeRecorder('w2').connected(daemon.publish, { session: 'w2', acknowledged: -1 });
    expect(daemon.texts('w1')).toEqual(['a']);
  });

  it('what waits on disk can be read by nobody without the key, and without it is thrown away, once', async () => {
    const first = makeRecorder('w1');
    await first.begin();
    first.record(typed('password = "hunter2hunter2"'));
    await first.flush();
    await killWindow();
    const [name] = await readdir(folder);
    const bytes = await readFile(path.join(folder, name ?? ''), 'latin1');
    for (const text of ['hunter2', 'password', 'a.ts', 'document.changed']) expect(bytes).not.toContain(text);
    const daemon = new StandInDaemon();
    await makeRecorder('w2', LIMITS, new Seal()).connected(daemon.publish, { session: 'w2', acknowledged: -1 });
    expect([...daemon.sessions.keys()]).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('a no throws away what waits, on disk too', async () => {
    const recorder = makeRecorder('w1');
    await recorder.begin();
    recorder.record(typed('secret'));
    await recorder.flush();
    await recorder.discard();
    expect(await readdir(folder)).toEqual([]);
    expect(recorder.isRecording).toBe(false);
  });

  it('stops at the limit while the daemon is away, and begins a new session when it is back', async () => {
    const daemon = new StandInDaemon();
    const recorder = makeRecorder('w1', { ...LIMITS, spoolBytes: 1000 });
    await recorder.begin();
    for (const text of letters(50)) {
      recorder.record(typed(text));
      await recorder.flush();
    }
    const size = (await readFile(path.join(folder, (await readdir(folder))[0] ?? ''), 'utf8')).length;
    expect(size).toBeLessThan(2000);
    await recorder.connected(daemon.publish, { session: 'w1', acknowledged: -1 });
    await recorder.flush();
    recorder.record(typed('after'));
    await recorder.flush();
    expect(daemon.texts('w1').length).toBeGreaterThan(3);
    expect(daemon.texts('w1.2')).toEqual(['after']);
    await recorder.end();
  });

  it('a daemon that has forgotten the session gets a new one, not a gap', async () => {
    const recorder = makeRecorder('w1');
    await recorder.begin();
    const before = new StandInDaemon();
    await recorder.connected(before.publish, { session: 'w1', acknowledged: -1 });
    recorder.record(typed('a'));
    await recorder.flush();
    recorder.disconnected();
    const fresh = new StandInDaemon();
    await recorder.connected(fresh.publish, { session: 'w1', acknowledged: -1 });
    recorder.record(typed('b'));
    await recorder.flush();
    expect(fresh.texts('w1.2')).toEqual(['b']);
    await recorder.end();
  });

  it('recording one signal costs far less than a change event may', async () => {
    const recorder = makeRecorder('w1', { ...LIMITS, spoolBytes: 1e9 });
    await recorder.begin();
    const signal = typed('x');
    const times = Array.from({ length: 20_000 }, () => {
      const from = performance.now();
      recorder.record(signal);
      return performance.now() - from;
    }).sort((a, b) => a - b);
    expect(times[Math.floor(times.length * 0.95)]).toBeLessThan(0.2);
    await recorder.discard();
  });
});
