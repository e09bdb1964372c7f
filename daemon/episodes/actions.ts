/**
 * Turns of the agent (edits, commands, tools, chat) from the action to its next state. A call's result
 * closes its turn at once; an edit waits for its hunks to be reviewed, maybe for days; a reply waits
 * for what the user says next. What has been observed so far is in the journal, so a restart loses
 * nothing. Methods return the turns that they close, and what became known of closed ones; Intake stores and judges those in one transaction.
 */
import type { Signal, SignalOf } from '../../protocol/signals.ts';
import type { Journal } from '../journal/journal.ts';
import type { LateEvidence, NextState, Observation, Outcome, Turn } from '../journal/records.ts';
import { correctedBy, plainCorrection } from '../hindsight/corrections.ts';
import { taskOutcome } from './outcome.ts';
import { SESSION_IDLE_MS } from './turns.ts';

/** Shorter ones are named by chance. */
const LEAST_COMMAND = 4;

interface Waiting {
  for: 'hunks' | 'user';
  since: number;
  observations: Observation[];
}

export class ActionEpisodes {
  constructor(private readonly journal: Journal) {}

  /** An action was taken; it is open from now on. A reply ends its task. */
  began(turn: Turn): LateEvidence[] {
    this.journal.heardFrom(turn.session, turn.workspace, turn.offeredAt);
    this.journal.insertTurn(turn);
    this.#wait(turn.id, { for: turn.modality === 'edit' ? 'hunks' : 'user', since: turn.offeredAt, observations: [] });
    return turn.action?.calls.length === 0 ? this.ended(turn.session, turn.action.task, turn.offeredAt) : [];
  }

  /** A task is over, by a reply or without: how its tests ended is evidence on each step that led there. */
  ended(session: string, task: string, at: number): LateEvidence[] {
    const steps = this.journal.actionsOf(session, task).map((turn) => ({ turn, next: this.journal.nextState(turn.id) }));
    const found = taskOutcome(steps);
    if (found === null) return [];
    const credited = (turn: string): boolean => this.journal.evidence(turn).some((one) => one.kind === 'observed' && one.observation.kind === 'outcome');
    return found.steps.filter(({ turn }) => !credited(turn.id)).map(({ turn }) => ({ kind: 'observed', turn: turn.id, observation: found.outcome, at }));
  }

  /** What the turn's calls gave. @param hunks  an edit was applied and is under review */
  observed(id: string, observations: readonly Observation[], hunks: 'under review' | 'none', at: number): NextState[] {
    const waiting = this.#waiting(id);
    if (waiting === null) return [];
    const all = [...waiting.observations, ...observations];
    if (hunks === 'none') return [nextState(id, 'observed', all, at)];
    this.#wait(id, { ...waiting, for: 'hunks', observations: all });
    return [];
  }

  signal(signal: Signal, session: string): NextState[] {
    if (signal.kind === 'edit.reviewed') return this.#reviewed(signal);
    if (signal.kind === 'terminal.ran') this.#followed(signal, session);
    if (signal.kind === 'chat.rated') this.#note(signal.turn, { kind: 'rating', rating: signal.rating, correction: signal.correction });
    return [];
  }

  /** The user spoke after an action. The same words again are a retry, which is no next state. What
   *  corrects the action is said of the edits of its task as well. */
  said(id: string, text: string, retry: boolean, at: number): (NextState | LateEvidence)[] {
    const turn = this.journal.turn(id);
    const waiting = this.#waiting(id);
    if (turn === null || (waiting === null && retry)) return [];
    if (waiting?.for === 'user' && retry) return [nextState(id, 'superseded', [], at)];
    const message: Observation = { kind: 'message', text };
    const answered = waiting?.for === 'user' ? [nextState(id, 'answered', [...waiting.observations, message], at)] : [];
    return retry ? answered : [...answered, ...this.#corrected(turn, message, at, answered.length > 0)];
  }

  /** @param answered  the turn itself has the message already */
  #corrected(last: Turn, message: Extract<Observation, { kind: 'message' }>, at: number, answered: boolean): LateEvidence[] {
    const task = last.action === undefined ? [] : this.journal.actionsOf(last.session, last.action.task);
    const meant = task.filter((turn) => (turn.id === last.id ? !answered : turn.modality === 'edit') && plainCorrection(correctedBy(turn), message.text) !== null);
    return meant.map(({ id }) => ({ kind: 'observed', turn: id, observation: message, at }));
  }

  /** Replies that nobody came back to: what was said by buttons counts, silence says nothing. */
  quiet(now: number): NextState[] {
    return this.journal.openActions(now - SESSION_IDLE_MS).flatMap((id) => {
      const waiting = this.#waiting(id);
      if (waiting === null || waiting.for !== 'user' || now - waiting.since < SESSION_IDLE_MS) return [];
      return [nextState(id, waiting.observations.length > 0 ? 'answered' : 'abandoned', waiting.observations, now)];
    });
  }

  /** The user ran a command that the last reply had named: what it gave belongs to the reply. */
  #followed({ command, exitCode, output, durationMs, at }: SignalOf<'terminal.ran'>, session: string): void {
    const line = command.trim();
    const [reply] = this.journal.turnsOf({ session, open: true }).filter(({ modality }) => modality === 'chat');
    if (line.length < LEAST_COMMAND || reply === undefined || reply.offeredAt > at - durationMs || !commandsIn(reply.rawText).includes(line)) return;
    this.#note(reply.id, { kind: 'terminal', command: line, exitCode, ended: 'itself', output, durationMs, by: 'user' });
  }

  #reviewed({ turn, uri, before, proposed, now, state, open, at }: SignalOf<'edit.reviewed'>): NextState[] {
    const waiting = this.#note(turn, { kind: 'hunk', uri, before, proposed, now, state });
    if (waiting === null || open > 0) return [];
    const states = waiting.observations.flatMap((one) => (one.kind === 'hunk' ? [one.state] : []));
    const outcome: Outcome = states.every((one) => one === 'kept') ? 'kept' : states.every((one) => one === 'reverted') ? 'reverted' : 'changed';
    return [nextState(turn, outcome, waiting.observations, at)];
  }

  /** @returns null for a turn that is not open: unknown here, forgotten, or closed before */
  #note(id: string, observation: Observation): Waiting | null {
    const waiting = this.#waiting(id);
    if (waiting === null) return null;
    const noted = { ...waiting, observations: [...waiting.observations, observation] };
    this.#wait(id, noted);
    return noted;
  }

  #waiting(id: string): Waiting | null {
    const json = this.journal.tracking(id);
    return json === null ? null : (JSON.parse(json) as Waiting);
  }

  #wait(id: string, waiting: Waiting): void {
    this.journal.saveTracking(id, JSON.stringify(waiting));
  }
}

/** Lines of code in a reply: fenced, or between back ticks. */
function commandsIn(reply: string): string[] {
  const fenced = [...reply.matchAll(/```[^\n]*\n([\s\S]*?)```/g)].flatMap(([, code]) => (code ?? '').split('\n'));
  const inline = [...reply.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code ?? '');
  return [...fenced, ...inline].map((line) => line.trim().replace(/^[$>]\s+/, ''));
}

function nextState(turn: string, outcome: Outcome, observations: Observation[], decidedAt: number): NextState {
  return { turn, outcome, acceptedChars: 0, developerText: null, survival: [], decidedAt, observations };
}
