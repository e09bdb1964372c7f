/** What a next state says should have been written instead, and which of several hints teaches. */
import type { Hint, NextState, Turn } from '../journal/records.ts';
import { LEAST_HINT_LENGTH } from '../reward/votes.ts';
import { divergence } from './divergence.ts';

const MAX_HINTS = 3;
const PRECEDENCE: readonly Hint['source'][] = ['developer', 'diagnostic', 'correction', 'judge'];
/** A hint that moves the teacher less than this, in mean |D|, teaches nothing. */
const LEAST_MEAN_DELTA = 0.02;

/** What the user said to be wrong with a reply, in the words of their correction. */
function correctionsOf(turn: Turn, next: NextState, at: number): Hint[] {
  const said = (next.observations ?? []).flatMap((one) => (one.kind === 'rating' && one.rating === 'wrong' && one.correction !== null ? [one.correction.trim()] : []));
  return said.filter((text) => text.length >= LEAST_HINT_LENGTH).map((text) => ({ turn: turn.id, source: 'correction', text, at }));
}

/** Hints of a completion: the developer's own text, if it parts from the response (or nothing was
 *  offered there). Agreement needs no hint, and an unknown or blank text is none. Of a reply: the
 *  user's correction. */
export function hintsOf(turn: Turn, next: NextState, at: number): Hint[] {
  if (next.outcome === 'abandoned' || next.outcome === 'superseded') return [];
  if (turn.modality === 'chat') return correctionsOf(turn, next, at);
  const text = next.developerText;
  if (text === null || text.trim() === '' || divergence(turn, text) === null) return [];
  return [{ turn: turn.id, source: 'developer', text, at }];
}

/** How a hint moved the teacher: Σ_t |topK_student ∩ topK_teacher| and mean |D|. */
export interface HintEffect {
  overlap: number;
  meanDelta: number;
}

/**
 * The hint that teaches: the developer's text always wins, then a diagnostic; among corrections and
 * judge hints the largest overlap wins, if it moves the teacher at all (an empty hint overlaps
 * perfectly and teaches nothing). @param effects by hint; one without a measured effect is left out
 */
export function chooseHint(hints: readonly Hint[], effects: ReadonlyMap<Hint, HintEffect> = new Map()): Hint | null {
  // Of one source the latest: late evidence knows better.
  const candidates = [...hints].sort((a, b) => PRECEDENCE.indexOf(a.source) - PRECEDENCE.indexOf(b.source) || b.at - a.at).slice(0, MAX_HINTS);
  const first = candidates.find((hint) => hint.source === 'developer' || hint.source === 'diagnostic');
  if (first) return first;
  let best: { hint: Hint; overlap: number } | null = null;
  for (const hint of candidates) {
    const effect = effects.get(hint);
    if (effect === undefined || effect.meanDelta < LEAST_MEAN_DELTA) continue;
    if (best === null || effect.overlap > best.overlap) best = { hint, overlap: effect.overlap };
  }
  return best?.hint ?? null;
}
