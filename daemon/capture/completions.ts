/**
 * From offers and signals to next states: all open completions of one session. It infers, from text
 * changes alone, whether a completion was accepted in full or in part, typed through, contradicted,
 * superseded or abandoned; no editor reports that by stable API. Pure: it reads no clock and stores
 * nothing; `changed` hands out what must be stored to go on after a restart.
 */
import type { NextState, Turn } from '../journal/records.ts';
import type { Signal, SignalOf } from '../../protocol/signals.ts';
import { beginTracking, onAccepted, onBranchSwitched, onChange, onEnd, onLaterOffer, onTime, onVersion } from './tracking.ts';
import type { Step, Tracking } from './tracking.ts';

/** Accepted text of a turn, and where it stands, UTF-16 units. */
export interface TakenHere {
  turn: string;
  uri: string;
  at: number;
  start: number;
  end: number;
}

export class CompletionTracker {
  readonly #open = new Map<string, Tracking>();
  readonly #changed = new Set<string>();
  #accepted: Tracking[] = [];
  /** Document versions that the signals have reached. */
  readonly #versions = new Map<string, number>();

  /** @param states what `changed` handed out for the turns that are still open */
  constructor(states: readonly Tracking[] = []) {
    for (const state of states) {
      this.#open.set(state.turn, state);
      this.#versions.set(state.uri, Math.max(state.version, this.#versions.get(state.uri) ?? 0));
    }
  }

  get open(): number {
    return this.#open.size;
  }

  /** A main turn that offered something. @returns the turns that it closes, itself if it came too late */
  offer(turn: Turn): NextState[] {
    const closed = this.#each((state) => (state.uri === turn.uri ? onLaterOffer(state, turn, turn.offeredAt) : { tracking: state }));
    const tracking = beginTracking(turn);
    if ((this.#versions.get(turn.uri) ?? 0) > turn.version) {
      // The developer typed on before it was there; nobody can have answered it.
      return [...closed, { turn: turn.id, outcome: 'superseded', acceptedChars: 0, developerText: null, survival: [], decidedAt: turn.offeredAt }];
    }
    this.#open.set(turn.id, tracking);
    this.#changed.add(turn.id);
    return closed;
  }

  /** The next signal of the session. @returns the turns that it closes */
  signal(signal: Signal): NextState[] {
    switch (signal.kind) {
      case 'document.changed':
        return this.#change(signal);
      case 'suggestion.accepted':
        return this.#each((state) => (state.turn === signal.turn ? onAccepted(state, signal.at) : { tracking: state }));
      case 'document.closed':
        this.#versions.delete(signal.uri);
        return this.#each((state) => (state.uri === signal.uri ? onEnd(state, signal.at) : { tracking: state }));
      case 'branch.switched':
        return this.#each((state) => onBranchSwitched(state, signal.at));
      case 'session.ended':
        return this.end(signal.at);
      case 'document.opened':
        this.#versions.set(signal.uri, signal.version);
        return this.quiet(signal.at);
      case 'session.started':
      case 'document.saved':
      case 'edit.reviewed':
      case 'nextEdit.answered':
      case 'chat.rated':
      case 'terminal.ran':
      case 'task.ended':
      case 'debug.ended':
      case 'tests.ran':
      case 'diagnostics.settled':
      case 'commit.made':
      case 'cell.ran':
        return this.quiet(signal.at);
    }
  }

  /** Time passed without a signal. */
  quiet(now: number): NextState[] {
    return this.#each((state) => onTime(state, now));
  }

  end(at: number): NextState[] {
    return this.#each((state) => onEnd(state, at));
  }

  /** Open turns whose state is new since the last call. */
  changed(): Tracking[] {
    const states = [...this.#changed].flatMap((turn) => this.#open.get(turn) ?? []);
    this.#changed.clear();
    return states;
  }

  /** Accepted completions that were closed since the last call, as they were before the event that closed
   *  them: what happens to their text from that event on is for watching.ts. */
  accepted(): Tracking[] {
    const accepted = this.#accepted;
    this.#accepted = [];
    return accepted;
  }

  /** Text that was accepted and is followed here. */
  taken(): TakenHere[] {
    return [...this.#open.values()].flatMap(({ turn, uri, start, accepted }) => (accepted === null ? [] : [{ turn, uri, at: accepted.at, start: start + accepted.from, end: start + accepted.to }]));
  }

  #change(signal: SignalOf<'document.changed'>): NextState[] {
    const { uri, version, changes, at, commanded = false } = signal;
    this.#versions.set(uri, version);
    return this.#each((state) => {
      if (state.uri !== uri) return onTime(state, at);
      const steps = [(s: Tracking) => onVersion(s, version - 1, at), (s: Tracking) => onChange(s, changes, version, at, commanded), (s: Tracking) => onVersion(s, version, at)];
      let step: Step = { tracking: state };
      for (const take of steps) if ('tracking' in step) step = take(step.tracking);
      return step;
    });
  }

  #each(take: (state: Tracking) => Step): NextState[] {
    const closed: NextState[] = [];
    for (const state of [...this.#open.values()]) {
      const step = take(state);
      if ('next' in step) {
        this.#open.delete(state.turn);
        this.#changed.delete(state.turn);
        if (state.accepted !== null) this.#accepted.push(state);
        closed.push(step.next);
      } else if (step.tracking !== state) {
        this.#open.set(state.turn, step.tracking);
        this.#changed.add(state.turn);
      }
    }
    return closed;
  }
}
