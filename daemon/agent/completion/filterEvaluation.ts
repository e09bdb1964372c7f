/**
 * Measures the filter on a telemetry file of other people (the record of copilot-cups.jsonl.gz):
 *   npx esbuild daemon/agent/completion/filterMeasure.ts --bundle --platform=node --outfile=dist/filter.cjs && node dist/filter.cjs FILE
 * Nested leave-one-person-out: hyperparameters and threshold come from the other people alone. An
 * offer's numbers are read from its `Shown` record. They must not be read from the `Accepted` or
 * `Rejected` record: its compCharLen is measured after the fact and gives the outcome away.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { auc } from '../../reward/classifier/training/scores.ts';
import { filterFeatures, type PastOffer } from './filterFeatures.ts';
import { logOdds } from './filterModel.ts';
import { fitFilter, type DecidedOffer } from './filterTraining.ts';

/** Only what is known at the offer is read; hidden and labelled states and edit distances are not. */
const telemetry = z.object({
  UserId: z.number(),
  seq: z.number(),
  TimeGenerated: z.string(),
  StateName: z.string(),
  CurrentSuggestion: z.string(),
  CurrentPrompt: z.string(),
  Measurements: z.object({ meanLogProb: z.number().optional() }),
});
export type Telemetry = z.infer<typeof telemetry>;

export function readTelemetry(path: string): Telemetry[] {
  return gunzipSync(readFileSync(path)).toString('utf8').split('\n').filter((line) => line !== '').map((line) => telemetry.parse(JSON.parse(line)));
}

/** One offer for each accepted or rejected suggestion, with the numbers it was shown with. */
export function offersOfTelemetry(events: readonly Telemetry[]): DecidedOffer[] {
  const people = new Map<number, Telemetry[]>();
  for (const event of events) people.set(event.UserId, [...(people.get(event.UserId) ?? []), event]);
  return [...people].flatMap(([person, own]) => offersOfPerson(String(person), own.sort((a, b) => a.seq - b.seq)));
}

function offersOfPerson(group: string, events: readonly Telemetry[]): DecidedOffer[] {
  const history: PastOffer[] = [];
  const offers: DecidedOffer[] = [];
  let shown: Telemetry | null = null;
  for (const event of events) {
    if (event.StateName === 'Shown') shown = event;
    if ((event.StateName !== 'Accepted' && event.StateName !== 'Rejected') || shown === null) continue;
    const text = unquote(shown.CurrentSuggestion);
    const accepted = event.StateName === 'Accepted';
    const offer = { meanLogprob: shown.Measurements.meanLogProb ?? null, text, expected: null, prefix: unquote(shown.CurrentPrompt), at: Date.parse(shown.TimeGenerated) };
    offers.push({ group, features: filterFeatures(offer, history), accepted });
    history.push({ text, decidedAt: Date.parse(event.TimeGenerated), accepted });
    shown = null;
  }
  return offers;
}

/** Texts are JSON strings inside the record. */
function unquote(text: string): string {
  return text === '' ? '' : z.string().parse(JSON.parse(text));
}

export interface FilterCard {
  offers: number;
  accepted: number;
  auc: number;
  aucLogprobAlone: number;
  /** auc - aucLogprobAlone: [estimate, 2.5 %, 97.5 %] of a bootstrap over offers within people, and over people. */
  gain: [number, number, number];
  gainOverPeople: [number, number, number];
  dropped: number;
  saved: number;
}

/** Nested leave-one-group-out: everything that is chosen is chosen without the group it is measured on. */
export function evaluateFilter(offers: readonly DecidedOffer[], draws: number): FilterCard {
  const scores = new Array<number>(offers.length).fill(0);
  const held = new Array<boolean>(offers.length).fill(false);
  for (const group of new Set(offers.map((offer) => offer.group))) {
    const filter = fitFilter(offers.filter((offer) => offer.group !== group));
    if (filter === null) continue;
    offers.forEach((offer, i) => {
      if (offer.group !== group) return;
      scores[i] = logOdds(filter.model, offer.features);
      held[i] = (scores[i] ?? 0) < filter.threshold;
    });
  }
  const labels = offers.map(({ accepted }) => accepted);
  const alone = offers.map(({ features }) => -(features[0] ?? 0));
  const gain = auc(scores, labels) - auc(alone, labels);
  const groups = [...new Set(offers.map(({ group }) => group))].map((group) => offers.flatMap((offer, i) => (offer.group === group ? [i] : [])));
  return {
    offers: offers.length,
    accepted: labels.filter(Boolean).length,
    auc: auc(scores, labels),
    aucLogprobAlone: auc(alone, labels),
    gain: [gain, ...interval(draws, (random) => groups.flatMap((own) => own.map(() => random.pick(own))), scores, alone, labels)],
    gainOverPeople: [gain, ...interval(draws, (random) => groups.flatMap(() => random.pick(groups)), scores, alone, labels)],
    dropped: held.filter((isHeld, i) => isHeld && labels[i] === true).length / labels.filter(Boolean).length,
    saved: held.filter(Boolean).length / labels.length,
  };
}

/** Percentile interval of the paired difference of two AUCs. */
function interval(draws: number, sample: (random: Random) => number[], a: readonly number[], b: readonly number[], labels: readonly boolean[]): [number, number] {
  const random = new Random(11);
  const gains = Array.from({ length: draws }, () => {
    const chosen = sample(random);
    const own = chosen.map((i) => labels[i] === true);
    return auc(chosen.map((i) => a[i] ?? 0), own) - auc(chosen.map((i) => b[i] ?? 0), own);
  }).sort((x, y) => x - y);
  return [gains[Math.floor(0.025 * draws)] ?? NaN, gains[Math.floor(0.975 * draws)] ?? NaN];
}
