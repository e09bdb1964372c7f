/** From the runs of a replay to the one JSON object it answers with; everything in the report comes from it. */
import type { AdapterSummary } from '../../protocol/editor.ts';
import type { LearnSettings, MethodName } from '../learn/settings.ts';
import { comparedCommits, interval, METRIC_NAMES, metricsOf, pairedDelta, perCommit, addTally, NO_TALLY } from './statistics.ts';
import type { Interval, MetricName, Metrics, Tally } from './statistics.ts';

/** A measured line: where it stood, and how likely it was at its first request. */
export interface LineRecord {
  path: string;
  text: string;
  /** What was suggested there; null where nothing was. */
  suggestion: string | null;
  nats: number;
  bytes: number;
}

export interface CommitRecord {
  commit: string;
  tally: Tally;
  lines: LineRecord[];
  /** What learning did at the commit's end. */
  steps: number;
  promoted: number;
  /** Version that serves from then on; null = the base model alone. */
  serving: number | null;
}

/** A line that was learned from, and how likely it was to the version that served then, and is to the last one. */
export interface LessonRecord {
  commit: string;
  path: string;
  /** The lines above it. */
  context: string;
  suggestion: string;
  written: string;
  bytes: number;
  natsBefore: number;
  natsAfter: number;
}

/** One method replayed once. */
export interface RunRecord {
  method: MethodName;
  seed: number;
  commits: CommitRecord[];
  /** Loss on unrelated texts under the last adapter against the base, %. Positive = forgot. */
  forgettingPct: number;
  /** Versions that were promoted. */
  adapterVersions: number;
  /** Every candidate with its verdict, and the commit after which it was made. */
  decisions: (Pick<AdapterSummary, 'version' | 'state' | 'samples' | 'reason'> & { after: number })[];
  lessons: LessonRecord[];
}

export interface MethodResult extends Metrics {
  forgettingPct: number;
  adapterVersions: number;
  delta: Partial<Record<MetricName, { versus: 'frozen' } & Interval>>;
  interval: Record<MetricName, Interval>;
}

/** A point of the learning curve: commits up to and with this one, over a trailing window. */
export interface CurvePoint extends Interval {
  commit: number;
  charsSavedPct: number;
}

export interface ReplayResult {
  stream: string;
  model: string;
  seeds: number;
  commits: number;
  /** Number of commits, from the end, that the figures of `methods` are of. */
  compared: number;
  lines: number;
  methods: Partial<Record<MethodName, MethodResult>>;
  /** Seconds from a completion's verdict to the first completion by an adapter trained on it; null = not measured. */
  secondsOutcomeToServed: number | null;
  /** Commit of Hindsight that was measured; null outside of a repository. */
  commit: string | null;
  origin: string;
  settings: LearnSettings & { maxLines: number; seeds: number };
  machine: Record<string, string | number>;
  /** `nextEditLogLikPerByte` against frozen (mean, lo, hi) over a trailing window of commits. */
  curve: Partial<Record<MethodName, CurvePoint[]>>;
  runs: Pick<RunRecord, 'method' | 'seed' | 'forgettingPct' | 'adapterVersions' | 'decisions'>[];
  lessons: LessonRecord[];
  /** Compared lines that the learned method found less likely than the frozen one, the worst first. */
  worse: { method: MethodName; path: string; text: string; natsFrozen: number; natsLearned: number; bytes: number }[];
}

export interface ResultContext {
  stream: string;
  origin: string;
  model: string;
  commit: string | null;
  settings: LearnSettings;
  maxLines: number;
  machine: Record<string, string | number>;
  secondsOutcomeToServed: number | null;
}

