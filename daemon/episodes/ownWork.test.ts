/** The user's own runs and the checkers' words, attributed to the turns that they are about, or to none. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SIGNAL_CLASSES } from '../../protocol/consent.ts';
import type { SignalClass } from '../../protocol/consent.ts';
import type { Problem, Signal } from '../../protocol/signals.ts';
import { Journal } from '../journal/journal.ts';
import type { Observation } from '../journal/records.ts';
import { turnOf } from '../learn/samples.fixture.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { actionOf } from '../reward/actions.fixture.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Intake } from './intake.ts';

const TEXT = 'return total / items.length;';
let dir: string;
let workspace: string;
let journal: Journal;
let clock: VirtualClock;
let intake: Intake;
let seq: number;
let versions: Record<string, number>;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hindsight-own-'));
  workspace = pathToFileURL(dir).href;
  journal = Journal.open(join(dir, 'journal.db'));
  journal.setConsent(workspace, 'granted', [...SIGNAL_CLASSES]);
  clock = new VirtualClock(1_790_000_000_000);
  intake = new Intake(journal, DEFAULT_SETTINGS, clock, { onSamples: () => undefined });
  [seq, versions] = [0, {}];
  publish({ kind: 'session.started', at: clock.now(), workspace, editor: 'test' });
});
afterEach(() => {
  journal.close();
  rmSync(dir, { recursive: true, force: true });
});

function publish(...signals: Signal[]): void {
  intake.publish({ session: 's', workspace, first: seq, signals });
  seq += signals.length;
  pass(1);
}
function pass(seconds: number): void {
  clock.advance(1000 * seconds);
  intake.quiet();
}
const uriOf = (path: string): string => `${workspace}/${path}`;

/** A suggestion that is taken in a file. */
function accept(id: string, path: string, offset = 10): void {
  const version = versions[path] ?? 1;
  intake.offer(turnOf(['return', ' total', ' /', ' items.length;'], { id, session: 's', workspace, uri: uriOf(path), version, offset, offeredAt: clock.now() }));
  change(path, offset, TEXT);
  publish({ kind: 'suggestion.accepted', at: clock.now(), turn: id });
}
function change(path: string, offset: number, text: string): void {
  const version = (versions[path] = (versions[path] ?? 1) + 1);
  publish({ kind: 'document.changed', at: clock.now(), uri: uriOf(path), version, changes: [{ offset, length: 0, text }] });
}
function tests(states: Record<string, 'passed' | 'failed'>, message = ''): void {
  const cases = Object.entries(states).map(([name, state]) => ({ name, file: null, state, message: state === 'failed' ? message : null }));
  publish({ kind: 'tests.ran', at: clock.now(), durationMs: 200, source: 'node --test', report: { cases, errors: [] } });
}
function command(line: string, exitCode: number | null, output = ''): void {
  publish({ kind: 'terminal.ran', at: clock.now(), durationMs: 200, command: line, cwd: workspace, exitCode, output });
}
function diagnostics(path: string, ...problems: (Partial<Problem> & { message: string })[]): void {
  publish({ kind: 'diagnostics.settled', at: clock.now(), uri: uriOf(path), version: versions[path] ?? 1, problems: problems.map((one) => ({ severity: 'error', source: 'ts', offset: 0, length: 1, turn: null, ...one })) });
}
const seen = (id: string): Observation[] => journal.evidence(id).flatMap((one) => (one.kind === 'observed' ? [one.observation] : []));
const score = (id: string): number | undefined => journal.verdicts(id).at(-1)?.score;

