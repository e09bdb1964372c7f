/** What a next state says should have been written instead, and which of several hints teaches. */
import type { Hint, NextState, Turn } from '../journal/records.ts';
import { LEAST_HINT_LENGTH } from '../reward/votes.ts';
import { divergence } from './divergence.ts';

const MAX_HINTS = 3;
const PRECEDENCE: readonly Hint['source'][] = ['developer', 'diagnostic', 'correction', 'judge', 'reflection'];
/** A hint that moves the teacher less than this, in mean |D|, teaches nothing. */
const LEAST_MEAN_DELTA = 0.02;

/** What the user said to be wrong with an action of the agent, in the words of their correction. */
function correctionsOf(turn: Turn, next: NextState, at: number): Hint[] {
  const said = (next.observations ?? []).flatMap((one) => (one.kind === 'rating' && one.rating === 'wrong' && one.correction !== null ? [one.correction.trim()] : []));
  return said.filter((text) => text.length >= LEAST_HINT_LENGTH).map((text) => ({ turn: turn.id, source: 'correction', text, at }));
}

/** Hints of a completion: the developer's own text, if it parts from the response (or nothing was
 *  offered there). Agreement needs no hint, and an unknown or blank text is none. Of an action of the
 *  agent: the user's correction. */
export function hintsOf(turn: Turn, next: NextState, at: number): Hint[] {
  if (next.outcome === 'abandoned' || next.outcome === 'superseded') return [];
  if (turn.action !== undefined) return correctionsOf(turn, next, at);
  const text = next.developerText;
  if (text === null || text.trim() === '' || divergence(turn, text) === null) return [];
  return [{ turn: turn.id, source: 'developer', text, at }];
}

/**
 * Hints that may teach, in order of precedence; of one source the latest first, for late evidence knows
 * better. The developer's text always wins, then a diagnostic: beside one of them there is no other.
 */
export function hintCandidates(hints: readonly Hint[]): Hint[] {
  const candidates = [...hints].sort((a, b) => PRECEDENCE.indexOf(a.source) - PRECEDENCE.indexOf(b.source) || b.at - a.at).slice(0, MAX_HINTS);
  const [first] = candidates;
  return first?.source === 'developer' || first?.source === 'diagnostic' ? [first] : candidates;
}

/** How a hint moved the teacher. */
export interface HintEffect {
  /** Σ_t |topK_student ∩ topK_teacher| */
  overlap: number;
  /** Mean |D|, nats. */
  meanDelta: number;
}

/**
 * Of several hints the one with the largest overlap teaches: what the student could almost have said.
 * One that moves the teacher by nothing is left out, because an empty hint overlaps perfectly.
 * @returns null where none moves it; of equals the first
 */
export function chooseHint<T extends HintEffect>(candidates: readonly T[]): T | null {
  let best: T | null = null;
  for (const one of candidates) if (one.meanDelta >= LEAST_MEAN_DELTA && (best === null || one.overlap > best.overlap)) best = one;
  return best;
}
