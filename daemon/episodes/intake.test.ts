import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal } from '../journal/journal.ts';
import type { Turn } from '../journal/records.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { turnOf } from '../learn/samples.fixture.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import type { Signal } from '../../protocol/signals.ts';
import { Intake } from './intake.ts';
import { roleOf } from './turns.ts';

const WORKSPACE = 'file:///p';
const URI = 'file:///p/src/a.ts';
const START = 1_790_000_000_000;
let dir: string;
let journal: Journal;
let clock: VirtualClock;
let intake: Intake;
let made: string[];

const fresh = (): Intake => new Intake(journal, DEFAULT_SETTINGS, clock, { onSamples: (workspace) => made.push(workspace) });

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hindsight-intake-'));
  journal = Journal.open(join(dir, 'journal.db'));
  journal.setConsent(WORKSPACE, 'granted');
  clock = new VirtualClock(START);
  made = [];
  intake = fresh();
});
afterEach(() => {
  journal.close();
  rmSync(dir, { recursive: true, force: true });
});

const offer = (id: string, more: Partial<Turn> = {}): Turn => turnOf(['return', ' total', ';', '\n'], { id, session: 's', workspace: WORKSPACE, uri: URI, offeredAt: clock.now(), ...more });
let next = new Map<string, number>();
beforeEach(() => (next = new Map()));
/** Publishes what the editor would, in one batch. */
function publish(signals: Signal[], session = 's'): void {
  const first = next.get(session) ?? 0;
  next.set(session, first + signals.length);
  expect(intake.publish({ session, workspace: WORKSPACE, first, signals })).toBe(first + signals.length - 1);
}
const typed = (text: string, version = 2, offset = 0, uri = URI): Signal => ({ kind: 'document.changed', at: clock.now(), uri, version, changes: [{ offset, length: 0, text }] });

describe('one transaction', () => {
  it('takes an answer from the developer\'s text to a sample', () => {
    intake.offer(offer('t'));
    publish([typed('const x = 1;'), typed('\n', 3, 12)]);
    expect(journal.nextState('t')).toMatchObject({ outcome: 'diverged', developerText: 'const x = 1;\n' });
    expect(journal.verdicts('t')).toMatchObject([{ score: -0.25 }]);
    expect(journal.hints('t')).toMatchObject([{ source: 'developer', text: 'const x = 1;\n' }]);
    expect(journal.samples({ state: 'ready' })).toMatchObject([{ turn: 't', route: 'distillation', version: 0, createdAt: START }]);
    expect(made).toEqual([WORKSPACE]);
    expect(journal.verify()).toEqual([]);
  });

  it('keeps nothing of a batch that fails, and takes it when it is sent again', () => {
    intake.offer(offer('t'));
    const signals = [typed('x'), typed('\n', 3, 1)];
    const { insertVerdict } = journal;
    journal.insertVerdict = () => {
      throw new Error('the disk is full');
    };
    expect(() => intake.publish({ session: 's', workspace: WORKSPACE, first: 0, signals })).toThrow('the disk is full');
    expect(journal.acknowledged('s')).toBe(-1);
    expect(journal.openTurns().map((turn) => turn.id)).toEqual(['t']);
    journal.insertVerdict = insertVerdict;
    publish(signals);
    expect(journal.samples({ state: 'ready' })).toHaveLength(1);
  });

  it('goes on after a restart at any moment', () => {
    const signals = [typed('co'), typed('nst', 3, 2), typed(' x', 4, 5), typed('\n', 5, 7)];
    intake.offer(offer('t'));
    for (const signal of signals) {
      intake = fresh();
      publish([signal]);
    }
    expect(journal.nextState('t')?.developerText).toBe('const x\n');
    // A batch whose answer was lost is sent again.
    intake = fresh();
    expect(intake.publish({ session: 's', workspace: WORKSPACE, first: 0, signals })).toBe(3);
    expect(journal.samples({})).toHaveLength(1);
    expect(journal.stats().signals).toBe(4);
  });
});

