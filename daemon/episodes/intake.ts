/**
 * Signals and offers come in; next states, verdicts, hints and samples are on disk when a call
 * returns. Each call is ONE journal transaction: after a kill at any moment either all of it
 * happened or none, and the sender, who was not acknowledged, sends again (architecture.md,
 * "Exactly once"). Nothing is stored of a workspace whose owner has not consented.
 */
import { CompletionTracker } from '../capture/completions.ts';
import type { TakenHere } from '../capture/completions.ts';
import type { Tracking } from '../capture/tracking.ts';
import type { Clock } from '../clock.ts';
import { hintsOf, messageAgainst } from '../hindsight/hints.ts';
import type { Alarm } from '../gate/monitor.ts';
import { observeOutcome } from '../gate/watch.ts';
import { withEvidence } from '../journal/evidence.ts';
import type { Journal } from '../journal/journal.ts';
import type { Hint, LateEvidence, NextState, Turn, Verdict } from '../journal/records.ts';
import { observeChoice } from '../learn/choices.ts';
import { METHODS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { Admission, classOfTurn } from '../privacy/admission.ts';
import type { Retraction } from '../privacy/signals.ts';
import { textsOf } from '../reward/reading.ts';
import { verifiedVerdict } from '../reward/verdict.ts';
import type { Signal } from '../../protocol/signals.ts';
import { ActionEpisodes } from './actions.ts';
import { recordEvidence, recordLesson } from './lessons.ts';
import { OwnWork } from './ownWork.ts';
import type { Lesson } from './lessons.ts';
import { isOffer, roleOf, SESSION_IDLE_MS } from './turns.ts';
import { Watches } from './watches.ts';

/** Time alone closes turns only when nothing came in for this long: an editor sends in batches, and
 *  after a pause in the link it first sends what it had spooled. */
const QUIET_MS = 1500;
/** How often the agent's open actions are looked through for those that nobody came back to. */
const ACTIONS_MS = 60_000;

export interface Batch {
  session: string;
  workspace: string;
  /** Number of the first signal. */
  first: number;
  signals: readonly Signal[];
}

/** Told after the transaction. */
export interface IntakeListeners {
  onSamples: (workspace: string) => void;
  onClosed?: (turn: Turn, next: NextState) => void;
  /** A turn waits for a model's verdict. */
  onQueued?: () => void;
  /** Less is kept of what was promoted lately; said again until it is acted on. */
  onDrop?: (workspace: string, alarm: Alarm) => void;
}

interface Judged extends Lesson {
  /** null: late evidence on a turn that was closed before. */
  next: NextState | null;
  queued: boolean;
  alarm: Alarm | null;
}

interface Live {
  tracker: CompletionTracker;
  workspace: string;
  /** By the daemon's clock. */
  arrivedAt: number;
}

export class Intake {
  /** Sessions whose window is there; the state of the others is in the journal. */
  readonly #live = new Map<string, Live>();
  readonly #lessons = new Map<string, number>();
  readonly #actions: ActionEpisodes;
  readonly #watches: Watches;
  readonly #ownWork: OwnWork;
  #actionsLookedAt = 0;

  /** Asked before anything is stored. */
  readonly admission: Admission;

  constructor(
    private readonly journal: Journal,
    private readonly settings: LearnSettings,
    private readonly clock: Clock,
    private readonly listeners: IntakeListeners,
  ) {
    this.admission = new Admission(journal);
    this.#actions = new ActionEpisodes(journal);
    this.#watches = new Watches(journal);
    this.#ownWork = new OwnWork(journal);
  }

  /** @returns the largest number of the session that is on disk
   *  @throws consentMissing; badRequest on a gap */
  publish({ session, workspace, first, signals }: Batch): number {
    const admits = this.admission.signals(workspace, session);
    this.#commit(session, (tracker) => {
      const fresh = this.journal.appendSignals(session, first, signals, workspace, admits);
      const closed = fresh.flatMap((signal) => {
        const next = [...tracker.signal(signal), ...this.#actions.signal(signal, session)];
        // A text that was just closed is watched from this very signal on.
        this.#watches.begin(tracker.accepted(), session, workspace);
        const late = this.#watches.signal(workspace, session, signal);
        const here = (): TakenHere[] => [...tracker.taken(), ...this.#watches.taken(workspace, session)];
        return [...next, ...late, ...this.#ownWork.signal(workspace, session, signal, here)];
      });
      const end = fresh.find((signal) => signal.kind === 'session.ended');
      if (end) this.journal.endSession(session, end.at);
      return closed;
    }, workspace);
    return this.journal.acknowledged(session);
  }

  /** What was typed turned out to be a secret: it leaves the disk, and capture's memory with it. */
  retract(session: string, retractions: readonly Retraction[]): void {
    for (const retraction of retractions) this.journal.retract({ session, ...retraction });
    if (retractions.length === 0) return;
    this.#live.delete(session);
    this.#watches.forget(this.journal.sessionWorkspace(session));
  }

  /** Something was taken out of the journal: what is in memory of it is read anew. */
  reread(): void {
    this.#live.clear();
    this.#watches.reread();
  }

  /** A document was opened, with its text: ranges that nobody has in view are looked for in it. */
  opened(session: string, workspace: string, document: { uri: string; version: number; text: string }): void {
    if (!this.#watches.anyIn(workspace, document.uri) || !this.admission.allows(workspace, 'suggestions') || this.admission.ignores(workspace, document.uri)) return;
    const inView = (other: string): boolean => this.#live.has(other);
    this.#commit(session, () => this.#watches.opened(workspace, session, inView, { ...document, at: this.clock.now() }), workspace);
  }

  /** What became known of closed turns: a commit, a revert. */
  evidence(workspace: string, found: readonly LateEvidence[]): void {
    if (found.length > 0) this.#judgeAll(() => [...found], workspace);
  }

  /** Stores an answer of the agent before the editor gets it.
   *  @returns whether it was stored: without consent, or in an ignored file, it is served, and forgotten */
  offer(answer: Turn): boolean {
    if (!this.admission.turn(answer)) return false;
    const turn = { ...answer, role: roleOf(answer.role) };
    this.#commit(turn.session, (tracker) => {
      this.journal.heardFrom(turn.session, turn.workspace, turn.offeredAt);
      this.journal.insertTurn(turn);
      return isOffer(turn) ? tracker.offer(turn) : [];
    }, turn.workspace);
    return true;
  }

  /** An action of the agent, or what followed it: stored with all that comes of it. The caller has asked
   *  for consent; `work` returns what it closes. */
  act(session: string, work: (actions: ActionEpisodes) => (NextState | LateEvidence)[]): void {
    this.#commit(session, () => work(this.#actions), this.journal.sessionWorkspace(session));
  }

  /** Time passed: closes what closes by time. */
  quiet(): void {
    const now = this.clock.now();
    for (const [session, live] of this.#live) {
      if (now - live.arrivedAt < QUIET_MS) continue;
      if (live.tracker.open > 0) this.#commit(session, (tracker) => tracker.quiet(now), live.workspace, live.arrivedAt);
      if (this.#watches.due(live.workspace, session, now)) this.#commit(session, () => this.#watches.quiet(live.workspace, session, now), live.workspace, live.arrivedAt);
    }
    if (now - this.#actionsLookedAt >= ACTIONS_MS) {
      this.#actionsLookedAt = now;
      this.#judgeAll(() => this.#actions.quiet(now), null);
    }
    for (const session of this.journal.idleSessions(now - SESSION_IDLE_MS)) this.#endSession(session);
  }

  /** A model's verdict on a closed turn; part of the caller's transaction.
   *  @returns to be called after it: tells who waits for samples */
  modelVerdict(turn: Turn, next: NextState, verdict: Verdict, hints: readonly Hint[]): () => void {
    const said = verdict.score < 0 ? messageAgainst(turn, next, this.journal.hints(turn.id)) : [];
    const lesson = recordLesson(this.journal, this.settings, turn, next, verdict, [...said, ...hints]);
    return () => this.#announce([{ ...lesson, next: null, queued: false, alarm: null }]);
  }

  /** Verdicts and hints of a workspace since this daemon started. */
  lessons(workspace: string): number {
    return this.#lessons.get(workspace) ?? 0;
  }

  /** The window is gone; what it spooled may still come, so time closes nothing of it but idleness. */
  disconnected(session: string): void {
    this.#live.delete(session);
    this.#ownWork.forget(session);
  }

  /** The owner said no, to all or to some: what was offered and may no longer be recorded stays without an answer. */
  withdraw(workspace: string): void {
    const decidedAt = this.clock.now();
    this.journal.transaction(() => {
      for (const turn of this.journal.turnsOf({ workspace, open: true })) {
        if (this.admission.allows(workspace, classOfTurn(turn))) continue;
        const { id } = turn;
        this.journal.closeTurn({ turn: id, outcome: 'abandoned', acceptedChars: 0, developerText: null, survival: [], decidedAt });
      }
    });
    this.#live.clear();
    if (!this.admission.allows(workspace, 'suggestions')) this.#watches.withdraw(workspace);
    if (!this.admission.allows(workspace)) this.#ownWork.withdraw(workspace);
  }

  #endSession(session: string): void {
    this.#commit(session, (tracker) => {
      const lastAt = this.journal.lastHeard(session);
      this.journal.endSession(session, lastAt);
      return tracker.end(lastAt);
    }, this.journal.sessionWorkspace(session));
    this.#live.delete(session);
  }

  /** Closes and judges outside any session. */
  #judgeAll(close: () => (NextState | LateEvidence)[], workspace: string | null): void {
    const judged = this.journal.transaction(() => close().flatMap((one) => this.#judge(one) ?? []));
    this.#announce(judged);
    if (workspace !== null) this.#watches.forget(workspace);
  }

  /** The one transaction: capture advances, and what it closed is judged. */
  #commit(session: string, advance: (tracker: CompletionTracker) => (NextState | LateEvidence)[], workspace: string, arrivedAt = this.clock.now()): void {
    const live = this.#live.get(session) ?? { tracker: this.#restore(session), workspace, arrivedAt };
    const judged: Judged[] = [];
    try {
      this.journal.transaction(() => {
        for (const one of advance(live.tracker)) {
          const lesson = this.#judge(one);
          if (lesson !== null) judged.push(lesson);
        }
        this.#watches.begin(live.tracker.accepted(), session, workspace);
        for (const state of live.tracker.changed()) this.journal.saveTracking(state.turn, JSON.stringify(state));
        this.#watches.save(workspace);
      });
    } catch (thrown) {
      // Memory must not run ahead of the disk: the next call reads the state of before this one.
      this.#live.delete(session);
      this.#watches.forget(workspace);
      this.#ownWork.forget(session);
      throw thrown;
    }
    this.#live.set(session, { ...live, workspace, arrivedAt });
    this.#announce(judged);
  }

  #announce(judged: readonly Judged[]): void {
    for (const { turn, next, verdict, hints } of judged) {
      if (verdict !== null || hints.length > 0) this.#lessons.set(turn.workspace, this.lessons(turn.workspace) + 1);
      if (next !== null) this.listeners.onClosed?.(turn, next);
    }
    const drop = judged.findLast((one) => one.alarm !== null);
    if (drop?.alarm) this.listeners.onDrop?.(drop.turn.workspace, drop.alarm);
    for (const workspace of new Set(judged.flatMap((one) => (one.sample === null ? [] : one.turn.workspace)))) this.listeners.onSamples(workspace);
    if (judged.some(({ queued }) => queued)) this.listeners.onQueued?.();
  }

  /** @returns null for a turn that was forgotten, or closed before, and for evidence that changes nothing */
  #judge(one: NextState | LateEvidence): Judged | null {
    const { journal, settings } = this;
    if (!('outcome' in one)) {
      const lesson = recordEvidence(journal, settings, one);
      return lesson && { ...lesson, next: null, queued: false, alarm: null };
    }
    const turn = journal.turn(one.turn);
    if (turn === null || !journal.closeTurn(one)) return null;
    // What was seen in the user's own work while it was open.
    const known = withEvidence(one, journal.evidence(turn.id));
    const verdict = verifiedVerdict(turn, known, settings, journal.actionBefore(turn));
    const lesson = recordLesson(journal, settings, turn, known, verdict, hintsOf(turn, known, one.decidedAt));
    const queued = verdict === null && turn.role === 'main' && textsOf(one).length > 0;
    if (queued) journal.queueJudging(turn.id, turn.workspace, one.decidedAt);
    if (METHODS[settings.method].choice) observeChoice(journal, turn, one);
    return { ...lesson, next: one, queued, alarm: observeOutcome(journal, turn, one) };
  }

  #restore(session: string): CompletionTracker {
    const states = this.journal.openTurns(session).flatMap(({ id, modality }) => {
      if (modality !== 'completion') return [];
      const json = this.journal.tracking(id);
      return json === null ? [] : [JSON.parse(json) as Tracking];
    });
    return new CompletionTracker(states);
  }
}
