/** Cross-validation by family: every text is judged by a model that never saw its tool or phrasing. */
import { POLARITIES, type CorpusRecord, type Kind } from '../corpus/record.ts';
import { Random } from '../corpus/random.ts';
import { examplesOf, FeatureCache, type View } from './examples.ts';
import { logitsOf, softmax, train, type TrainingSettings } from './regression.ts';
import { auc, calibrationError } from './scores.ts';

/** Few enough that each leaves out several families of every class. */
export const FOLDS = 5;

export interface Judged {
  record: CorpusRecord;
  view: View;
  fold: number;
  logits: number[];
}

/** @returns one entry per record and view, all from models trained without the record's family */
export function crossValidate(records: readonly CorpusRecord[], settings: TrainingSettings, folds: number): Judged[] {
  const cache = new FeatureCache();
  const foldOf = assignFolds(records, folds);
  const out: Judged[] = [];
  for (let fold = 0; fold < folds; fold++) {
    const inside = examplesOf(records.filter((record) => foldOf.get(key(record)) !== fold), cache);
    const model = train(inside, settings);
    for (const record of records.filter((each) => foldOf.get(key(each)) === fold)) {
      for (const view of record.kind === 'terminal' ? (['whole', 'output'] as const) : (['whole'] as const)) {
        out.push({ record, view, fold, logits: logitsOf(model, cache.get(record, view)) });
      }
    }
  }
  return out;
}

const key = (record: CorpusRecord): string => `${record.kind} ${record.family}`;

/** Families go round the folds, of each kind and main label in turn, so that every fold has all classes. */
export function assignFolds(records: readonly CorpusRecord[], folds: number): Map<string, number> {
  const families = new Map<string, Map<string, number>>();
  for (const record of records) {
    const counts = families.get(key(record)) ?? new Map<string, number>();
    counts.set(record.label, (counts.get(record.label) ?? 0) + 1);
    families.set(key(record), counts);
  }
  const sizes = [...families].map(([name, counts]) => ({ name, group: `${name.split(' ')[0] ?? ''} ${[...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? ''}` }));
  const out = new Map<string, number>();
  const next = new Map<string, number>();
  for (const { name, group } of new Random(folds).shuffle(sizes)) {
    const at = next.get(group) ?? 0;
    out.set(name, at % folds);
    next.set(group, at + 1);
  }
  return out;
}

/** The temperature at which the log-likelihood of the labels is highest (Guo et al. 2017), by golden section. */
export function fitTemperature(judged: readonly Judged[]): number {
  const loss = (temperature: number): number => judged.reduce((sum, { record, logits }) => sum - Math.log(Math.max(1e-9, softmax(logits, temperature)[POLARITIES.indexOf(record.label)] ?? 0)), 0);
  let [low, high] = [0.2, 8];
  const ratio = (Math.sqrt(5) - 1) / 2;
  for (let i = 0; i < 40; i++) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (loss(a) < loss(b)) high = b;
    else low = a;
  }
  return (low + high) / 2;
}

export interface Summary {
  count: number;
  accuracy: number;
  auc: Record<string, number>;
  /** After a temperature fitted on the other folds. */
  ece: number;
  temperature: number;
}

export function summarize(judged: readonly Judged[]): Summary {
  const probabilities = judged.map((each) => softmax(each.logits, temperatureWithout(judged, each.fold)));
  const best = probabilities.map((p) => Math.max(...p));
  const correct = probabilities.map((p, i) => POLARITIES[p.indexOf(best[i] ?? 1)] === judged[i]?.record.label);
  return {
    count: judged.length,
    accuracy: correct.filter(Boolean).length / judged.length,
    auc: Object.fromEntries(POLARITIES.map((label, k) => [label, auc(probabilities.map((p) => p[k] ?? 0), judged.map(({ record }) => record.label === label))])),
    ece: calibrationError(best, correct),
    temperature: fitTemperature(judged),
  };
}

const temperatures = new WeakMap<readonly Judged[], Map<number, number>>();

function temperatureWithout(judged: readonly Judged[], fold: number): number {
  const known = temperatures.get(judged) ?? new Map<number, number>();
  temperatures.set(judged, known);
  const found = known.get(fold) ?? fitTemperature(judged.filter((each) => each.fold !== fold));
  known.set(fold, found);
  return found;
}

export const ofKind = (judged: readonly Judged[], kind: Kind, view: View): Judged[] => judged.filter((each) => each.record.kind === kind && each.view === view);