describe('turn rules', () => {
  it('no turn-type means side, and side turns leave no sample (conformance 1)', () => {
    expect([roleOf('main'), roleOf('side'), roleOf(undefined), roleOf('title')]).toEqual(['main', 'side', 'side', 'side']);
    const { role: _, ...unstated } = offer('t');
    intake.offer(unstated as Turn);
    publish([typed('const x = 1;'), typed('\n', 3, 12)]);
    clock.advance(60_000);
    intake.quiet();
    expect(journal.turn('t')?.role).toBe('side');
    expect(journal.nextState('t')).toBeNull();
    expect(journal.samples({})).toEqual([]);
  });

  it('the next state is the next main event of the same session; side events change nothing (conformance 2)', () => {
    const outcome = (between: () => void): unknown => {
      const id = `t${journal.stats().turns}`;
      intake.offer(offer(id, { uri: `${URI}?${id}` }));
      between();
      publish([typed('const x = 1;', 2, 0, `${URI}?${id}`), typed('\n', 3, 12, `${URI}?${id}`)]);
      return { ...journal.nextState(id), turn: '' };
    };
    const plain = outcome(() => undefined);
    expect(plain).toMatchObject({ outcome: 'diverged' });
    const uri = (): string => `${URI}?t${journal.stats().turns - 1}`;
    expect(outcome(() => intake.offer(offer('side', { role: 'side', uri: uri(), offset: 90 })))).toEqual(plain);
    expect(outcome(() => intake.offer(offer('silent', { shownText: '', uri: uri(), offset: 90 })))).toEqual(plain);
    expect(outcome(() => publish([{ kind: 'document.saved', at: clock.now(), uri: uri(), version: 1 }]))).toEqual(plain);
    // Another window with the same file open.
    expect(outcome(() => publish([typed('return total;', 2, 0, uri())], 'other'))).toEqual(plain);
  });

  it('a turn without next state contributes no gradient (conformance 3)', () => {
    intake.offer(offer('t'));
    publish([typed('const')]);
    expect(journal.samples({})).toEqual([]);
    expect(journal.openTurns()).toHaveLength(1);
    expect(journal.verify()).toEqual([]);
  });

  it('a retry is not a next state (conformance 4)', () => {
    intake.offer(offer('t'));
    intake.offer(offer('again'));
    expect(journal.nextState('t')?.outcome).toBe('superseded');
    expect([...journal.verdicts('t'), ...journal.hints('t'), ...journal.samples({})]).toEqual([]);
  });

  it('held-out turns are judged, and never train', () => {
    intake.offer(offer('t', { split: 'holdout' }));
    publish([typed('const x = 1;'), typed('\n', 3, 12)]);
    expect(journal.verdicts('t')).toHaveLength(1);
    expect(journal.samples({})).toEqual([]);
  });
});

describe('time', () => {
  it('closes an acceptance 30 s later, once the editor has nothing more to send', () => {
    intake.offer(offer('t'));
    publish([typed('return total;'), { kind: 'suggestion.accepted', at: clock.now(), turn: 't' }]);
    clock.advance(31_000);
    intake.quiet();
    expect(journal.nextState('t')).toMatchObject({ outcome: 'accepted', survival: [[5, 1], [30, 1]], decidedAt: START + 30_000 });
    expect(journal.samples({})).toMatchObject([{ route: 'policyGradient' }]);
  });

  it('waits for the spool of a window that comes back after an outage', () => {
    intake.offer(offer('t'));
    intake = fresh();
    clock.advance(300_000);
    intake.quiet();
    expect(journal.nextState('t')).toBeNull();
    next.set('s', 0);
    publish([{ ...typed('const x = 1;'), at: START + 2000 } as Signal]);
    intake.quiet();
    expect(journal.nextState('t')).toBeNull();
    publish([{ ...typed('\n', 3, 12), at: START + 3000 } as Signal]);
    expect(journal.nextState('t')).toMatchObject({ outcome: 'diverged', decidedAt: START + 3000 });
  });

  it('ends a session that fell silent, by what was last heard of it', () => {
    intake.offer(offer('t'));
    publish([typed('const')]);
    intake.disconnected('s');
    clock.advance(31 * 60_000);
    intake.quiet();
    expect(journal.nextState('t')).toMatchObject({ outcome: 'diverged', developerText: 'const', decidedAt: START });
    expect(journal.idleSessions(clock.now())).toEqual([]);
  });
});

describe('consent (invariant 1)', () => {
  const MARK = 'ungranted-zebra';
  const files = (): string => readdirSync(dir).map((name) => readFileSync(join(dir, name), 'latin1')).join('');

  it.each(['unknown', 'refused'] as const)('%s: neither turns nor signals reach the disk', (state) => {
    journal.setConsent('file:///q', state);
    const other = { session: 'q', workspace: 'file:///q' };
    expect(intake.offer(offer('t', { ...other, rawText: MARK, shownText: MARK, before: MARK }))).toBe(false);
    expect(() => intake.publish({ ...other, first: 0, signals: [typed(MARK)] })).toThrow(/before its owner agrees\. Run "Hindsight/);
    expect(files()).not.toContain(MARK);
    expect(journal.stats()).toMatchObject({ signals: 0, turns: 0, sessions: 0 });
  });

  it('taken back: open turns stay without an answer', () => {
    intake.offer(offer('t'));
    publish([typed('const x')]);
    journal.setConsent(WORKSPACE, 'refused');
    intake.withdraw(WORKSPACE);
    expect(journal.nextState('t')).toMatchObject({ outcome: 'abandoned', developerText: null });
    expect(journal.verify()).toEqual([]);
  });
});
