/**
 * The user's own runs, and what checkers say, as late evidence on the turns that they are about, or on
 * none. Which files changed, and what was last said of a document, is in memory: after a restart less is
 * attributed, never something else. The last state of each check is in the journal.
 */
import { countsOf, failuresOf } from '../agent/tests/report.ts';
import { isTestFile } from '../agent/tests/testFile.ts';
import { after, checksOf, turnedBy } from '../capture/checks.ts';
import type { Standings, Taken, Turned } from '../capture/checks.ts';
import type { TakenHere } from '../capture/completions.ts';
import { deltaOf } from '../capture/problems.ts';
import type { Known } from '../capture/problems.ts';
import type { Signal, SignalOf } from '../../protocol/signals.ts';
import type { Journal } from '../journal/journal.ts';
import type { LateEvidence, Observation, Turn } from '../journal/records.ts';

type Run = SignalOf<'tests.ran' | 'terminal.ran' | 'task.ended' | 'debug.ended' | 'cell.ran'>;

/** Names in one observation. */
const MOST_NAMES = 20;
/** What was taken longer ago has been run often enough. */
const REACH_MS = 24 * 60 * 60 * 1000;

interface Looked {
  known: Known;
  at: number;
}

export class OwnWork {
  /** By workspace: when each file changed last, by its path, since `began`. */
  readonly #changes = new Map<string, { began: number; files: Map<string, number> }>();
  /** By session and document. */
  readonly #looked = new Map<string, Map<string, Looked>>();

  constructor(private readonly journal: Journal) {}

  /** The next signal of a session. @param here  accepted text that is followed in it */
  signal(workspace: string, session: string, signal: Signal, here: () => TakenHere[]): LateEvidence[] {
    switch (signal.kind) {
      case 'session.started':
      case 'document.changed':
        this.#note(workspace, signal);
        return [];
      case 'document.closed':
        this.#looked.get(session)?.delete(signal.uri);
        return [];
      case 'diagnostics.settled':
        return this.#settled(workspace, session, signal, here());
      case 'tests.ran':
      case 'terminal.ran':
      case 'task.ended':
      case 'debug.ended':
      case 'cell.ran':
        return this.#ran(workspace, signal, here());
      default:
        return [];
    }
  }

  /** The window is gone: what it has open is looked at anew when it is back. */
  forget(session: string): void {
    this.#looked.delete(session);
  }

  /** The owner said no: what is remembered of the workspace's runs goes, too. */
  withdraw(workspace: string): void {
    this.#changes.delete(workspace);
    this.journal.set(standingsOf(workspace), {});
  }

  #note(workspace: string, signal: SignalOf<'session.started' | 'document.changed'>): void {
    const changes = this.#changes.get(workspace) ?? { began: signal.at, files: new Map<string, number>() };
    this.#changes.set(workspace, changes);
    if (signal.kind === 'document.changed') changes.files.set(pathIn(workspace, signal.uri), signal.at);
  }

  #settled(workspace: string, session: string, { uri, problems, at }: SignalOf<'diagnostics.settled'>, here: readonly TakenHere[]): LateEvidence[] {
    const looked = this.#looked.get(session) ?? new Map<string, Looked>();
    this.#looked.set(session, looked);
    const before = looked.get(uri) ?? null;
    const places = here.filter((one) => one.uri === uri);
    const edits = this.#underReview(workspace, before?.at ?? Infinity).filter((turn) => pathsOf(workspace, turn).includes(pathIn(workspace, uri)));
    const since = [...places.filter((one) => before !== null && one.at > before.at).map(({ turn }) => turn), ...edits.map(({ id }) => id)];
    const { known, deltas } = deltaOf(before?.known ?? null, problems, places, since);
    looked.set(uri, { known, at });
    return deltas.map(({ turn, added, resolved, remaining }) => ({ kind: 'observed', turn, observation: { kind: 'diagnostics', added, resolved, ...(remaining !== undefined && { remaining }) }, at }));
  }

  #ran(workspace: string, run: Run, here: readonly TakenHere[]): LateEvidence[] {
    const checks = checksOf(run);
    if (checks.length === 0) return [];
    const key = standingsOf(workspace);
    const standings = (this.journal.get(key) as Standings | undefined) ?? {};
    const startedAt = run.at - run.durationMs;
    const turned = turnedBy(checks, standings, this.#taken(workspace, run.at - REACH_MS, here), (since) => this.#changedSince(workspace, since), startedAt);
    this.journal.set(key, after(standings, checks, run.at));
    const turns = [...new Set(turned.map(({ turn }) => turn))];
    return turns.map((turn) => ({ kind: 'observed', turn, observation: this.#observation(workspace, run, turned.filter((one) => one.turn === turn)), at: run.at }));
  }

  #observation(workspace: string, run: Run, turned: readonly Turned[]): Observation {
    const names = (state: 'passed' | 'failed'): string[] => turned.filter(({ check }) => check.state === state).map(({ check }) => check.name).slice(0, MOST_NAMES);
    const [fixed, broken] = [names('passed'), names('failed')];
    if (run.kind !== 'tests.ran') return { kind: 'checks', fixed, broken };
    const { passed, failed, errors } = countsOf(run.report);
    // Whoever edits the tests in between may have made them green.
    const testsEdited = fixed.length === 0 ? [] : this.#filesSince(workspace, Math.min(...turned.map(({ since }) => since))).filter(isTestFile);
    return { kind: 'tests', command: run.source, passed, failed, errors, fixed, broken, testsEdited, failures: failuresOf(run.report) };
  }

  #taken(workspace: string, since: number, here: readonly TakenHere[]): Taken[] {
    const inView = here.map(({ turn, uri, at }) => ({ turn, path: pathIn(workspace, uri), at }));
    const closed = this.journal.acceptedSince(workspace, since).filter(({ id, modality }) => (modality === 'completion' || modality === 'edit') && !here.some((one) => one.turn === id));
    const underReview = this.#underReview(workspace, since);
    return [...inView, ...[...closed, ...underReview].flatMap((turn) => pathsOf(workspace, turn).map((path) => ({ turn: turn.id, path, at: turn.offeredAt })))];
  }

  #underReview(workspace: string, since: number): Turn[] {
    return this.journal.turnsOf({ workspace, open: true }).filter((turn) => turn.modality === 'edit' && turn.offeredAt >= since);
  }

  /** null = not all of them are known. */
  #changedSince(workspace: string, since: number): string[] | null {
    const began = this.#changes.get(workspace)?.began ?? Infinity;
    return began > since ? null : this.#filesSince(workspace, since);
  }

  #filesSince(workspace: string, since: number): string[] {
    return [...(this.#changes.get(workspace)?.files ?? [])].filter(([, at]) => at > since).map(([path]) => path);
  }
}

const standingsOf = (workspace: string): string => `checks ${workspace}`;

/** Files that a turn wrote into. */
function pathsOf(workspace: string, { uri, action }: Turn): string[] {
  if (uri !== '') return [pathIn(workspace, uri)];
  const named = (action?.calls ?? []).map((call) => (call.tool === 'edit_file' ? call.arguments?.['path'] : undefined));
  return named.filter((path) => typeof path === 'string').map((path) => path.replaceAll('\\', '/').replace(/^\.\//, ''));
}

function pathIn(workspace: string, uri: string): string {
  return uri.startsWith(`${workspace}/`) ? decodeURIComponent(uri.slice(workspace.length + 1)) : uri;
}
