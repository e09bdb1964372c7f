/** Learns from decided offers when to hold a suggestion back, and measures that on groups it has not seen. */
import { auc } from '../../reward/classifier/training/scores.ts';
import { fitLogistic, logOdds } from './filterModel.ts';
import type { Logistic } from './filterModel.ts';

export interface DecidedOffer {
  /** What is held out as one: a person, or a stretch of work. */
  group: string;
  features: number[];
  accepted: boolean;
}

export interface TrainedFilter {
  model: Logistic;
  /** Offers of lower log-odds are held back. */
  threshold: number;
  /** Measured out of group. */
  auc: number;
  /** Share of the accepted that would have been held back, and share of all. */
  dropped: number;
  saved: number;
}

/** At most so many of the accepted may be lost. */
export const MOST_DROPPED = 0.05;
const FOLDS = 10;
/** Of the ridge; 1 to 20 give the same to 0.001 AUC on other people. */
const PENALTY = 10;

/** @returns null where one of the outcomes, or a second group, is absent */
export function fitFilter(offers: readonly DecidedOffer[]): TrainedFilter | null {
  const labels = offers.map(({ accepted }) => accepted);
  if (new Set(labels).size < 2 || new Set(offers.map(({ group }) => group)).size < 2) return null;
  const scores = heldOutScores(offers);
  const threshold = chooseThreshold(scores, labels);
  return { model: fit(offers), threshold, auc: auc(scores, labels), ...heldBack(scores, labels, threshold) };
}

function fit(offers: readonly DecidedOffer[]): Logistic {
  return fitLogistic(offers.map(({ features }) => features), offers.map(({ accepted }) => accepted), PENALTY);
}

/** Log-odds of each offer by a model that never saw its group. */
export function heldOutScores(offers: readonly DecidedOffer[]): number[] {
  const groups = [...new Set(offers.map(({ group }) => group))].sort();
  const foldOf = new Map(groups.map((group, i) => [group, i % FOLDS]));
  const scores = new Array<number>(offers.length).fill(0);
  for (let fold = 0; fold < Math.min(FOLDS, groups.length); fold++) {
    const model = fit(offers.filter(({ group }) => foldOf.get(group) !== fold));
    offers.forEach(({ group, features }, i) => {
      if (foldOf.get(group) === fold) scores[i] = logOdds(model, features);
    });
  }
  return scores;
}

/** The highest threshold under which at most MOST_DROPPED of the accepted lie. */
function chooseThreshold(scores: readonly number[], labels: readonly boolean[]): number {
  const accepted = scores.filter((_, i) => labels[i]).sort((a, b) => a - b);
  return accepted[Math.floor(MOST_DROPPED * accepted.length)] ?? -Infinity;
}

export function heldBack(scores: readonly number[], labels: readonly boolean[], threshold: number): { dropped: number; saved: number } {
  const held = labels.filter((_, i) => (scores[i] ?? 0) < threshold);
  return { dropped: held.filter(Boolean).length / Math.max(1, labels.filter(Boolean).length), saved: held.length / Math.max(1, labels.length) };
}
