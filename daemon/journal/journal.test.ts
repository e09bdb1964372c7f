import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Libsql from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Signal } from '../../protocol/signals.ts';
import { Journal } from './journal.ts';
import { SCHEMA_VERSION } from './migrations.ts';
import type { NextState, Step, Turn } from './records.ts';

const WORKSPACE = 'file:///p';
let dir: string;
let journal: Journal;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hindsight-journal-'));
  journal = Journal.open(join(dir, 'journal.db'));
});
afterEach(() => {
  journal.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Another program at the same file. */
function execute(path: string, sql: string): void {
  const database = new Libsql(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

const turnOf = (id: string, more: Partial<Turn> = {}): Turn => ({
  id, session: 's', workspace: WORKSPACE, modality: 'completion', role: 'main', split: 'train', block: 'b', offeredAt: 1_790_000_000_000,
  uri: 'file:///p/a.ts', languageId: 'typescript', version: 3, offset: 7, promptIds: [1, 2], promptMode: 'prefix', responseIds: [3], logprobs: [-0.5],
  rawText: 'x', offsets: [0, 1], shownText: 'x', finishReason: 'stop', sampling: { maxTokens: 4, temperature: 0 }, adapter: null, fingerprint: 'f', before: 'b', after: 'a', ...more,
});
const nextOf = (turn: string): NextState => ({ turn, outcome: 'diverged', acceptedChars: 0, developerText: 'y', survival: [], decidedAt: 1_790_000_001_000 });
const changed = (text: string, uri = 'file:///p/a.ts'): Signal => ({ kind: 'document.changed', at: 1_790_000_000_000, uri, version: 1, changes: [{ offset: 0, length: 0, text }] });

/** A closed turn with a verdict and a ready sample. */
function sampleFor(id: string): number {
  journal.insertTurn(turnOf(id));
  journal.closeTurn(nextOf(id));
  journal.insertVerdict({ turn: id, score: -0.25, confidence: 1, source: 'verifier', evidence: ['diverged'], kind: 'provisional', at: 1 });
  return journal.insertSample({ turn: id, workspace: WORKSPACE, route: 'distillation', advantage: null, weight: 1, version: 0 });
}

describe('signals', () => {
  it('are stored once however often they are sent', () => {
    const signals = [changed('a'), changed('b'), changed('c')];
    expect(journal.appendSignals('s', 0, signals.slice(0, 2), WORKSPACE)).toHaveLength(2);
    expect(journal.appendSignals('s', 0, signals, WORKSPACE)).toEqual([signals[2]]);
    expect(journal.appendSignals('s', 1, signals.slice(1), WORKSPACE)).toEqual([]);
    expect(journal.signals('s')).toEqual(signals);
    expect(journal.acknowledged('s')).toBe(2);
  });

  it('refuse a gap, and say from where to send again', () => {
    journal.appendSignals('s', 0, [changed('a')], WORKSPACE);
    expect(() => journal.appendSignals('s', 2, [changed('c')], WORKSPACE)).toThrow('Send them again from 1.');
  });

  it('are never changed', () => {
    journal.appendSignals('s', 0, [changed('a')], WORKSPACE);
    journal.close();
    expect(() => execute(journal.path, `update signal set kind = 'x'`)).toThrow(/a signal is never changed/);
    journal = Journal.open(journal.path);
  });
});

describe('turns', () => {
  it('come back with every token id and log-prob, unknown ones as null', () => {
    const turn = turnOf('t', { promptIds: [0, 4095], logprobs: [-0.123456789012345, null], responseIds: [1, 2] });
    journal.insertTurn(turn);
    expect(journal.turn('t')).toEqual(turn);
    expect(journal.turn('none')).toBeNull();
  });

  it('are open until their one next state', () => {
    journal.insertTurn(turnOf('main'));
    journal.insertTurn(turnOf('side', { role: 'side' }));
    journal.insertTurn(turnOf('nothing offered', { shownText: '' }));
    expect(journal.openTurns('s').map((turn) => turn.id)).toEqual(['main']);
    expect(journal.closeTurn(nextOf('main'))).toBe(true);
    expect(journal.closeTurn({ ...nextOf('main'), outcome: 'accepted' })).toBe(false);
    expect(journal.nextState('main')).toEqual(nextOf('main'));
    expect(journal.openTurns()).toEqual([]);
    expect(journal.verify()).toEqual([]);
  });

  it('keep the state of capture while they are open', () => {
    journal.insertTurn(turnOf('t'));
    journal.saveTracking('t', '{"a":1}');
    expect(journal.tracking('t')).toBe('{"a":1}');
    journal.closeTurn(nextOf('t'));
    journal.saveTracking('t', '{"a":2}');
    expect(journal.tracking('t')).toBeNull();
  });
});

describe('samples', () => {
  it('go ready → leased → consumed once, and back to ready when their step is taken back', () => {
    const ids = ['a', 'b', 'c'].map(sampleFor);
    const step = journal.insertStep({ workspace: WORKSPACE, seed: 1, startedAt: 1, state: 'running', candidate: null, metrics: {} });
    journal.leaseSamples(ids.slice(0, 2), step);
    expect(() => journal.leaseSamples(ids, step)).toThrow(/not ready/);
    expect(journal.samples({ state: 'leased' }).map((sample) => sample.id)).toEqual(ids.slice(0, 2));
    expect(journal.releaseSamples(step)).toBe(2);
    journal.leaseSamples(ids, step);
    journal.dropSample(ids[2] ?? 0, 'too old');
    expect(journal.consumeSamples(step)).toBe(2);
    expect(journal.consumeSamples(step)).toBe(0);
    journal.dropSample(ids[0] ?? 0, 'consumed ones stay');
    expect(journal.samples({ workspace: WORKSPACE }).map((sample) => sample.state)).toEqual(['consumed', 'consumed', 'dropped']);
    journal.updateStep(step, { state: 'trained', metrics: { loss: 0.5, entropy: null } });
    expect(journal.steps({ state: 'trained' })[0]?.metrics).toEqual({ loss: 0.5, entropy: null });
    expect(journal.verify()).toEqual([]);
    expect(journal.pipeCounts(WORKSPACE)).toEqual({ turnsOpen: 0, turnsClosed: 3, verdicts: 3, samplesReady: 0, samplesLeased: 0, samplesConsumed: 2, samplesDropped: 1, steps: 1 });
    expect(journal.pipeCounts('file:///other').turnsClosed).toBe(0);
  });

  it('steps that were taken back are none', () => {
    const add = (state: Step['state']): number => journal.insertStep({ workspace: WORKSPACE, seed: 1, startedAt: 1000, state, candidate: null, metrics: {} });
    const counts = (): (number | null | undefined)[] => {
      const stage = journal.stages(WORKSPACE, 6000).find((one) => one.stage === 'step');
      return [journal.pipeCounts(WORKSPACE).steps, stage?.count, stage?.oldestSeconds];
    };
    add('failed');
    expect(counts()).toEqual([0, 0, null]);
    add('gated');
    const step = add('running');
    expect(counts()).toEqual([1, 2, 5]);
    journal.updateStep(step, { state: 'failed' });
    expect(counts()).toEqual([1, 1, null]);
  });

  it('that do not add up are reported', () => {
    journal.insertTurn(turnOf('held out', { split: 'holdout' }));
    journal.insertSample({ turn: 'held out', workspace: WORKSPACE, route: 'sft', advantage: null, weight: 1, version: 0 });
    const step = journal.insertStep({ workspace: WORKSPACE, seed: 1, startedAt: 1, state: 'failed', candidate: 9, metrics: {} });
    journal.leaseSamples([1], step);
    expect(journal.verify().join('\n')).toMatch(/must not train[^]*no next state[^]*neither verdict nor hint[^]*is not running[^]*no row describes/);
  });
});

describe('a transaction', () => {
  it('keeps all or nothing, inner ones included', () => {
    expect(() =>
      journal.transaction(() => {
        journal.appendSignals('s', 0, [changed('a')], WORKSPACE);
        journal.insertTurn(turnOf('t'));
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(journal.acknowledged('s')).toBe(-1);
    expect(journal.turn('t')).toBeNull();
  });
});

describe('adapters', () => {
  it('have versions that are never used twice, and one that serves', () => {
    const adapter = { workspace: WORKSPACE, version: 1, parent: null, fingerprint: 'f', dir: '/d', sha256: '00', state: 'rejected' as const, createdAt: 1, samples: 4, reason: 'r' };
    expect(journal.nextVersion(WORKSPACE)).toBe(1);
    journal.insertAdapter(adapter);
    journal.insertAdapter({ ...adapter, version: 2, state: 'candidate' });
    expect(journal.nextVersion(WORKSPACE)).toBe(3);
    journal.updateAdapter(WORKSPACE, 2, { state: 'serving' });
    expect(journal.verify()).toEqual([`Adapter 2 says that it serves ${WORKSPACE}, but it does not`]);
    journal.setServing(WORKSPACE, 2);
    expect(journal.verify()).toEqual([]);
    expect(journal.serving(WORKSPACE)).toBe(2);
    expect(journal.adapters(WORKSPACE).map((record) => record.version)).toEqual([2, 1]);
    journal.setServing(WORKSPACE, null);
    expect(journal.serving(WORKSPACE)).toBeNull();
  });
});

describe('forget (conformance 25)', () => {
  const MARK = 'zanzibar-0x5eCr3t';
  const files = (): string => readdirSync(dir).map((name) => readFileSync(join(dir, name), 'latin1')).join('');

  for (const scope of [{ session: 's' }, { uri: 'file:///p/a.ts' }, { folder: WORKSPACE }, { workspace: WORKSPACE }]) {
    it(`leaves no trace of the text in the files: ${Object.keys(scope).join()}`, () => {
      journal.appendSignals('s', 0, Array.from({ length: 40 }, (_, i) => changed(`${MARK}${i}`.repeat(50))), WORKSPACE);
      journal.appendSignals('other', 0, [changed('kept', 'file:///q/b.ts')], 'file:///q');
      journal.insertTurn(turnOf('t', { before: MARK, rawText: MARK }));
      journal.saveTracking('t', MARK);
      journal.saveTracking('t', 'longer '.repeat(900));
      const sample = sampleFor('u');
      journal.insertHint({ turn: 'u', source: 'developer', text: MARK, at: 1 });
      const step = journal.insertStep({ workspace: WORKSPACE, seed: 1, startedAt: 1, state: 'running', candidate: 1, metrics: {} });
      journal.leaseSamples([sample], step);
      journal.consumeSamples(step);
      journal.updateStep(step, { state: 'gated' });
      const adapter = { workspace: WORKSPACE, version: 1, parent: null, fingerprint: 'f', dir: '/d', sha256: '00', state: 'retired' as const, createdAt: 1, samples: 1, reason: 'r' };
      journal.insertAdapter(adapter);
      journal.insertAdapter({ ...adapter, version: 2, parent: 1 });
      expect(files()).toContain(MARK);

      const forgotten = journal.forget(scope, 0);
      expect(files()).not.toContain(MARK);
      expect(forgotten).toEqual({ signals: 40, turns: 2, samples: 1, remembered: 1, adapters: [{ workspace: WORKSPACE, version: 1 }, { workspace: WORKSPACE, version: 2 }] });
      expect(journal.verify()).toEqual([]);
      expect(journal.signals('other')).toHaveLength(1);
      // A window that is still open goes on with its numbering.
      expect(journal.appendSignals('s', 40, [changed('next')], WORKSPACE)).toHaveLength(1);
      expect(journal.verify()).toEqual([]);
    });
  }
});

describe('opening', () => {
  const fixture = (version: number): string => readFileSync(join(import.meta.dirname, 'fixtures', `v${version}.sql`), 'utf8');

  it('brings a journal of every earlier version forward', () => {
    for (let version = 1; version <= SCHEMA_VERSION; version++) {
      const path = join(dir, `v${version}.db`);
      execute(path, fixture(version));
      const old = Journal.open(path);
      expect(old.verify()).toEqual([]);
      expect(old.stats().schema).toBe(SCHEMA_VERSION);
      expect(old.turn('t-1')?.responseIds).toEqual([310, 260]);
      expect(old.nextState('t-1')?.outcome).toBe('diverged');
      expect(old.samples({ state: 'ready' })).toHaveLength(1);
      expect(old.acknowledged('s-1')).toBe(0);
      expect(old.consent('file:///p').state).toBe('granted');
      expect(old.pipeCounts('file:///p')).toMatchObject({ turnsClosed: 1, verdicts: 1, samplesReady: 1 });
      old.close();
    }
  });

  it('refuses a newer journal and leaves it as it is', () => {
    const path = join(dir, 'newer.db');
    execute(path, 'pragma user_version = 99');
    const before = readFileSync(path);
    expect(() => Journal.open(path)).toThrow(/newer Hindsight \(schema 99, this one knows \d+\)\. Update Hindsight/);
    expect(readFileSync(path)).toEqual(before);
  });

  it.each([
    ['text', Buffer.from('this is not a database, but it is longer than a header of one hundred bytes would be. '.repeat(9))],
    ['noise', Buffer.from(Array.from({ length: 8192 }, (_, i) => (i * 2654435761) & 255))],
  ])('refuses garbage (%s) with one sentence that says what to do', (_name, bytes) => {
    const path = join(dir, 'garbage.db');
    writeFileSync(path, bytes);
    expect(() => Journal.open(path)).toThrow(/cannot be opened: .*\. Move it away, or restore a copy/);
    expect(readFileSync(path)).toEqual(bytes);
  });

  it('refuses another program\'s database', () => {
    const path = join(dir, 'foreign.db');
    execute(path, 'create table t(a)');
    expect(() => Journal.open(path)).toThrow(/database of another program/);
  });
});
