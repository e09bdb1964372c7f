/**
 * Signals and offers come in; next states, verdicts, hints and samples are on disk when a call
 * returns. Each call is ONE journal transaction: after a kill at any moment either all of it
 * happened or none, and the sender, who was not acknowledged, sends again (architecture.md,
 * "Exactly once"). Nothing is stored of a workspace whose owner has not consented.
 */
import { CompletionTracker } from '../capture/completions.ts';
import type { Tracking } from '../capture/tracking.ts';
import type { Clock } from '../clock.ts';
import { hintsOf } from '../hindsight/hints.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { observe, readBaselines, writeBaselines } from '../learn/baseline.ts';
import { route } from '../learn/routing.ts';
import { METHODS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import type { Retraction } from '../privacy/signals.ts';
import { completionVerdict } from '../reward/completion.ts';
import { HindsightError } from '../../protocol/errors.ts';
import type { Signal } from '../../protocol/signals.ts';
import { ActionEpisodes } from './actions.ts';
import { isOffer, roleOf, SESSION_IDLE_MS } from './turns.ts';

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
}

interface Judged {
  turn: Turn;
  next: NextState;
  /** A verdict or a hint came of it. */
  taught: boolean;
  sample: number | null;
}

interface Live {
  tracker: CompletionTracker;
  /** By the daemon's clock. */
  arrivedAt: number;
}

export class Intake {
  /** Sessions whose window is there; the state of the others is in the journal. */
  readonly #live = new Map<string, Live>();
  readonly #lessons = new Map<string, number>();
  readonly #actions: ActionEpisodes;
  #actionsLookedAt = 0;

  constructor(
    private readonly journal: Journal,
    private readonly settings: LearnSettings,
    private readonly clock: Clock,
    private readonly listeners: IntakeListeners,
  ) {
    this.#actions = new ActionEpisodes(journal);
  }

  /** @returns the largest number of the session that is on disk
   *  @throws consentMissing; badRequest on a gap */
  publish({ session, workspace, first, signals }: Batch): number {
    this.#requireConsent(workspace);
    this.#commit(session, (tracker) => {
      const fresh = this.journal.appendSignals(session, first, signals, workspace);
      const closed = fresh.flatMap((signal) => [...tracker.signal(signal), ...this.#actions.signal(signal)]);
      const end = fresh.find((signal) => signal.kind === 'session.ended');
      if (end) this.journal.endSession(session, end.at);
      return closed;
    });
    return this.journal.acknowledged(session);
  }

  /** What was typed turned out to be a secret: it leaves the disk, and capture's memory with it. */
  retract(session: string, retractions: readonly Retraction[]): void {
    for (const retraction of retractions) this.journal.retract({ session, ...retraction });
    if (retractions.length > 0) this.#live.delete(session);
  }

