/**
 * What the user's own runs say: each test, command, task, debug session and cell is a check that passes
 * or fails. What counts is that a check turned between two runs of it, and that a turn of the agent is
 * what it was about: its file is named by the failure, or is the only one that changed in between. A
 * check that was never seen before, or whose turning may be anybody's, says nothing of anyone. Pure.
 */
import { createHash } from 'node:crypto';
import { isTestFile } from '../agent/tests/testFile.ts';
import type { Signal, SignalOf } from '../../protocol/signals.ts';

export interface Check {
  what: 'tests' | 'command' | 'task' | 'debug' | 'cell';
  /** For people. */
  name: string;
  /** What makes two runs runs of the same check. */
  key: string;
  state: 'passed' | 'failed';
  /** What it wrote: a failure names files in it. */
  words: string;
}

/** The last run of a check, as it is remembered: no text of it, only hashes. */
export type Standing = readonly [state: 0 | 1, at: number, named: readonly string[]];
export type Standings = Readonly<Record<string, Standing>>;

/** Text of a turn that is in a file now. */
export interface Taken {
  turn: string;
  /** Relative to the workspace, with forward slashes. */
  path: string;
  at: number;
}

/** A check that turned, and is about a turn. */
export interface Turned {
  turn: string;
  check: Check;
  /** When it was run before. */
  since: number;
}

/** More turns than this between two runs, and it may be any of them. */
const MOST_TURNS = 3;
/** Files that a failure names, and checks that are remembered for a workspace. */
const MOST_NAMED = 40;
const MOST_REMEMBERED = 5000;

/** @returns none of a run that says nothing: it was stopped, or answers a question by its exit code */
export function checksOf(signal: Signal): Check[] {
  switch (signal.kind) {
    case 'tests.ran':
      return testChecks(signal);
    case 'terminal.ran':
      return saysNothing(signal) ? [] : [check('command', signal.command.trim(), `${signal.cwd ?? ''} ${signal.command.trim()}`, signal.exitCode === 0, signal.output)];
    case 'task.ended':
      return signal.exitCode === null || STOPPED.includes(signal.exitCode) ? [] : [check('task', signal.name, signal.name, signal.exitCode === 0, '')];
    case 'debug.ended':
      return debugCheck(signal);
    case 'cell.ran':
      return [check('cell', 'a cell', signal.cell, signal.success, `${nameOf(signal.uri)} ${signal.error ?? ''}`)];
    default:
      return [];
  }
}

/** @param standings  of the workspace, before this run
 *  @param taken  turns whose text was taken, the agent's edits under review among them
 *  @param changedSince  paths that changed since a time; null = not known from so early on
 *  @param startedAt  of this run: what was taken after it was not in it */
export function turnedBy(checks: readonly Check[], standings: Standings, taken: readonly Taken[], changedSince: (at: number) => readonly string[] | null, startedAt: number): Turned[] {
  return checks.flatMap((one) => {
    const before = standings[hash(one.key)];
    if (before === undefined || before[0] === Number(one.state === 'passed')) return [];
    const [, at, namedBefore] = before;
    const named = new Set([...namedBefore, ...namesIn(one.words)]);
    const changed = changedSince(at);
    const only = changed?.filter((path) => !isTestFile(path)) ?? [];
    const about = taken.filter((turn) => turn.at > at && turn.at <= startedAt && (named.has(hash(nameOf(turn.path))) || (only.length === 1 && only[0] === turn.path)));
    return about.length > MOST_TURNS ? [] : about.map(({ turn }) => ({ turn, check: one, since: at }));
  });
}

/** The standings after a run. */
export function after(standings: Standings, checks: readonly Check[], at: number): Standings {
  const now: Record<string, Standing> = { ...standings };
  for (const one of checks) {
    const key = hash(one.key);
    // The newest last, so that the oldest can go.
    delete now[key];
    now[key] = [one.state === 'passed' ? 1 : 0, at, one.state === 'passed' ? [] : namesIn(one.words).slice(0, MOST_NAMED)];
  }
  const entries = Object.entries(now);
  return entries.length <= MOST_REMEMBERED ? now : Object.fromEntries(entries.slice(-MOST_REMEMBERED));
}

/** Ctrl-C, or ended from outside. */
const STOPPED = [130, 137, 143];
/** Programs that answer a question by exit code 1. */
export const ANSWERS_BY_EXIT_CODE = /^\s*(?:sudo\s+)?(?:grep|egrep|fgrep|rg|ag|diff|cmp|comm|test|\[|git\s+(?:diff|grep)|pgrep|which|command)\b/;
/** Programs that only look around or move things: whether they work says nothing of code. */
const LOOKS = /^\s*(?:sudo\s+)?(?:cd|ls|ll|pwd|echo|cat|less|more|head|tail|cp|mv|rm|mkdir|touch|ssh|scp|curl|wget|vi|vim|nano|code|man|history|clear|exit|kill|git)\b/;

function saysNothing({ exitCode, command }: SignalOf<'terminal.ran'>): boolean {
  return exitCode === null || STOPPED.includes(exitCode) || ANSWERS_BY_EXIT_CODE.test(command) || LOOKS.test(command) || command.trim() === '';
}

function testChecks({ report }: SignalOf<'tests.ran'>): Check[] {
  // Some runners name the file of a failure only: tests of one name stand and fall together.
  const byName = new Map<string, Check>();
  for (const { name, file, state, message } of report.cases) {
    if (state === 'skipped') continue;
    const known = byName.get(name);
    const failed = state === 'failed' || known?.state === 'failed';
    byName.set(name, check('tests', name, `test ${name}`, !failed, `${known?.words ?? ''} ${file ?? ''} ${message ?? ''}`));
  }
  const loads = check('tests', 'all tests load', 'test files load', report.errors.length === 0, report.errors.join('\n'));
  return [...byName.values(), ...(byName.size + report.errors.length > 0 ? [loads] : [])];
}

function debugCheck({ name, exitCode, exception }: SignalOf<'debug.ended'>): Check[] {
  if (exception === null && (exitCode === null || STOPPED.includes(exitCode))) return [];
  return [check('debug', name, name, exception === null && exitCode === 0, exception === null ? '' : nameOf(exception.uri))];
}

function check(what: Check['what'], name: string, key: string, passed: boolean, words: string): Check {
  return { what, name, key: `${what} ${key}`, state: passed ? 'passed' : 'failed', words };
}

/** Hashes of the file names in a text. A test file stands for the file that it tests, too. */
function namesIn(words: string): string[] {
  const names = new Set<string>();
  for (const [name] of words.matchAll(/[\w@+-][\w@.+-]*\.[A-Za-z]\w{0,7}\b/g)) {
    names.add(name);
    names.add(name.replace(/[._-](test|spec)s?(?=\.[^.]+$)/, '').replace(/^test_/, ''));
  }
  return [...names].map(hash);
}

function nameOf(path: string): string {
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}
