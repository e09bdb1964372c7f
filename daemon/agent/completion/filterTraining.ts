/** Learns from decided offers when to hold a suggestion back, and measures that on groups it has not seen. */
import { auc } from '../../reward/classifier/training/scores.ts';
import { fitBoosted, fitLogistic, logOdds, type FilterModel } from './filterModel.ts';

export interface DecidedOffer {
  /** What is held out as one: a person, or a day. */
  group: string;
  features: number[];
  accepted: boolean;
}

export interface TrainedFilter {
  model: FilterModel;
  /** Offers of lower log-odds are held back. */
  threshold: number;
  /** Measured out of group. */
  auc: number;
  /** Share of the accepted that would have been held back, and share of all. */
  dropped: number;
  saved: number;
}

/** At most 5 % of the accepted may be lost; the threshold aims below it, for it is set on few. */
const AIM_DROPPED = 0.05;
const FOLDS = 10;

/** One candidate: how a model is fitted. The best on held-out groups is taken. */
type Fit = (rows: readonly (readonly number[])[], labels: readonly boolean[]) => FilterModel;
const boosts = [{ depth: 1, rounds: 200 }, { depth: 2, rounds: 120 }, { depth: 3, rounds: 120 }].map((size) => ({ ...size, rate: 0.1, leaf: 8, penalty: 3 }));
const CANDIDATES: readonly Fit[] = [
  (rows, labels) => fitLogistic(rows, labels, 10),
  (rows, labels) => ({ kind: 'average', members: [fitLogistic(rows, labels, 10), ...boosts.map((boost) => fitBoosted(rows, labels, boost))] }),
];

/** @returns null where one of the outcomes, or a second group, is absent */
export function fitFilter(offers: readonly DecidedOffer[]): TrainedFilter | null {
  const labels = offers.map(({ accepted }) => accepted);
  if (new Set(labels).size < 2 || new Set(offers.map(({ group }) => group)).size < 2) return null;
  let best: { fit: Fit; scores: number[]; auc: number } | null = null;
  for (const fit of CANDIDATES) {
    const scores = heldOutScores(offers, fit);
    const area = auc(scores, labels);
    if (best === null || area > best.auc) best = { fit, scores, auc: area };
  }
  if (best === null) return null;
  const threshold = chooseThreshold(best.scores, labels);
  return { model: best.fit(offers.map(({ features }) => features), labels), threshold, auc: best.auc, ...heldBack(best.scores, labels, threshold) };
}

/** Log-odds of each offer by a model that never saw its group. */
export function heldOutScores(offers: readonly DecidedOffer[], fit: Fit): number[] {
  const groups = [...new Set(offers.map(({ group }) => group))].sort();
  const foldOf = new Map(groups.map((group, i) => [group, i % FOLDS]));
  const scores = new Array<number>(offers.length).fill(0);
  for (let fold = 0; fold < Math.min(FOLDS, groups.length); fold++) {
    const inside = offers.filter(({ group }) => foldOf.get(group) !== fold);
    const model = fit(inside.map(({ features }) => features), inside.map(({ accepted }) => accepted));
    offers.forEach(({ group, features }, i) => {
      if (foldOf.get(group) === fold) scores[i] = logOdds(model, features);
    });
  }
  return scores;
}

/** The highest threshold under which at most AIM_DROPPED of the accepted lie. */
function chooseThreshold(scores: readonly number[], labels: readonly boolean[]): number {
  const accepted = scores.filter((_, i) => labels[i]).sort((a, b) => a - b);
  return accepted[Math.floor(AIM_DROPPED * accepted.length)] ?? -Infinity;
}

export function heldBack(scores: readonly number[], labels: readonly boolean[], threshold: number): { dropped: number; saved: number } {
  const held = labels.filter((_, i) => (scores[i] ?? 0) < threshold);
  return { dropped: held.filter(Boolean).length / Math.max(1, labels.filter(Boolean).length), saved: held.length / Math.max(1, labels.length) };
}
