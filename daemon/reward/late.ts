/** Late evidence as corrections: an additional verdict where what became known changes the score, and
 *  history stays as it was written. */
import { withEvidence } from '../journal/evidence.ts';
import type { LateEvidence, NextState, Turn, Verdict } from '../journal/records.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { verifiedVerdict } from './verdict.ts';

/** A smaller change of the score is not worth a correction. */
const LEAST_CHANGE = 0.2;

/** @param evidence all there is, the latest last
 *  @param verdicts of the turn so far, the latest last
 *  @param beforeIt the action before it in the same task: guards look at it whenever they look
 *  @returns null where the score stays */
export function correctionVerdict(turn: Turn, next: NextState, evidence: readonly LateEvidence[], verdicts: readonly Verdict[], settings: Pick<LearnSettings, 'completionPrior'>, beforeIt: Turn | null): Verdict | null {
  const latest = evidence.at(-1);
  if (latest === undefined || (latest.kind === 'survival' && latest.similarity === null)) return null;
  const read = verdicts.findLast(({ source }) => source === 'classifier' || source === 'judge') ?? null;
  const corrected = verifiedVerdict(turn, withEvidence(next, evidence), settings, beforeIt, read);
  const before = verdicts.at(-1);
  if (corrected === null || (before !== undefined && Math.abs(corrected.score - before.score) < LEAST_CHANGE)) return null;
  const why = latest.kind === 'takenBack' ? [`Taken back later: ${latest.how}.`] : [];
  return { ...corrected, kind: 'correction', evidence: [...why, ...corrected.evidence], at: latest.at };
}
