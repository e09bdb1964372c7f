/** From corpus records to weighted examples. */
import { featuresOf, type Features, type NextStateText } from '../features.ts';
import { POLARITIES, type CorpusRecord, type Kind } from '../corpus/record.ts';
import type { Example } from './regression.ts';

/** With the command line and the exit code, or with the output alone: terminals tell either. */
export type View = 'whole' | 'output';

export function inputOf(record: CorpusRecord, view: View): NextStateText {
  if (record.kind === 'message') return { kind: 'message', text: record.text };
  if (view === 'output') return { kind: 'terminal', text: record.text };
  return { kind: 'terminal', text: record.text, ...(record.command === undefined ? {} : { command: record.command }), ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }) };
}

/** Features are computed once; several trainings share them. */
export class FeatureCache {
  private readonly known = new Map<string, Features>();

  get(record: CorpusRecord, view: View): Features {
    const key = `${record.kind} ${view === 'whole' ? `${record.command ?? ''} ${record.exitCode ?? ''}` : ''}\n${record.text}`;
    const found = this.known.get(key);
    if (found !== undefined) return found;
    const features = featuresOf(inputOf(record, view));
    this.known.set(key, features);
    return features;
  }
}

/** A terminal record is two examples (both views) of half the weight. Within a kind the
 *  classes weigh the same in sum: how often a tool fails is the user's affair, not the corpus's. */
export function examplesOf(records: readonly CorpusRecord[], cache: FeatureCache): Example[] {
  const weights = balance(records);
  return records.flatMap((record, i) => {
    const label = POLARITIES.indexOf(record.label);
    const weight = weights[i] ?? 0;
    if (record.kind === 'message') return [{ features: cache.get(record, 'whole'), label, weight }];
    return (['whole', 'output'] as const).map((view) => ({ features: cache.get(record, view), label, weight: weight / 2 }));
  });
}

function balance(records: readonly CorpusRecord[]): number[] {
  const counts = new Map<string, number>();
  const kinds = new Map<Kind, number>();
  for (const { kind, label } of records) {
    counts.set(`${kind} ${label}`, (counts.get(`${kind} ${label}`) ?? 0) + 1);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return records.map(({ kind, label }) => (kinds.get(kind) ?? 0) / (POLARITIES.length * (counts.get(`${kind} ${label}`) ?? 1)));
}