  /** Stores an answer of the agent before the editor gets it.
   *  @returns whether it was stored: without consent it is served, and forgotten */
  offer(answer: Turn): boolean {
    if (this.journal.consent(answer.workspace) !== 'granted') return false;
    const turn = { ...answer, role: roleOf(answer.role) };
    this.#commit(turn.session, (tracker) => {
      this.journal.heardFrom(turn.session, turn.workspace, turn.offeredAt);
      this.journal.insertTurn(turn);
      return isOffer(turn) ? tracker.offer(turn) : [];
    });
    return true;
  }

  /** An action of the agent, or what followed it: stored with all that comes of it. The caller has asked
   *  for consent; `work` returns what it closes. */
  act(session: string, work: (actions: ActionEpisodes) => NextState[]): void {
    this.#commit(session, () => work(this.#actions));
  }

  /** Time passed: closes what closes by time. */
  quiet(): void {
    const now = this.clock.now();
    for (const [session, live] of this.#live) {
      if (live.tracker.open === 0 || now - live.arrivedAt < QUIET_MS) continue;
      this.#commit(session, (tracker) => tracker.quiet(now), live.arrivedAt);
    }
    if (now - this.#actionsLookedAt >= ACTIONS_MS) {
      this.#actionsLookedAt = now;
      this.#judgeAll(() => this.#actions.quiet(now));
    }
    for (const session of this.journal.idleSessions(now - SESSION_IDLE_MS)) this.#endSession(session);
  }

  /** Verdicts and hints of a workspace since this daemon started. */
  lessons(workspace: string): number {
    return this.#lessons.get(workspace) ?? 0;
  }

  /** The window is gone; what it spooled may still come, so time closes nothing of it but idleness. */
  disconnected(session: string): void {
    this.#live.delete(session);
  }

  /** The owner said no: what was offered stays without an answer. */
  withdraw(workspace: string): void {
    const decidedAt = this.clock.now();
    this.journal.transaction(() => {
      for (const { id } of this.journal.turnsOf({ workspace, open: true })) {
        this.journal.closeTurn({ turn: id, outcome: 'abandoned', acceptedChars: 0, developerText: null, survival: [], decidedAt });
      }
    });
    this.#live.clear();
  }

  #endSession(session: string): void {
    this.#commit(session, (tracker) => {
      const lastAt = this.journal.lastHeard(session);
      this.journal.endSession(session, lastAt);
      return tracker.end(lastAt);
    });
    this.#live.delete(session);
  }

  /** The one transaction: capture advances, and what it closed is judged. */
  #judgeAll(close: () => NextState[]): void {
    const judged = this.journal.transaction(() => close().flatMap((next) => this.#judge(next) ?? []));
    this.#announce(judged);
  }

  #commit(session: string, advance: (tracker: CompletionTracker) => NextState[], arrivedAt = this.clock.now()): void {
    const live = this.#live.get(session) ?? { tracker: this.#restore(session), arrivedAt };
    const judged: Judged[] = [];
    try {
      this.journal.transaction(() => {
        for (const next of advance(live.tracker)) {
          const one = this.#judge(next);
          if (one !== null) judged.push(one);
        }
        for (const state of live.tracker.changed()) this.journal.saveTracking(state.turn, JSON.stringify(state));
      });
    } catch (thrown) {
      // Memory must not run ahead of the disk: the next call reads the state of before this one.
      this.#live.delete(session);
      throw thrown;
    }
    this.#live.set(session, { ...live, arrivedAt });
    this.#announce(judged);
  }

  #announce(judged: readonly Judged[]): void {
    for (const { turn, next, taught } of judged) {
      if (taught) this.#lessons.set(turn.workspace, this.lessons(turn.workspace) + 1);
      this.listeners.onClosed?.(turn, next);
    }
    for (const workspace of new Set(judged.flatMap((one) => (one.sample === null ? [] : one.turn.workspace)))) this.listeners.onSamples(workspace);
  }

  /** @returns null for a turn that was forgotten, or closed before */
  #judge(next: NextState): Judged | null {
    const { journal, settings } = this;
    const turn = journal.turn(next.turn);
    if (turn === null || !journal.closeTurn(next)) return null;
    const verdict = completionVerdict(turn, next, settings, next.decidedAt);
    if (verdict !== null) journal.insertVerdict(verdict);
    const hints = hintsOf(turn, next, next.decidedAt);
    for (const hint of hints) journal.insertHint(hint);
    const baselines = readBaselines(journal, turn.workspace);
    const routed = route(verdict, hints, turn, next, METHODS[settings.method], baselines);
    if (verdict !== null) writeBaselines(journal, turn.workspace, observe(baselines, turn, verdict, next));
    const sample = routed && journal.insertSample({ turn: turn.id, workspace: turn.workspace, version: turn.adapter ?? 0, ...routed });
    return { turn, next, taught: verdict !== null || hints.length > 0, sample };
  }

  #restore(session: string): CompletionTracker {
    const states = this.journal.openTurns(session).flatMap(({ id, modality }) => {
      if (modality !== 'completion') return [];
      const json = this.journal.tracking(id);
      return json === null ? [] : [JSON.parse(json) as Tracking];
    });
    return new CompletionTracker(states);
  }

  #requireConsent(workspace: string): void {
    if (this.journal.consent(workspace) !== 'granted') throw new HindsightError('consentMissing', { workspace });
  }
}
