/** From a completion's next state to its verdict, by what happened to the text alone: no model. */
import type { NextState, Turn, Verdict } from '../journal/records.ts';
import type { LearnSettings } from '../learn/settings.ts';

/** Below this age a survival mark says little: an accepted text is often edited within seconds. */
const PROVISIONAL_SECONDS = 30;

/**
 * Score of a completion: r = (1-p)·s - p·(1-s) = s - p, so that an offer nobody keeps costs p and
 * the model also learns when not to speak (learning.md, "PRM"; the edit-survival rewards of industry).
 * - accepted: s = latest known survival; no known mark is no verdict, never s = 0.
 * - partial: only the accepted share is rewarded, s is multiplied by it. An offer of which little
 *   was taken is thus bad as an offer, though its accepted tokens are never punished (divergence.ts).
 * - typed through: the developer wrote the suggested text by hand. What is judged is the text, not
 *   the key that was pressed, so s = 1 (or its survival); confidence is lower because it may have
 *   gone unseen.
 * - diverged: -p. Abandoned, superseded or never shown: nothing is known, no verdict.
 * @returns null where the next state says nothing; score in [-p, 1-p]
 */
export function completionVerdict(turn: Turn, next: NextState, settings: Pick<LearnSettings, 'completionPrior'>, at: number): Verdict | null {
  if (turn.shownText === '') return null;
  const judged = survivalOf(turn, next);
  if (judged === null) return null;
  const p = settings.completionPrior;
  const score = (1 - p) * judged.survival - p * (1 - judged.survival);
  return { turn: turn.id, score, confidence: judged.confidence, source: 'verifier', evidence: judged.evidence, kind: 'provisional', at };
}

interface Judged {
  survival: number;
  confidence: number;
  evidence: string[];
}

function survivalOf(turn: Turn, next: NextState): Judged | null {
  const mark = latestMark(next.survival);
  const age = mark === null ? 'no survival mark' : `${percent(mark.similarity)} of it is still there after ${mark.seconds} s`;
  const confidence = mark !== null && mark.seconds >= PROVISIONAL_SECONDS ? 1 : 0.7;
  switch (next.outcome) {
    case 'accepted':
      return mark && { survival: mark.similarity, confidence, evidence: [`Accepted; ${age}.`] };
    case 'partial': {
      const share = Math.min(1, next.acceptedChars / turn.shownText.length);
      return mark && { survival: mark.similarity * share, confidence, evidence: [`${percent(share)} of it accepted; ${age}.`] };
    }
    case 'typedThrough':
      return { survival: mark?.similarity ?? 1, confidence: 0.7, evidence: ['The developer typed the same text by hand.'] };
    case 'diverged':
      return { survival: 0, confidence: 0.9, evidence: ['The developer wrote something else in its place.'] };
    default:
      // Superseded or abandoned: nothing is known. An agent's action is not judged here.
      return null;
  }
}

function latestMark(survival: NextState['survival']): { seconds: number; similarity: number } | null {
  let latest: { seconds: number; similarity: number } | null = null;
  for (const [seconds, similarity] of survival) {
    if (similarity !== null && (latest === null || seconds > latest.seconds)) latest = { seconds, similarity };
  }
  return latest;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