describe('a run of tests', () => {
  it('that breaks after an accepted suggestion takes its reward, while it is open still', () => {
    tests({ mean: 'passed', sum: 'passed' });
    accept('t', 'src/mean.ts');
    tests({ mean: 'failed', sum: 'passed' }, 'expected 2, got NaN at src/mean.ts:3');
    expect(seen('t')).toMatchObject([{ kind: 'tests', broken: ['mean'], fixed: [], passed: 1, failed: 1 }]);
    expect(journal.nextState('t')).toBeNull();
    pass(40);
    expect(journal.nextState('t')?.outcome).toBe('accepted');
    expect(journal.verdicts('t')).toMatchObject([{ score: 0, evidence: [expect.stringContaining('Tests that passed before fail now: "mean"'), expect.stringContaining('Accepted')] }]);
  });

  it('that comes later is a correction, and takes the sample back that no step has taken', () => {
    tests({ mean: 'passed' });
    accept('t', 'mean.ts');
    pass(40);
    expect(score('t')).toBe(0.75);
    tests({ mean: 'failed' }, 'at mean.ts:3');
    expect(journal.verdicts('t').map(({ kind, score }) => [kind, score])).toEqual([['provisional', 0.75], ['correction', 0]]);
  });

  it('that turns green says so of the only file that changed, and not where the tests were edited, too', () => {
    const edit = (id: string): void => {
      journal.insertTurn(actionOf({ calls: [] }, { id, modality: 'edit', session: 's', workspace, uri: uriOf('cart.ts'), offeredAt: clock.now(), shownText: 'x' }));
      change('cart.ts', 0, 'x');
    };
    tests({ adds: 'failed' }, 'AssertionError at cart.test.ts:4');
    edit('e1');
    tests({ adds: 'passed' });
    expect(seen('e1')).toMatchObject([{ kind: 'tests', fixed: ['adds'], testsEdited: [] }]);
    tests({ adds: 'failed' }, 'AssertionError at cart.test.ts:4');
    edit('e2');
    change('cart.test.ts', 0, '// easier\n');
    tests({ adds: 'passed' });
    expect(seen('e2')).toMatchObject([{ fixed: ['adds'], testsEdited: ['cart.test.ts'] }]);
  });

  it('says nothing of anyone where it may be anybody’s, was never seen before, or began before', () => {
    accept('first', 'a.ts');
    tests({ mean: 'failed' }, 'at a.ts:3');
    expect(seen('first')).toEqual([]);
    tests({ mean: 'passed' });
    // Two files changed, and the failure names neither.
    accept('t', 'a.ts');
    change('b.ts', 0, 'x');
    tests({ mean: 'failed' }, 'expected 1, got 2');
    expect(seen('t')).toEqual([]);
    tests({ mean: 'passed' });
    for (const id of ['one', 'two', 'three', 'four']) accept(id, 'a.ts');
    tests({ mean: 'failed' }, 'at a.ts:3');
    expect(seen('one')).toEqual([]);
    // What was taken while the tests ran was not in them.
    tests({ mean: 'passed' });
    const at = clock.now();
    accept('late', 'a.ts');
    publish({ kind: 'tests.ran', at: clock.now(), durationMs: clock.now() - at + 500, source: 'node --test', report: { cases: [{ name: 'mean', file: null, state: 'failed', message: 'a.ts' }], errors: [] } });
    expect(seen('late')).toEqual([]);
  });
});

describe('a command in the user’s terminal', () => {
  it('that worked before and fails now counts against what it names', () => {
    command('npm run build', 0);
    accept('t', 'src/mean.ts');
    accept('other', 'src/other.ts');
    command('npm run build', 2, 'src/mean.ts(3,1): error TS2304: Cannot find name "total".');
    expect([seen('t'), seen('other')]).toEqual([[{ kind: 'checks', fixed: [], broken: ['npm run build'] }], []]);
    pass(40);
    expect([score('t'), score('other')]).toEqual([0, 0.75]);
  });

  it('says nothing when it was stopped, only looks around, or answers a question', () => {
    for (const line of ['npm run dev', 'cat src/mean.ts', 'grep x src/mean.ts']) {
      command(line, 0);
      accept(`t ${line}`, 'src/mean.ts');
      command(line, line === 'npm run dev' ? 130 : 1, 'src/mean.ts');
      expect(seen(`t ${line}`)).toEqual([]);
    }
  });

  it('that a reply had named is the reply’s next state', () => {
    intake.act('s', (actions) => {
      actions.began(actionOf({}, { id: 'r', session: 's', workspace, rawText: 'Run this:\n```sh\n$ npm run lint\n```\n', offeredAt: clock.now() }));
      return [];
    });
    pass(1);
    command('npm run lint', 1, 'mean.ts: 3 problems');
    command('npm run other', 1);
    intake.act('s', (actions) => actions.said('r', 'It fails', false, clock.now()));
    expect(journal.nextState('r')?.observations).toMatchObject([{ kind: 'terminal', command: 'npm run lint', exitCode: 1, by: 'user' }, { kind: 'message' }]);
    expect(journal.verdicts('r')[0]).toMatchObject({ confidence: 0.4, score: -0.5 });
  });
});

