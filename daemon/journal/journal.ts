/**
 * Everything that must survive: signals, turns and what became of them, samples, steps, adapters.
 * Synchronous: what a method wrote outside `transaction` is on disk when it returns; inside, when
 * `transaction` returns. The journal decides nothing; the stations do.
 */
import { SIGNAL_CLASSES, USUAL_CLASSES } from '../../protocol/consent.ts';
import type { SignalClass } from '../../protocol/consent.ts';
import type { ConsentChoice, ConsentState } from '../../protocol/editor.ts';
import { HindsightError } from '../../protocol/errors.ts';
import type { VersionCurve } from '../../protocol/learning.ts';
import type { Signal } from '../../protocol/signals.ts';
import type { Watch } from '../capture/watching.ts';
import { openDatabase } from './database.ts';
import type { Database, Row, Value } from './database.ts';
import { rememberWish, wishes } from '../privacy/forgotten.ts';
import { versionCurves } from './curve.ts';
import { forget, retract } from './forget.ts';
import type { ForgetScope, Forgotten, Stretch } from './forget.ts';
import type { AdapterRecord, Hint, LateEvidence, NextState, Sample, SampleState, Step, Turn, Verdict } from './records.ts';
import { adapterOf, assignments, sampleOf, stepOf } from './rows.ts';
import { allRecords, latestRecords } from './preview.ts';
import type { StoredRecord } from './preview.ts';
import { journalStats, pipeCounts, pipeStages } from './stats.ts';
import type { JournalStats, PipeCounts, PipeStage } from './stats.ts';
import { verify } from './verify.ts';
import { withEvidence } from './evidence.ts';

export interface TurnFilter {
  workspace?: string;
  session?: string;
  uri?: string;
  /** true = the next state is not known yet. */
  open?: boolean;
  role?: Turn['role'];
  split?: Turn['split'];
  /** The newest so many. */
  limit?: number;
}

export interface SampleFilter {
  workspace?: string;
  state?: SampleState;
  /** The oldest so many. */
  limit?: number;
}

/** The driver's own type does not admit a spread of values. */
interface Statement {
  run(...values: Value[]): { changes: number; lastInsertRowid: number | bigint };
  get(...values: Value[]): unknown;
  all(...values: Value[]): unknown[];
}

export class Journal {
  readonly #statements = new Map<string, Statement>();
  #depth = 0;

  private constructor(
    private readonly database: Database,
    readonly path: string,
  ) {}

  /** Opens or makes the journal and brings it to this version's schema.
   *  @throws journalNewer, journalCorrupt */
  static open(path: string): Journal {
    return new Journal(openDatabase(path), path);
  }

  get open(): boolean {
    return this.database.open;
  }

  close(): void {
    // The driver holds the file until its statements are gone.
    this.#statements.clear();
    this.database.close();
  }

