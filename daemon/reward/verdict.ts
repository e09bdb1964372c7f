/** From a turn and its next state to a verdict by what can be verified: PRM sources 1 and 2, and the
 *  guards. What needs a model comes after it, and only where this says nothing (prm.ts). */
import type { NextState, Observation, Turn, Verdict } from '../journal/records.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { completionVerdict } from './completion.ts';
import { some } from './finding.ts';
import type { Finding } from './finding.ts';
import { guarded } from './guards.ts';
import { EFFECT_VERIFIERS, observed, VERIFIERS } from './verifiers.ts';

/** Evidence to the contrary leaves so much of the confidence. */
const CONTRADICTED = 0.7;
/** How sure an outcome is of one step of its task. */
const OF_MANY = 0.6;

/** @param before the action before it in the same task; null = none
 *  @param step what a model made of it; it counts where verifiers and buttons say nothing, beside an outcome
 *  @returns null where nothing can be verified: no verdict, never a zero reward */
export function verifiedVerdict(turn: Turn, next: NextState, settings: Pick<LearnSettings, 'completionPrior'>, before: Turn | null = null, step: Verdict | null = null): Verdict | null {
  const at = next.decidedAt;
  const found = turn.modality === 'completion' ? withEffect(completionVerdict(turn, next, settings, at), turn, next) : ofAction(turn, next, step, at);
  return guarded(found, { turn, next, before }, at);
}

function ofAction(turn: Turn, next: NextState, step: Verdict | null, at: number): Verdict | null {
  const own = decided(turn, VERIFIERS.flatMap((verify) => verify(turn, next) ?? []), at);
  const outcome = observed(next, 'outcome').at(-1);
  return outcome === undefined ? own : withOutcome(turn, own ?? step, outcome, at);
}

/** Of a step of a task: R_t = o + mean(step verdicts), cut to a verdict's range. A step of which nothing
 *  else is known has the outcome alone, and less confidence: nobody knows which of them it was. */
function withOutcome(turn: Turn, step: Verdict | null, { score, fixed, broken }: Extract<Observation, { kind: 'outcome' }>, at: number): Verdict {
  const how = score > 0 ? `turned tests green: ${some(fixed)}` : broken.length > 0 ? `left tests red that were green: ${some(broken)}` : 'left the tests as red as they were';
  const evidence = [`The task that it is a step of ${how}.`, ...(step?.evidence ?? [])];
  return {
    turn: turn.id,
    score: Math.max(-1, Math.min(1, score + (step?.score ?? 0))),
    confidence: step === null ? OF_MANY : step.score * score < 0 ? step.confidence * CONTRADICTED : Math.max(step.confidence, OF_MANY),
    source: 'verifier',
    evidence,
    kind: 'provisional',
    at,
  };
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
