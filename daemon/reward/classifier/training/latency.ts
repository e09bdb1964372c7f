/** How long one reading takes, features included, on one thread. */
import type { CorpusRecord } from '../corpus/record.ts';
import { PolarityClassifier } from '../polarity.ts';
import { inputOf } from './examples.ts';

export interface Latency {
  loadMs: number;
  p50Ms: number;
  p95Ms: number;
  texts: number;
}

/** The longest texts of the corpus are read as often as the shortest: every `stride`-th by length. */
export async function measureLatency(model: string, records: readonly CorpusRecord[], texts = 400): Promise<Latency> {
  const classifier = new PolarityClassifier(model);
  const sorted = [...records].sort((a, b) => a.text.length - b.text.length);
  const chosen = Array.from({ length: texts }, (_, i) => sorted[Math.floor((i * sorted.length) / texts)]).filter((record) => record !== undefined);
  const started = performance.now();
  await classifier.read({ kind: 'message', text: 'ok' });
  const loadMs = performance.now() - started;
  const times: number[] = [];
  for (const record of chosen) {
    const before = performance.now();
    await classifier.read(inputOf(record, 'whole'));
    times.push(performance.now() - before);
  }
  await classifier.close();
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? NaN;
  return { loadMs, p50Ms: at(0.5), p95Ms: at(0.95), texts: times.length };
}