  /** All of `work` is on disk when this returns, or none of it. An inner call joins the outer one. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.database.exec('begin immediate');
    this.#depth = 1;
    try {
      const result = work();
      this.database.exec('commit');
      return result;
    } catch (thrown) {
      this.database.exec('rollback');
      throw thrown;
    } finally {
      this.#depth = 0;
    }
  }

  // ── signals ────────────────────────────────────────────────────────────────────────────────

  /** Largest signal number of the session that is on disk; -1 = none. */
  acknowledged(session: string): number {
    return Number(this.#one('select acknowledged from session where id = ?', session)?.['acknowledged'] ?? -1);
  }

  /** Stores signals `first`, `first`+1, …; those already on disk are ignored, those that may not be
   *  stored leave their numbers only.
   *  @returns the ones that were new and stored, in order
   *  @throws badRequest on a gap */
  appendSignals(session: string, first: number, signals: readonly Signal[], workspace: string, admits: (signal: Signal) => boolean = () => true): Signal[] {
    const acknowledged = this.acknowledged(session);
    if (first > acknowledged + 1) {
      throw new HindsightError('badRequest', {
        problem: `Signals ${acknowledged + 1} to ${first - 1} of session ${session} are missing`,
        remedy: `Send them again from ${acknowledged + 1}.`,
      });
    }
    const fresh = signals.slice(acknowledged + 1 - first);
    const last = fresh.at(-1);
    if (last === undefined) return [];
    this.transaction(() => {
      const seq = acknowledged + 1;
      this.heardFrom(session, workspace, last.at);
      const refused = fresh.filter((signal) => !admits(signal)).length;
      this.#run('update session set acknowledged = ?, forgotten = forgotten + ? where id = ?', acknowledged + fresh.length, refused, session);
      fresh.forEach((signal, index) => {
        if (!admits(signal)) return;
        const uri = 'uri' in signal ? signal.uri : null;
        this.#run('insert into signal (session, seq, at, kind, uri, record) values (?, ?, ?, ?, ?, ?)', session, seq + index, signal.at, signal.kind, uri, JSON.stringify(signal));
      });
    });
    return fresh.filter(admits);
  }

  signals(session: string): Signal[] {
    return this.#all('select record from signal where session = ? order by seq', session).map((row) => record<Signal>(row));
  }

  /** The session is alive at `at`; one that had ended goes on. */
  heardFrom(session: string, workspace: string, at: number): void {
    this.#run(
      `insert into session (id, workspace, acknowledged, last_at) values (?, ?, -1, ?)
       on conflict (id) do update set workspace = excluded.workspace, last_at = max(last_at, excluded.last_at), ended_at = null`,
      session, workspace, at,
    );
  }