describe('tasks, debug sessions and cells', () => {
  it('are runs as well', () => {
    const run = (turn: string, path: string, once: (fails: boolean) => Signal): void => {
      publish(once(false));
      accept(turn, path);
      publish(once(true));
      expect(seen(turn)).toMatchObject([{ kind: 'checks', broken: [expect.any(String)] }]);
      change('elsewhere.ts', 0, '\n');
    };
    run('task', 'a.ts', (fails) => ({ kind: 'task.ended', at: clock.now(), durationMs: 10, name: 'npm: build', exitCode: Number(fails) }));
    run('debug', 'b.ts', (fails) => ({ kind: 'debug.ended', at: clock.now(), durationMs: 10, name: 'Launch', exitCode: Number(fails), exception: fails ? { uri: uriOf('b.ts'), line: 3 } : null }));
    run('cell', 'c.ipynb', (fails) => ({ kind: 'cell.ran', at: clock.now(), durationMs: 10, uri: uriOf('c.ipynb'), cell: 'cell-1', success: !fails, error: fails ? 'NameError' : null }));
  });
});

describe('problems', () => {
  it('inside accepted text are that suggestion’s; when they are gone, its reward is back', () => {
    diagnostics('a.ts', { message: 'old', offset: 0 });
    accept('t', 'a.ts');
    diagnostics('a.ts', { message: 'old', offset: 0 }, { message: 'Cannot find name "total".', offset: 17, length: 5 }, { message: 'elsewhere', offset: 200 });
    expect(seen('t')).toEqual([{ kind: 'diagnostics', added: ['ts: Cannot find name "total".'], resolved: [] }]);
    pass(40);
    expect(score('t')).toBe(0);
    diagnostics('a.ts', { message: 'old', offset: 0 });
    expect(score('t')).toBe(0.75);
  });

  it('that the agent’s edit brought come with its name, and count when its hunks are decided', () => {
    intake.act('s', (actions) => {
      actions.began(actionOf({}, { id: 'e', modality: 'edit', session: 's', workspace, uri: uriOf('a.ts'), shownText: 'x', offeredAt: clock.now() }));
      return [];
    });
    diagnostics('a.ts');
    diagnostics('a.ts', { message: 'broken', turn: 'e' });
    expect(seen('e')).toMatchObject([{ added: ['ts: broken'] }]);
    publish({ kind: 'edit.reviewed', at: clock.now(), turn: 'e', uri: uriOf('a.ts'), before: 'a', proposed: 'b', now: 'b', state: 'kept', open: 0 });
    expect(journal.verdicts('e')[0]?.evidence.join(' ')).toContain('New problems: "ts: broken"');
  });

  it('that are there when a document is first looked at, or far from any suggestion, are nobody’s', () => {
    accept('t', 'a.ts');
    diagnostics('a.ts', { message: 'inside', offset: 17 });
    diagnostics('a.ts', { message: 'inside', offset: 17 }, { message: 'far', offset: 400 });
    expect(seen('t')).toEqual([]);
  });
});

describe('a class that was not granted', () => {
  it.each<[SignalClass, Signal]>([
    ['terminal', { kind: 'terminal.ran', at: 1, durationMs: 1, command: 'make', cwd: null, exitCode: 0, output: 'planted' }],
    ['tasks', { kind: 'task.ended', at: 1, durationMs: 1, name: 'planted', exitCode: 0 }],
    ['debug', { kind: 'debug.ended', at: 1, durationMs: 1, name: 'planted', exitCode: 0, exception: null }],
    ['tests', { kind: 'tests.ran', at: 1, durationMs: 1, source: 'planted', report: { cases: [{ name: 'planted', file: null, state: 'passed', message: null }], errors: [] } }],
    ['diagnostics', { kind: 'diagnostics.settled', at: 1, uri: 'file:///planted', version: 1, problems: [] }],
    ['git', { kind: 'commit.made', at: 1, workspace: 'file:///planted', hash: 'a' }],
    ['notebooks', { kind: 'cell.ran', at: 1, durationMs: 1, uri: 'file:///planted', cell: 'c', success: true, error: null }],
  ])('%s: nothing of its signals is stored', (left, signal) => {
    journal.setConsent(workspace, 'granted', SIGNAL_CLASSES.filter((each) => each !== left));
    publish(signal);
    expect(journal.signals('s').map(({ kind }) => kind)).toEqual(['session.started']);
    expect(JSON.stringify(journal.get(`checks ${workspace}`) ?? null)).toBe('null');
    journal.setConsent(workspace, 'granted', [...SIGNAL_CLASSES]);
    publish(signal);
    expect(journal.signals('s').map(({ kind }) => kind)).toEqual(['session.started', signal.kind]);
  });
});
