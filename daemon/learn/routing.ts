/** Which term a turn trains, if any: the routing table of learning.md, one pure function. */
import type { Hint, NextState, Route, Turn, Verdict } from '../journal/records.ts';
import { advantage, baselineOf, policyGradientWeight } from './baseline.ts';
import type { Baselines } from './baseline.ts';
import type { Method } from './settings.ts';

/** Scores nearer to 0 are neutral. */
const NEUTRAL = 0.05;

export interface Routed {
  route: Route;
  /** A of the policy-gradient term; null where there is none. A distillation with an advantage is a
   *  partial acceptance: its accepted tokens are rewarded and the next one is taught. */
  advantage: number | null;
  /** Multiplies the policy-gradient term. */
  weight: number;
}

/**
 * | score   | hint | trains |
 * |---------|------|--------|
 * | good    | no   | policy gradient on the kept tokens |
 * | good    | yes  | the same, and distillation at the divergence (partial acceptance) |
 * | bad     | yes  | distillation, and splice where the developer wrote the text |
 * | bad     | no   | policy gradient at the divergence |
 * | neutral | yes  | distillation |
 * | neutral | no   | nothing |
 * What the method lacks falls to the next thing it has; side and held-out turns never train.
 * With `tokenAdvantages` the verdict goes along with the hint, whatever its sign, without baseline and weight.
 */
export function route(verdict: Verdict | null, hints: readonly Hint[], turn: Turn, next: NextState, method: Method, baselines: Baselines): Routed | null {
  if (turn.role !== 'main' || turn.split !== 'train' || turn.responseIds.length === 0) return null;
  const hinted = hints.length > 0;
  if (method.supervised) return trainsText(verdict, hinted, next) ? { route: 'sft', advantage: null, weight: 1 } : null;
  const distil = method.distillation && hinted;
  const score = verdict?.score ?? 0;
  if (method.tokenAdvantages) return plainly(Math.abs(score) > NEUTRAL ? score : null, distil);
  const surprise = method.policyGradient && Math.abs(score) > NEUTRAL ? advantage(score, baselineOf(baselines, turn.modality)) : 0;
  const weight = policyGradientWeight(baselineOf(baselines, turn.modality));
  if (distil) return { route: 'distillation', advantage: surprise > 0 ? surprise : null, weight: surprise > 0 ? weight : 1 };
  return surprise === 0 ? null : { route: 'policyGradient', advantage: surprise, weight };
}

function plainly(advantage: number | null, distil: boolean): Routed | null {
  if (distil) return { route: 'distillation', advantage, weight: 1 };
  return advantage === null ? null : { route: 'policyGradient', advantage, weight: 1 };
}

/** The supervised method sees the same turns as the others: those with a verdict or a hint. */
function trainsText(verdict: Verdict | null, hinted: boolean, next: NextState): boolean {
  const good = verdict !== null && verdict.score > NEUTRAL;
  return hinted || (good && (next.developerText ?? '').trim() !== '');
}