  /** When the session was last heard from; 0 = never. */
  lastHeard(session: string): number {
    return Number(this.#one('select last_at from session where id = ?', session)?.['last_at'] ?? 0);
  }

  /** '' for one that is not known. */
  sessionWorkspace(session: string): string {
    return String(this.#one('select workspace from session where id = ?', session)?.['workspace'] ?? '');
  }

  /** Sessions without an end that were not heard from since `before`. */
  idleSessions(before: number): string[] {
    return this.#all('select id from session where ended_at is null and last_at < ?', before).map((row) => String(row['id']));
  }

  endSession(session: string, at: number): void {
    this.#run('update session set ended_at = ? where id = ?', at, session);
  }

  /** The owner's choice. A class of signals has a row of its own, `<workspace>#<class>`; one that was never
   *  chosen is what a plain yes covers. */
  consent(workspace: string): ConsentChoice {
    const chosen = new Map(this.#all(`select workspace, state from consent where workspace = ?1 or (workspace > ?1 || '#' and workspace < ?1 || '$')`, workspace).map((row) => [String(row['workspace']), row['state']]));
    const state = chosen.get(workspace);
    if (state !== 'granted') return { state: state === 'refused' ? state : 'unknown', classes: [] };
    const granted = (each: SignalClass): boolean => (chosen.get(`${workspace}#${each}`) ?? (USUAL_CLASSES.includes(each) ? 'granted' : 'refused')) === 'granted';
    return { state, classes: SIGNAL_CLASSES.filter(granted) };
  }

  /** @param classes  absent = as they were chosen before */
  setConsent(workspace: string, state: ConsentState, classes?: readonly SignalClass[]): void {
    const set = (of: string, to: ConsentState): unknown =>
      this.#run('insert into consent (workspace, state) values (?, ?) on conflict (workspace) do update set state = excluded.state', of, to);
    this.transaction(() => {
      set(workspace, state);
      if (classes !== undefined) for (const each of SIGNAL_CLASSES) set(`${workspace}#${each}`, classes.includes(each) ? 'granted' : 'refused');
    });
  }

  // ── turns ──────────────────────────────────────────────────────────────────────────────────

  /** Stores a turn; a main turn that offered something is open until `closeTurn`. */
  insertTurn(turn: Turn): void {
    const open = turn.role === 'main' && (turn.shownText !== '' || turn.held !== undefined) ? 1 : 0;
    this.#run(
      'insert into turn (id, session, workspace, role, split, uri, offered_at, open, record) values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      turn.id, turn.session, turn.workspace, turn.role, turn.split, turn.uri, turn.offeredAt, open, JSON.stringify(turn),
    );
  }

  turn(id: string): Turn | null {
    const row = this.#one('select record from turn where id = ?', id);
    return row === undefined ? null : record<Turn>(row);
  }

  /** Newest first. */
  turnsOf(filter: TurnFilter): Turn[] {
    const { sql, values } = where({
      workspace: filter.workspace,
      session: filter.session,
      uri: filter.uri,
      open: filter.open === undefined ? undefined : Number(filter.open),
      role: filter.role,
      split: filter.split,
    });
    return this.#all(`select record from turn ${sql} order by offered_at desc, rowid desc limit ?`, ...values, filter.limit ?? -1).map((row) => record<Turn>(row));
  }

  /** Main turns without a next state, in the order of their offers. */
  openTurns(session?: string): Turn[] {
    return this.turnsOf({ open: true, ...(session === undefined ? {} : { session }) }).reverse();
  }

  /** Ids of the agent's actions from before `before` that are open still. */
  openActions(before: number): string[] {
    const found = this.#all(`select id from turn where open = 1 and offered_at < ? and json_extract(record, '$.modality') <> 'completion'`, before);
    return found.map((row) => String(row['id']));
  }

  /** The action before this one in the same task. */
  actionBefore(turn: Turn): Turn | null {
    if (turn.action === undefined || turn.action.step === 0) return null;
    const { task, step } = turn.action;
    const row = this.#one(
      `select record from turn where session = ? and json_extract(record, '$.action.task') = ? and json_extract(record, '$.action.step') < ? order by json_extract(record, '$.action.step') desc limit 1`,
      turn.session, task, step,
    );
    return row === undefined ? null : record<Turn>(row);
  }

  /** The actions of one task, in their order. */
  actionsOf(session: string, task: string): Turn[] {
    return this.#all(`select record from turn where session = ? and json_extract(record, '$.action.task') = ? order by json_extract(record, '$.action.step')`, session, task).map((row) => record<Turn>(row));
  }

  /** State of capture for an open turn, so that it survives a restart. */
  saveTracking(turn: string, json: string): void {
    this.#run('update turn set tracking = ? where id = ? and open = 1', json, turn);
  }

  tracking(turn: string): string | null {
    const tracking = this.#one('select tracking from turn where id = ?', turn)?.['tracking'];
    return typeof tracking === 'string' ? tracking : null;
  }

  /** Stores the next state of an open turn; a turn has exactly one, and a late one is refused.
   *  @returns whether the turn was open */
  closeTurn(next: NextState): boolean {
    return this.transaction(() => {
      const { changes } = this.#run('update turn set open = 0, tracking = null where id = ? and open = 1', next.turn);
      if (changes === 0) return false;
      this.#run('insert into next_state (turn, outcome, decided_at, record) values (?, ?, ?, ?)', next.turn, next.outcome, next.decidedAt, JSON.stringify(next));
      return true;
    });
  }

  nextState(turn: string): NextState | null {
    const row = this.#one('select record from next_state where turn = ?', turn);
    return row === undefined ? null : record<NextState>(row);
  }

  /** The next state with all that became known since: later survival marks, and what stands there now. */
  known(turn: string): NextState | null {
    const next = this.nextState(turn);
    return next === null ? null : withEvidence(next, this.evidence(turn));
  }

  insertEvidence(evidence: LateEvidence): void {
    this.#run('insert into evidence (turn, record) select id, ? from turn where id = ?', JSON.stringify(evidence), evidence.turn);
  }

  /** Oldest first. */
  evidence(turn: string): LateEvidence[] {
    return this.#all('select record from evidence where turn = ? order by id', turn).map((row) => record<LateEvidence>(row));
  }

  /** Ranges of a workspace that are watched on. */
  watches(workspace: string): Watch[] {
    return this.#all('select record from watch where workspace = ? order by rowid', workspace).map((row) => record<Watch>(row));
  }

  saveWatch(watch: Watch): void {
    this.#run('insert into watch (turn, workspace, record) select id, ?, ? from turn where id = ? on conflict (turn) do update set record = excluded.record', watch.workspace, JSON.stringify(watch), watch.turn);
  }

  endWatch(turn: string): void {
    this.#run('delete from watch where turn = ?', turn);
  }

  // ── turns for a judge ──────────────────────────────────────────────────────────────────────

  /** The turn's verdict is to be given by a model. */
  queueJudging(turn: string, workspace: string, dueAt: number): void {
    this.#run('insert or ignore into judging (turn, workspace, attempts, due_at) values (?, ?, 0, ?)', turn, workspace, dueAt);
  }

  /** The next turn that is due, the longest waiting first. */
  nextJudging(now: number): { turn: string; attempts: number } | null {
    const row = this.#one('select turn, attempts from judging where due_at <= ? order by due_at, turn limit 1', now);
    return row === undefined ? null : { turn: String(row['turn']), attempts: Number(row['attempts']) };
  }

  postponeJudging(turn: string, dueAt: number): void {
    this.#run('update judging set attempts = attempts + 1, due_at = ? where turn = ?', dueAt, turn);
  }

  /** @returns whether the turn was still waiting */
  endJudging(turn: string): boolean {
    return this.#run('delete from judging where turn = ?', turn).changes > 0;
  }

  /** How many turns wait, and when the next of them is due. */
  judgingWaits(): { turns: number; dueAt: number | null } {
    const row = this.#one('select count(*) as n, min(due_at) as due from judging');
    return { turns: Number(row?.['n'] ?? 0), dueAt: typeof row?.['due'] === 'number' ? row['due'] : null };
  }

  /** Turns of a workspace that were accepted since, newest first: what a commit may contain, or revert. */
  acceptedSince(workspace: string, since: number): Turn[] {
    return this.#all(
      `select turn.record from turn join next_state on next_state.turn = turn.id
       where turn.workspace = ? and turn.offered_at >= ? and next_state.outcome in ('accepted', 'partial', 'typedThrough', 'kept', 'changed') order by turn.offered_at desc`,
      workspace, since,
    ).map((row) => record<Turn>(row));
  }

