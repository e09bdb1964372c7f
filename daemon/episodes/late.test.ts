/** Late evidence: what happens to accepted text after its provisional verdict. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Signal } from '../../protocol/signals.ts';
import { Journal } from '../journal/journal.ts';
import type { Turn } from '../journal/records.ts';
import { turnOf } from '../learn/samples.fixture.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { CommitWatch } from './commits.ts';
import { Intake } from './intake.ts';

const TEXT = 'return total / items.length;';
const START = 1_790_000_000_000;
let dir: string;
let workspace: string;
let uri: string;
let journal: Journal;
let clock: VirtualClock;
let intake: Intake;
let seq: Record<string, number>;

function fresh(): Intake {
  return new Intake(journal, DEFAULT_SETTINGS, clock, { onSamples: () => undefined });
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hindsight-late-'));
  workspace = pathToFileURL(dir).href;
  uri = `${workspace}/a.ts`;
  journal = Journal.open(join(dir, 'journal.db'));
  journal.setConsent(workspace, 'granted');
  clock = new VirtualClock(START);
  intake = fresh();
  seq = {};
});
afterEach(() => {
  journal.close();
  rmSync(dir, { recursive: true, force: true });
});

function publish(signals: Signal[], session = 's'): void {
  const first = seq[session] ?? 0;
  seq[session] = first + signals.length;
  intake.publish({ session, workspace, first, signals });
}
const change = (version: number, offset: number, length: number, text: string): Signal => ({ kind: 'document.changed', at: clock.now(), uri, version, changes: [{ offset, length, text }] });

function accepted(): Turn {
  const turn = turnOf(['return', ' total', ' /', ' items.length;'], { id: 't', session: 's', workspace, uri, offset: 10, offeredAt: clock.now() });
  intake.offer(turn);
  publish([change(2, 10, 0, TEXT), { kind: 'suggestion.accepted', at: clock.now(), turn: 't' }]);
  pass(31);
  expect(journal.verdicts('t')).toMatchObject([{ kind: 'provisional', score: 0.75 }]);
  return turn;
}
function pass(seconds: number): void {
  clock.advance(1000 * seconds);
  intake.quiet();
}
const marks = (): [number, number | null][] => journal.evidence('t').flatMap((one) => (one.kind === 'survival' ? [[one.seconds, one.similarity]] : []));
const states = (): string[] => journal.samples({}).map(({ route, advantage, state }) => `${route} ${Math.sign(advantage ?? 0)} ${state}`);

describe('survival after the provisional verdict', () => {
  it('is marked at every horizon, and what stays needs no correction', () => {
    accepted();
    for (let minute = 0; minute < 16; minute++) pass(60);
    expect(journal.known('t')?.survival.map(([seconds]) => seconds)).toEqual([5, 30, 120, 300, 600, 900]);
    expect(journal.known('t')?.survival.every(([, similarity]) => similarity === 1)).toBe(true);
    expect(journal.verdicts('t')).toHaveLength(1);
    expect(journal.watches(workspace)).toEqual([]);
    expect(journal.verify()).toEqual([]);
  });

  it('text that is replaced later is a correction with what was written, and an opposite sample', () => {
    accepted();
    publish([change(3, 10, TEXT.length, 'throw new Error("empty");')]);
    pass(100);
    expect(journal.nextState('t')).toMatchObject({ outcome: 'accepted', developerText: TEXT });
    const [provisional, correction] = journal.verdicts('t');
    expect(provisional?.score).toBe(0.75);
    expect(correction).toMatchObject({ kind: 'correction', source: 'verifier' });
    expect(correction?.score).toBeLessThan(0);
    expect(journal.hints('t')).toMatchObject([{ source: 'developer', text: 'throw new Error("empty");' }]);
    expect(states()).toEqual(['policyGradient 1 dropped', 'distillation 0 ready']);
    expect(journal.verify()).toEqual([]);
  });

  it('a sample that was trained already stays as it is, and its opposite follows', () => {
    accepted();
    const step = journal.insertStep({ workspace, seed: 1, startedAt: 0, state: 'running', candidate: null, metrics: {} });
    journal.leaseSamples(journal.samples({ state: 'ready' }).map(({ id }) => id), step);
    journal.consumeSamples(step);
    publish([change(3, 10, TEXT.length, '')]);
    pass(100);
    expect(states()).toEqual(['policyGradient 1 consumed', 'policyGradient -1 ready']);
  });

  it('survives restarts of the daemon, and a reload of the editor finds the range again', () => {
    accepted();
    intake = fresh();
    publish([change(3, 0, 0, '// a line above\n')]);
    intake = fresh();
    // The window is gone without a word; another has the file, edited above meanwhile.
    intake.disconnected('s');
    clock.advance(60_000);
    intake.opened('s2', workspace, { uri, version: 1, text: `// one\n// two\n0123456789${TEXT}\n` });
    publish([change(2, 24, TEXT.length, 'x')], 's2');
    pass(60);
    expect(marks()).toEqual([[120, expect.closeTo(0)]]);
    expect(journal.verdicts('t').at(-1)?.kind).toBe('correction');
  });

  it('is void where nobody saw what happened: branch switch, rewrite, a file that is different when opened again', () => {
    const voided = (happens: () => void): void => {
      happens();
      pass(900);
      expect(marks()).toEqual([[120, null]]);
      expect(journal.verdicts('t')).toHaveLength(1);
      expect(journal.watches(workspace)).toEqual([]);
    };
    accepted();
    voided(() => publish([{ kind: 'branch.switched', at: clock.now(), workspace }]));
  });
  it('… an external rewrite of the file', () => {
    accepted();
    publish([change(3, 0, 10 + TEXT.length, 'something that another program wrote, all of it')]);
    pass(900);
    expect(marks()).toEqual([[120, null]]);
    expect(journal.verdicts('t')).toHaveLength(1);
  });
  it('… a file that changed while it was closed', () => {
    accepted();
    publish([{ kind: 'document.closed', at: clock.now(), uri }]);
    pass(900);
    expect(marks()).toEqual([]);
    intake.opened('s', workspace, { uri, version: 1, text: 'other text' });
    expect(marks()).toEqual([[120, null]]);
    expect(journal.verdicts('t')).toHaveLength(1);
  });

  it('forgetting a file takes what was watched and what became known with it (conformance 25)', () => {
    accepted();
    publish([change(3, 10, TEXT.length, 'throw new Error("zebra-later");')]);
    pass(100);
    journal.forget({ uri }, 0);
    expect(readdirSync(dir).map((name) => readFileSync(join(dir, name), 'latin1')).join('')).not.toMatch(/zebra-later|items\.length/);
  });
});

describe('commits', () => {
  const git = (...args: string[]): string => execFileSync('git', ['-C', dir, '-c', 'user.name=t', '-c', 'user.email=t@e.x', ...args], { encoding: 'utf8', env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_COMMITTER_DATE: `${Math.round(clock.now() / 1000)} +0000` } });
  const look = (): Promise<void> => new CommitWatch(journal, intake, (line) => expect.fail(line)).look(workspace);

  it('a revert days later, by real git, is a correction; the commit before it was none', async () => {
    git('init', '-q');
    writeFileSync(join(dir, 'a.ts'), 'start\n');
    git('add', 'a.ts');
    git('commit', '-qm', 'Start');
    await look();
    accepted();
    writeFileSync(join(dir, 'a.ts'), `start\n  ${TEXT}\n`);
    git('commit', '-qam', 'Divide by the count');
    await look();
    expect(journal.evidence('t')).toMatchObject([{ kind: 'commit', subject: 'Divide by the count' }]);
    expect(journal.verdicts('t')).toHaveLength(1);
    for (let day = 0; day < 3; day++) pass(86_400);
    // A daemon that starts again goes on where it was.
    intake = fresh();
    git('revert', '--no-edit', 'HEAD');
    await look();
    await look();
    const correction = journal.verdicts('t').at(-1);
    expect(correction).toMatchObject({ kind: 'correction', score: -0.25 });
    expect(correction?.evidence[0]).toMatch(/^Taken back later: commit \w+ reverts \w+/);
    expect(journal.verdicts('t')).toHaveLength(2);
    expect(journal.verify()).toEqual([]);
  });
});
