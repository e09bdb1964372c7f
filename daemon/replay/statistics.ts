/**
 * Metrics of a replay and how sure they are. The unit is the commit: lines of one commit are alike,
 * commits much less so. Seeds are averaged within a commit first, then commits are resampled; a
 * difference of two methods is taken within each resample, on the same commits (paired).
 */
import { generator } from '../random.ts';

/** What one run measured on one commit; sums, so that commits can be put together. */
export interface Tally {
  /** Measured lines, and their characters after the indentation. */
  lines: number;
  chars: number;
  /** Requests that showed something; acceptances, whole or partial, and their characters. */
  shown: number;
  accepted: number;
  acceptedChars: number;
  /** Lines that stood complete after one suggestion, their own first one or an earlier line's. */
  exactLines: number;
  /** Log-likelihood of the measured lines at their first request, in nats, and their bytes. */
  nats: number;
  bytes: number;
}

export const NO_TALLY: Tally = { lines: 0, chars: 0, shown: 0, accepted: 0, acceptedChars: 0, exactLines: 0, nats: 0, bytes: 0 };

export function addTally(a: Tally, b: Tally): Tally {
  return {
    lines: a.lines + b.lines,
    chars: a.chars + b.chars,
    shown: a.shown + b.shown,
    accepted: a.accepted + b.accepted,
    acceptedChars: a.acceptedChars + b.acceptedChars,
    exactLines: a.exactLines + b.exactLines,
    nats: a.nats + b.nats,
    bytes: a.bytes + b.bytes,
  };
}

export interface Metrics {
  charsSavedPct: number;
  acceptedPct: number;
  exactLinePct: number;
  /** Nats per byte, negative; larger is better. */
  nextEditLogLikPerByte: number;
  /** Suggestions shown per seed. */
  shown: number;
}
export type MetricName = keyof Metrics;
export const METRIC_NAMES: readonly MetricName[] = ['charsSavedPct', 'acceptedPct', 'exactLinePct', 'nextEditLogLikPerByte', 'shown'];

/** @param seeds  how many runs the tally is the sum of */
export function metricsOf(tally: Tally, seeds: number): Metrics {
  return {
    charsSavedPct: percent(tally.acceptedChars - tally.accepted, tally.chars),
    acceptedPct: percent(tally.accepted, tally.shown),
    exactLinePct: percent(tally.exactLines, tally.lines),
    nextEditLogLikPerByte: tally.bytes === 0 ? 0 : tally.nats / tally.bytes,
    shown: tally.shown / seeds,
  };
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : (100 * part) / whole;
}

/** [seed][commit] */
export type Tallies = readonly (readonly Tally[])[];

/** Per commit, summed over the seeds. */
export function perCommit(tallies: Tallies): Tally[] {
  return (tallies[0] ?? []).map((_, commit) => tallies.reduce((sum, seed) => addTally(sum, seed[commit] ?? NO_TALLY), NO_TALLY));
}

/** Number of commits, from the end, that the report compares: the last 30 %. */
export function comparedCommits(commits: number): number {
  return Math.max(1, Math.round(commits * 0.3));
}

export interface Interval {
  mean: number;
  lo: number;
  hi: number;
}

const RESAMPLES = 2000;

/** Bootstrap over commits: for each metric the difference method - baseline on the commits as they
 *  are, and its 95 % percentile interval. Both hold the same commits, each summed over its own
 *  number of runs. */
export function pairedDelta(method: readonly Tally[], baseline: readonly Tally[], seeds: { method: number; baseline: number }): Record<MetricName, Interval> {
  const [own, other] = [columnsOf(method), columnsOf(baseline)];
  const difference = (pick: Int32Array): Metrics => {
    const [a, b] = [metricsOf(together(own, pick), seeds.method), metricsOf(together(other, pick), seeds.baseline)];
    return eachMetric((name) => a[name] - b[name]);
  };
  const draws = resamples(method.length).map(difference);
  const mean = difference(Int32Array.from(method.keys()));
  return eachMetric((name) => ({ mean: mean[name], ...percentiles(draws.map((draw) => draw[name])) }));
}

/** 95 % bootstrap interval of one method's own metrics. */
export function intervals(tallies: readonly Tally[], seeds: number): Record<MetricName, Interval> {
  const columns = columnsOf(tallies);
  const draws = resamples(tallies.length).map((pick) => metricsOf(together(columns, pick), seeds));
  const mean = metricsOf(together(columns, Int32Array.from(tallies.keys())), seeds);
  return eachMetric((name) => ({ mean: mean[name], ...percentiles(draws.map((draw) => draw[name])) }));
}

const drawn = new Map<number, Int32Array[]>();

/** Drawn with replacement, the same draws for the same number of commits. */
function resamples(commits: number): Int32Array[] {
  const known = drawn.get(commits);
  if (known) return known;
  const random = generator(commits);
  const draws = Array.from({ length: RESAMPLES }, () => Int32Array.from({ length: commits }, () => Math.floor(random() * commits)));
  drawn.set(commits, draws);
  return draws;
}

/** Field by field: thousands of sums are taken over them. */
type Columns = Record<keyof Tally, Float64Array>;

function columnsOf(tallies: readonly Tally[]): Columns {
  const column = (field: keyof Tally): Float64Array => Float64Array.from(tallies, (tally) => tally[field]);
  return {
    lines: column('lines'), chars: column('chars'), shown: column('shown'), accepted: column('accepted'),
    acceptedChars: column('acceptedChars'), exactLines: column('exactLines'), nats: column('nats'), bytes: column('bytes'),
  };
}

function together(columns: Columns, pick: Int32Array): Tally {
  const sum = (column: Float64Array): number => {
    let total = 0;
    for (let at = 0; at < pick.length; at += 1) total += column[pick[at] ?? 0] ?? 0;
    return total;
  };
  return {
    lines: sum(columns.lines), chars: sum(columns.chars), shown: sum(columns.shown), accepted: sum(columns.accepted),
    acceptedChars: sum(columns.acceptedChars), exactLines: sum(columns.exactLines), nats: sum(columns.nats), bytes: sum(columns.bytes),
  };
}

function eachMetric<T>(value: (name: MetricName) => T): Record<MetricName, T> {
  return { charsSavedPct: value('charsSavedPct'), acceptedPct: value('acceptedPct'), exactLinePct: value('exactLinePct'), nextEditLogLikPerByte: value('nextEditLogLikPerByte'), shown: value('shown') };
}

function percentiles(values: number[]): { lo: number; hi: number } {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { lo: at(0.025), hi: at(0.975) };
}
