/**
 * PRM source 3: the next-state classifier on what a next state says in words. It speaks only where
 * verifiers and explicit feedback said nothing. Its card (docs/classifier.md) says that words rank
 * real outcomes near chance, so it speaks only where it is nearly certain, and its word counts little.
 */
import type { NextState, Turn, Verdict } from '../journal/records.ts';
import { classifierVerdict } from './classifier/polarity.ts';
import type { PolarityClassifier } from './classifier/polarity.ts';
import type { NextStateText } from './classifier/features.ts';
import { guarded } from './guards.ts';
import { observed, unreported } from './verifiers.ts';

/** A reading under this is no verdict. */
export const LEAST_CERTAINTY = 0.85;
/** Neither score nor confidence goes beyond it. */
export const MOST_WEIGHT = 0.5;

/** What a next state says in words, the user's first: they know more than an output. */
export function textsOf(next: NextState): NextStateText[] {
  const messages = observed(next, 'message').map(({ text }): NextStateText => ({ kind: 'message', text }));
  const outputs = unreported(next)
    .filter(({ ended, output }) => ended === 'itself' && output.trim() !== '')
    .map(({ command, exitCode, output }): NextStateText => ({ kind: 'terminal', text: output, command, ...(exitCode !== null && { exitCode }) }));
  return [...messages, ...outputs.reverse()];
}

/** @returns null where nothing is said clearly
 *  @throws modelMissing, modelCorrupt */
export async function readVerdict(turn: Turn, next: NextState, classifier: Pick<PolarityClassifier, 'read'>, before: Turn | null = null): Promise<Verdict | null> {
  for (const text of textsOf(next)) {
    const reading = await classifier.read(text);
    if (reading.confidence < LEAST_CERTAINTY) continue;
    const verdict = classifierVerdict(turn.id, reading, text, next.decidedAt);
    if (verdict === null) continue;
    const capped = { ...verdict, score: MOST_WEIGHT * verdict.score, confidence: Math.min(MOST_WEIGHT, verdict.confidence) };
    return guarded(capped, { turn, next, before }, next.decidedAt);
  }
  return null;
}