/** @param runs  of every method, `frozen` among them, all seeds over the same commits */
export function resultOf(runs: readonly RunRecord[], context: ResultContext): ReplayResult {
  const methods = [...new Set(runs.map((run) => run.method))];
  const of = (method: MethodName): RunRecord[] => runs.filter((run) => run.method === method);
  const frozen = of('frozen');
  const commits = frozen[0]?.commits.length ?? 0;
  const compared = comparedCommits(commits);
  const learned = methods.find((method) => method === context.settings.method) ?? methods.find((method) => method !== 'frozen');
  return {
    stream: context.stream,
    model: context.model,
    seeds: Math.max(...methods.map((method) => of(method).length)),
    commits,
    compared,
    lines: sumOf(frozen.slice(0, 1).flatMap((run) => run.commits.slice(-compared))).lines,
    methods: Object.fromEntries(methods.map((method) => [method, methodResult(of(method), frozen, compared)])),
    secondsOutcomeToServed: context.secondsOutcomeToServed,
    commit: context.commit,
    origin: context.origin,
    settings: { ...context.settings, maxLines: context.maxLines, seeds: Math.max(...methods.map((method) => of(method).length)) },
    machine: context.machine,
    curve: Object.fromEntries(methods.map((method) => [method, curveOf(of(method), frozen)])),
    runs: runs.map(({ method, seed, forgettingPct, adapterVersions, decisions }) => ({ method, seed, forgettingPct, adapterVersions, decisions })),
    lessons: learned ? (of(learned)[0]?.lessons ?? []) : [],
    worse: learned ? worseLines(of(learned)[0], frozen[0], compared) : [],
  };
}

function methodResult(runs: readonly RunRecord[], frozen: readonly RunRecord[], compared: number): MethodResult {
  const last = (of: readonly RunRecord[]): Tally[] => perCommit(of.map((run) => run.commits.slice(-compared).map((commit) => commit.tally)));
  const own = last(runs);
  const isFrozen = runs[0]?.method === 'frozen';
  const against = pairedDelta(own, last(frozen), { method: runs.length, baseline: frozen.length });
  return {
    ...metricsOf(own.reduce(addTally, NO_TALLY), runs.length),
    forgettingPct: average(runs.map((run) => run.forgettingPct)),
    adapterVersions: average(runs.map((run) => run.adapterVersions)),
    delta: isFrozen ? {} : Object.fromEntries(METRIC_NAMES.map((name) => [name, { versus: 'frozen', ...against[name] }])),
    interval: Object.fromEntries(METRIC_NAMES.map((name) => [name, interval(own, runs.length, name)])) as Record<MetricName, Interval>,
  };
}

function curveOf(runs: readonly RunRecord[], frozen: readonly RunRecord[]): CurvePoint[] {
  const tallies = (of: readonly RunRecord[]): Tally[] => perCommit(of.map((run) => run.commits.map((commit) => commit.tally)));
  const [own, base] = [tallies(runs), tallies(frozen)];
  const window = Math.max(3, Math.round(own.length * 0.2));
  return own.slice(window - 1).map((_, start) => {
    const end = start + window;
    const delta = pairedDelta(own.slice(start, end), base.slice(start, end), { method: runs.length, baseline: frozen.length }).nextEditLogLikPerByte;
    return { commit: end, ...delta, charsSavedPct: metricsOf(own.slice(start, end).reduce(addTally, NO_TALLY), runs.length).charsSavedPct };
  });
}

const WORST_LINES = 5;

/** Both runs measured the same lines in the same order. */
function worseLines(learned: RunRecord | undefined, frozen: RunRecord | undefined, compared: number): ReplayResult['worse'] {
  if (!learned || !frozen) return [];
  const lines = (run: RunRecord): LineRecord[] => run.commits.slice(-compared).flatMap((commit) => commit.lines);
  const before = lines(frozen);
  return lines(learned)
    .map((line, index) => ({ method: learned.method, path: line.path, text: line.text, natsFrozen: before[index]?.nats ?? line.nats, natsLearned: line.nats, bytes: line.bytes }))
    .filter((line) => line.natsLearned < line.natsFrozen)
    .sort((a, b) => a.natsLearned - a.natsFrozen - (b.natsLearned - b.natsFrozen))
    .slice(0, WORST_LINES);
}

function sumOf(commits: readonly CommitRecord[]): Tally {
  return commits.map((commit) => commit.tally).reduce(addTally, NO_TALLY);
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
