/** From a turn and its next state to a verdict by what can be verified: PRM sources 1 and 2, and the
 *  guards. What needs a model comes after it, and only where this says nothing (prm.ts). */
import type { NextState, Turn, Verdict } from '../journal/records.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { completionVerdict } from './completion.ts';
import type { Finding } from './finding.ts';
import { guarded } from './guards.ts';
import { EFFECT_VERIFIERS, VERIFIERS } from './verifiers.ts';

/** Evidence to the contrary leaves so much of the confidence. */
const CONTRADICTED = 0.7;

/** @param before the action before it in the same task; null = none
 *  @returns null where nothing can be verified: no verdict, never a zero reward */
export function verifiedVerdict(turn: Turn, next: NextState, settings: Pick<LearnSettings, 'completionPrior'>, before: Turn | null = null): Verdict | null {
  const at = next.decidedAt;
  const found = turn.modality === 'completion' ? withEffect(completionVerdict(turn, next, settings, at), turn, next) : decided(turn, VERIFIERS.flatMap((verify) => verify(turn, next) ?? []), at);
  return guarded(found, { turn, next, before }, at);
}

/** What a completion did is seen in more than its text: one that breaks something is not rewarded for having stayed. */
function withEffect(verdict: Verdict | null, turn: Turn, next: NextState): Verdict | null {
  const [effect] = EFFECT_VERIFIERS.flatMap((verify) => verify(turn, next) ?? []);
  if (verdict === null || effect === undefined || verdict.score <= 0) return verdict;
  const evidence = [effect.evidence, ...verdict.evidence];
  if (effect.score < 0) return { ...verdict, score: 0, confidence: verdict.confidence * CONTRADICTED, evidence };
  return { ...verdict, confidence: Math.max(verdict.confidence, effect.confidence), evidence };
}

/** The strongest source decides, within it the verifier of most authority. */
function decided(turn: Turn, findings: readonly Finding[], at: number): Verdict | null {
  const first = findings.find((one) => one.source === 'verifier') ?? findings[0];
  if (first === undefined) return null;
  const others = findings.filter((one) => one !== first);
  const contradicted = others.some((one) => Math.sign(one.score) === -Math.sign(first.score));
  return {
    turn: turn.id,
    score: first.score,
    confidence: contradicted ? first.confidence * CONTRADICTED : first.confidence,
    source: first.source,
    evidence: [first, ...others].map((one) => one.evidence),
    kind: 'provisional',
    at,
  };
}
