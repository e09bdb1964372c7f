/** What a next state says should have been written instead, and which of several hints teaches. */
import type { Hint, NextState, Observation, Turn } from '../journal/records.ts';
import { observed } from '../reward/verifiers.ts';
import { hasMarkers, usableHint } from '../reward/votes.ts';
import { correctedBy, correctionIn, plainCorrection } from './corrections.ts';
import { divergence } from './divergence.ts';

const MAX_HINTS = 3;
const PRECEDENCE: readonly Hint['source'][] = ['developer', 'diagnostic', 'correction', 'judge', 'reflection'];
/** A hint that moves the teacher less than this, in mean |D|, teaches nothing. */
const LEAST_MEAN_DELTA = 0.02;
/** Of what a checker, a test or a rewritten hunk says. */
const MOST_CHARACTERS = 2000;
const MOST_PROBLEMS = 3;

/**
 * Of a completion: the developer's own text, if it parts from the response (or nothing was offered
 * there). Agreement needs no hint, and an unknown or blank text is none. A completion has no message to
 * put words into, so a checker's words are none, either.
 * Of an action of the agent: what the user made of its hunks, the problems and failing tests that its
 * edit left, and what the user said against it.
 */
export function hintsOf(turn: Turn, next: NextState, at: number): Hint[] {
  if (next.outcome === 'abandoned' || next.outcome === 'superseded') return [];
  if (turn.action !== undefined) return hintsOfAction(turn, next, at);
  const text = next.developerText;
  if (text === null || text.trim() === '' || divergence(turn, text) === null) return [];
  return [{ turn: turn.id, source: 'developer', text, at }];
}

function hintsOfAction(turn: Turn, next: NextState, at: number): Hint[] {
  const of = (source: Hint['source'], texts: readonly string[]): Hint[] => [...new Set(texts)].filter((text) => text.trim() !== '' && !hasMarkers(text)).map((text) => ({ turn: turn.id, source, text, at }));
  const said = of('correction', saidAgainst(turn, next));
  return turn.modality === 'edit' ? [...of('developer', [rewrittenIn(observed(next, 'hunk'))]), ...of('diagnostic', [problemsLeft(next)]), ...said] : said;
}

/** What the user made of the hunks that they neither kept nor reverted. */
function rewrittenIn(hunks: readonly Extract<Observation, { kind: 'hunk' }>[]): string {
  const texts = hunks.flatMap(({ state, now }) => (state === 'changed' ? [now] : []));
  return texts.join('\n').slice(0, MOST_CHARACTERS);
}

/** What checkers say of the lines that it wrote and did not say before, or went on saying of them; and
 *  what the tests say that fail since. */
function problemsLeft(next: NextState): string {
  const looks = observed(next, 'diagnostics');
  const open = new Set<string>();
  for (const { added, resolved } of looks) {
    for (const problem of added) open.add(problem);
    for (const problem of resolved) open.delete(problem);
  }
  const remaining = looks.findLast((look) => look.remaining !== undefined)?.remaining ?? [];
  const broken = observed(next, 'tests').filter((run) => run.broken.length > 0).flatMap((run) => run.failures ?? []);
  const ended = observed(next, 'outcome').filter(({ score }) => score < 0).flatMap(({ failures }) => failures);
  return [...new Set([...remaining, ...open, ...broken, ...ended])].slice(0, MOST_PROBLEMS).join('\n').slice(0, MOST_CHARACTERS);
}

/** In the words of a rating's correction, or of the message that followed. */
function saidAgainst(turn: Turn, next: NextState): string[] {
  const action = correctedBy(turn);
  return (next.observations ?? []).flatMap((one) => {
    if (one.kind === 'rating') return one.rating === 'wrong' ? (usableHint(one.correction) ?? []) : [];
    return one.kind === 'message' ? (plainCorrection(action, one.text) ?? []) : [];
  });
}

/** Of an action that a model found bad: what the user said after it, in words that were not plain before. */
export function messageAgainst(turn: Turn, next: NextState, hints: readonly Hint[]): Hint[] {
  if (hints.some(({ source }) => source === 'correction')) return [];
  const text = correctionIn(correctedBy(turn), observed(next, 'message').map(({ text: message }) => ({ message, kept: null })));
  return text === null ? [] : [{ turn: turn.id, source: 'correction', text, at: next.decidedAt }];
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

/** The texts that a teacher is asked about: in mode `longest` (OpenClaw-RL's first generation) only that one; of equals the first. */
export function askedHints(texts: readonly string[], mode: 'overlap' | 'longest'): readonly string[] {
  if (mode === 'overlap' || texts.length < 2) return texts;
  return [texts.reduce((longest, text) => (text.length > longest.length ? text : longest))];
}