  insertVerdict(verdict: Verdict): void {
    this.#run('insert into verdict (turn, workspace, record) select id, workspace, ? from turn where id = ?', JSON.stringify(verdict), verdict.turn);
  }

  /** Oldest first: the provisional one, then corrections. */
  verdicts(turn: string): Verdict[] {
    return this.#all('select record from verdict where turn = ? order by id', turn).map((row) => record<Verdict>(row));
  }

  insertHint(hint: Hint): void {
    this.#run('insert into hint (turn, record) values (?, ?)', hint.turn, JSON.stringify(hint));
  }

  hints(turn: string): Hint[] {
    return this.#all('select record from hint where turn = ? order by id', turn).map((row) => record<Hint>(row));
  }

  // ── samples and steps ──────────────────────────────────────────────────────────────────────

  /** A ready sample, dated by its turn's next state. @returns its id */
  insertSample(sample: Omit<Sample, 'id' | 'state' | 'reason' | 'step' | 'createdAt'>): number {
    const { lastInsertRowid } = this.#run(
      `insert into sample (turn, workspace, route, advantage, weight, version, state, created_at)
       values (?, ?, ?, ?, ?, ?, 'ready', coalesce((select decided_at from next_state where turn = ?), 0))`,
      sample.turn, sample.workspace, sample.route, sample.advantage, sample.weight, sample.version, sample.turn,
    );
    return Number(lastInsertRowid);
  }

  /** Oldest first. */
  samples(filter: SampleFilter): Sample[] {
    const { sql, values } = where({ workspace: filter.workspace, state: filter.state });
    return this.#all(`select * from sample ${sql} order by id limit ?`, ...values, filter.limit ?? -1).map(sampleOf);
  }

  /** Takes ready samples for a step, all or none.
   *  @throws internal when one of them is not ready: a step may never train what another has */
  leaseSamples(ids: readonly number[], step: number): void {
    this.transaction(() => {
      for (const id of ids) {
        const { changes } = this.#run(`update sample set state = 'leased', step = ? where id = ? and state = 'ready'`, step, id);
        if (changes !== 1) throw new HindsightError('internal', { message: `sample ${id} is not ready to be leased by step ${step}` });
      }
    });
  }

  /** What the step leased is trained, for good. @returns how many */
  consumeSamples(step: number): number {
    return this.#run(`update sample set state = 'consumed' where step = ? and state = 'leased'`, step).changes;
  }

  /** What the step leased is ready again. @returns how many */
  releaseSamples(step: number): number {
    return this.#run(`update sample set state = 'ready', step = null where step = ? and state = 'leased'`, step).changes;
  }

  dropSample(id: number, reason: string): void {
    this.#run(`update sample set state = 'dropped', reason = ?, step = null where id = ? and state in ('ready', 'leased')`, reason, id);
  }

  /** A turn's samples that no step has taken leave, with the reason. */
  dropReady(turn: string, reason: string): void {
    this.#run(`update sample set state = 'dropped', reason = ? where turn = ? and state = 'ready'`, reason, turn);
  }

  /** @returns the step's id */
  insertStep(step: Omit<Step, 'id'>): number {
    const { lastInsertRowid } = this.#run(
      'insert into step (workspace, seed, started_at, state, candidate, metrics) values (?, ?, ?, ?, ?, ?)',
      step.workspace, step.seed, step.startedAt, step.state, step.candidate, JSON.stringify(step.metrics),
    );
    return Number(lastInsertRowid);
  }

  updateStep(id: number, patch: Partial<Pick<Step, 'state' | 'candidate' | 'metrics'>>): void {
    const { sql, values } = assignments({ ...patch, ...(patch.metrics ? { metrics: JSON.stringify(patch.metrics) } : {}) });
    this.#run(`update step set ${sql} where id = ?`, ...values, id);
  }

  /** Oldest first. */
  steps(filter: { workspace?: string; state?: Step['state'] } = {}): Step[] {
    const { sql, values } = where(filter);
    return this.#all(`select * from step ${sql} order by id`, ...values).map(stepOf);
  }

  // ── adapters ───────────────────────────────────────────────────────────────────────────────

  insertAdapter(adapter: AdapterRecord): void {
    this.#run(
      'insert into adapter (workspace, version, parent, fingerprint, dir, sha256, state, created_at, samples, reason) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      adapter.workspace, adapter.version, adapter.parent, adapter.fingerprint, adapter.dir, adapter.sha256, adapter.state, adapter.createdAt, adapter.samples, adapter.reason,
    );
  }

  updateAdapter(workspace: string, version: number, patch: Partial<Pick<AdapterRecord, 'state' | 'reason' | 'dir' | 'sha256'>>): void {
    const { sql, values } = assignments(patch);
    this.#run(`update adapter set ${sql} where workspace = ? and version = ?`, ...values, workspace, version);
  }

  /** Newest first; of every workspace if none is given. */
  adapters(workspace?: string): AdapterRecord[] {
    const { sql, values } = where({ workspace });
    return this.#all(`select * from adapter ${sql} order by workspace, version desc`, ...values).map(adapterOf);
  }

  /** The version under the agent; null = the base model alone. */
  serving(workspace: string): number | null {
    const version = this.#one('select version from serving where workspace = ?', workspace)?.['version'];
    return typeof version === 'number' ? version : null;
  }

  setServing(workspace: string, version: number | null): void {
    this.#run('insert into serving (workspace, version) values (?, ?) on conflict (workspace) do update set version = excluded.version', workspace, version);
  }

  /** 1, 2, 3 …; a version is never used twice, rejected ones included. */
  nextVersion(workspace: string): number {
    const forgotten = this.get(`version/${workspace}`);
    return Math.max(Number(this.#one('select max(version) as last from adapter where workspace = ?', workspace)?.['last'] ?? 0), typeof forgotten === 'number' ? forgotten : 0) + 1;
  }

  // ── small state, counts, care ──────────────────────────────────────────────────────────────

  /** Small JSON state of the stations (baselines, cached measurements), by key. The caller knows its shape. */
  get(key: string): unknown {
    const value = this.#one('select value from state where key = ?', key)?.['value'];
    return typeof value === 'string' ? (JSON.parse(value) as unknown) : undefined;
  }

  set(key: string, value: unknown): void {
    this.#run('insert into state (key, value) values (?, ?) on conflict (key) do update set value = excluded.value', key, JSON.stringify(value));
  }

  pipeCounts(workspace?: string): PipeCounts {
    return pipeCounts(this.database, workspace);
  }

  /** Where the workspace's turns are, with the age of what waits. */
  stages(workspace: string, now: number): PipeStage[] {
    return pipeStages(this.database, workspace, now);
  }

  stats(workspace?: string): JournalStats {
    return journalStats(this.database, workspace);
  }

  /** How the suggestions of each version fared. */
  versionCurves(workspace: string): VersionCurve[] {
    return versionCurves(this.database, workspace);
  }

  /** The newest records of a workspace as they stand, newest first. */
  latestRecords(workspace: string, limit: number): StoredRecord[] {
    return latestRecords(this.database, workspace, limit);
  }

  /** All records of a workspace as they stand. */
  allRecords(workspace: string): Generator<StoredRecord> {
    return allRecords(this.database, workspace);
  }

  /** Workspaces of which anything is recorded. */
  workspaces(): string[] {
    return this.#all(`select workspace from session where workspace <> '' union select workspace from turn order by 1`).map((row) => String(row['workspace']));
  }

  /** Takes a session, a file, a folder, a workspace or everything out of the journal and its files for good.
   *  What windows still hold of it from before `at` will not be taken. */
  forget(scope: ForgetScope, at: number): Forgotten {
    return forget(this.database, this.path, scope, (work) =>
      this.transaction(() => {
        const workspaces = this.workspaces();
        const forgotten = work();
        for (const [workspace, place] of wishes(scope, workspaces)) rememberWish(this, workspace, place, at);
        return forgotten;
      }),
    );
  }

  /** Takes a stretch of a document's signals and turns out of the journal and its files. */
  retract(stretch: Stretch): void {
    retract(this.database, this.path, stretch, (work) => this.transaction(work));
  }

  /** What does not add up, as sentences; empty = all is accounted for. */
  verify(): string[] {
    return verify(this.database);
  }

  #statement(sql: string): Statement {
    const known = this.#statements.get(sql);
    if (known) return known;
    const prepared: Statement = this.database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }

  #run(sql: string, ...values: Value[]): { changes: number; lastInsertRowid: number | bigint } {
    return this.#statement(sql).run(...values);
  }

  #one(sql: string, ...values: Value[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }

  #all(sql: string, ...values: Value[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }
}

/** `where a = ? and b = ?` for the columns that are given. */
function where(columns: Record<string, Value | undefined>): { sql: string; values: Value[] } {
  const given = Object.entries(columns).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return { sql: given.length === 0 ? '' : `where ${given.map(([name]) => `${name} = ?`).join(' and ')}`, values: given.map(([, value]) => value) };
}

function record<T>(row: Row): T {
  return JSON.parse(String(row['record'])) as T;
}
