/**
 * What is normal for a kind of turn, so that an advantage is a surprise. One developer gives one
 * outcome per turn, so a running mean stands where a group of rollouts would (learning.md, "Routing").
 */
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn, Verdict } from '../journal/records.ts';

export interface Baseline {
  /** Exponential moving average of the scores. */
  score: number;
  /** Verdicts seen, and how many of them were of accepted turns. */
  n: number;
  accepts: number;
}

/** By kind of turn. Plain data: the journal keeps it per workspace. */
export type Baselines = Record<string, Baseline>;

const DECAY = 0.95;
const LEAST_PG_WEIGHT = 0.4;
const NEW: Baseline = { score: 0, n: 0, accepts: 0 };

export function baselineOf(baselines: Baselines, kind: string): Baseline {
  return baselines[kind] ?? NEW;
}

/** A = score - baseline, cut at 0 where it would cross the score's sign: a good outcome that was
 *  expected teaches nothing, it is never punished. */
export function advantage(score: number, baseline: Baseline): number {
  const difference = score - baseline.score;
  return score >= 0 ? Math.max(0, difference) : Math.min(0, difference);
}

/** max(0.4, 2·sqrt(p(1-p))), p = (accepts+1)/(n+2): outcomes that are nearly certain say little. */
export function policyGradientWeight(baseline: Baseline): number {
  const p = (baseline.accepts + 1) / (baseline.n + 2);
  return Math.max(LEAST_PG_WEIGHT, 2 * Math.sqrt(p * (1 - p)));
}

/** The baselines after a verdict; call it after `route` saw the ones before. */
export function observe(baselines: Baselines, turn: Turn, verdict: Verdict | null, next: NextState): Baselines {
  if (verdict === null) return baselines;
  const before = baselineOf(baselines, turn.modality);
  const taken = next.outcome === 'accepted' || next.outcome === 'partial' || next.outcome === 'typedThrough';
  // An action is not accepted in one place: it went well, or it did not.
  const accepted = turn.action === undefined ? taken : verdict.score > 0;
  const after = { score: DECAY * before.score + (1 - DECAY) * verdict.score, n: before.n + 1, accepts: before.accepts + (accepted ? 1 : 0) };
  return { ...baselines, [turn.modality]: after };
}

export function readBaselines(journal: Pick<Journal, 'get'>, workspace: string): Baselines {
  return (journal.get(`baselines/${workspace}`) as Baselines | null | undefined) ?? {};
}

export function writeBaselines(journal: Pick<Journal, 'set'>, workspace: string, baselines: Baselines): void {
  journal.set(`baselines/${workspace}`, baselines);
}
