/** From the runs of a replay to the one JSON object it answers with; everything in the report comes from it. */
import type { AdapterSummary } from '../../protocol/editor.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { comparedCommits, intervals, METRIC_NAMES, metricsOf, pairedDelta, perCommit, addTally, NO_TALLY } from './statistics.ts';
import type { AuditRecord } from './audit.ts';
import type { Poison } from './conduct.ts';
import type { Latency } from './latency.ts';
import type { ProbeRecord } from './probes.ts';
import type { Interval, MetricName, Metrics, Tally } from './statistics.ts';
import { BASELINE, changedSettings } from './variants.ts';
import type { Variant } from './variants.ts';

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
  /** What the hinted teacher read besides: the file's lines with the developer's text in its place. */
  hint: string;
  bytes: number;
  natsBefore: number;
  natsAfter: number;
}

/** One variant replayed once. */
export interface RunRecord {
  /** The variant's label: a method, `default`, or a method with settings of its own. */
  method: string;
  seed: number;
  commits: CommitRecord[];
  /** Loss on unrelated texts under the last adapter against the base, %. Positive = forgot. */
  forgettingPct: number;
  /** Versions that were promoted. */
  adapterVersions: number;
  /** Every candidate with its verdict, and the commit after which it was made. */
  decisions: (Pick<AdapterSummary, 'version' | 'state' | 'samples' | 'reason'> & { after: number })[];
  /** Every version that was ever promoted, weighed without the gate; of poisoned streams. */
  audit?: AuditRecord[];
  /** What was suggested at the probes after every commit. */
  probes?: ProbeRecord[];
  lessons: LessonRecord[];
}

export interface MethodResult extends Metrics {
  /** Mean of the seeds, and the seed that forgot most. */
  forgettingPct: number;
  forgettingWorstPct: number;
  adapterVersions: number;
  /** What it changes of the shipped settings. */
  settings: Partial<LearnSettings>;
  /** Characters saved relative to frozen, %: 28 = a quarter more and a bit; null where frozen saves
   *  too little (under 0.5 %) for a ratio to mean anything. */
  charsSavedGainPct: number | null;
  delta: Partial<Record<MetricName, { versus: typeof BASELINE } & Interval>>;
  interval: Record<MetricName, Interval>;
  /** The same differences to every other method of the replay, by its name. */
  against: Record<string, Record<MetricName, Interval>>;
}

/** A point of the learning curve: commits up to and with this one, over a trailing window. */
export interface CurvePoint extends Interval {
  commit: number;
  charsSavedPct: number;
  /** 95 % interval of `charsSavedPct`. */
  charsSaved: Interval;
}

export interface ReplayResult {
  stream: string;
  model: string;
  seeds: number;
  commits: number;
  /** Number of commits, from the end, that the figures of `methods` are of. */
  compared: number;
  lines: number;
  methods: Partial<Record<string, MethodResult>>;
  /** Seconds from a completion's verdict to the first completion by an adapter trained on it; null = not measured. */
  secondsOutcomeToServed: number | null;
  /** Where that time goes, seconds; medians, so they need not add up. */
  outcomeToServed: Latency | null;
  /** Commit of Hindsight that was measured; null outside of a repository. */
  commit: string | null;
  origin: string;
  settings: LearnSettings & { maxLines: number; seeds: number };
  machine: Record<string, string | number>;
  /** `nextEditLogLikPerByte` against frozen (mean, lo, hi) over a trailing window of commits. */
  curve: Partial<Record<string, CurvePoint[]>>;
  runs: Pick<RunRecord, 'method' | 'seed' | 'forgettingPct' | 'adapterVersions' | 'decisions' | 'audit' | 'probes'>[];
  poison: Poison | null;
  learner: string | null;
  lessons: LessonRecord[];
  /** Compared lines that the learned method found less likely than the frozen one, the worst first. */
  worse: { method: string; path: string; text: string; natsFrozen: number; natsLearned: number; bytes: number }[];
}

export interface ResultContext {
  variants: readonly Variant[];
  /** The variant that headline, lessons and losses are about. */
  learner: string | null;
  stream: string;
  origin: string;
  model: string;
  commit: string | null;
  settings: LearnSettings;
  maxLines: number;
  machine: Record<string, string | number>;
  outcomeToServed: Latency | null;
  poison: Poison | null;
}

/** @param runs  of every variant, `frozen` among them, all seeds over the same commits */
export function resultOf(runs: readonly RunRecord[], context: ResultContext): ReplayResult {
  const { variants, learner, maxLines, settings, ...facts } = context;
  const methods = variants.map(({ label }) => label);
  const of = (method: string): RunRecord[] => runs.filter((run) => run.method === method);
  const frozen = of(BASELINE);
  const commits = frozen[0]?.commits.length ?? 0;
  const compared = comparedCommits(commits);
  const seeds = Math.max(...methods.map((method) => of(method).length));
  const measured = new Map(methods.map((method): [string, Measured] => [method, { seeds: of(method).length, tallies: perCommit(of(method).map((run) => run.commits.slice(-compared).map(({ tally }) => tally))) }]));
  return {
    ...facts,
    secondsOutcomeToServed: facts.outcomeToServed?.total ?? null,
    seeds,
    commits,
    compared,
    lines: sumOf(frozen.slice(0, 1).flatMap((run) => run.commits.slice(-compared))).lines,
    methods: Object.fromEntries(variants.map((variant) => [variant.label, methodResult(variant, of(variant.label), measured)])),
    settings: { ...settings, maxLines, seeds },
    curve: Object.fromEntries(methods.map((method) => [method, curveOf(of(method), frozen)])),
    runs: runs.map(({ commits: _commits, lessons: _lessons, ...run }) => run),
    learner,
    lessons: learner === null ? [] : (of(learner)[0]?.lessons ?? []),
    worse: learner === null ? [] : worseLines(of(learner)[0], frozen[0], compared),
  };
}

/** The compared commits of one variant, each summed over its seeds. */
interface Measured {
  tallies: Tally[];
  seeds: number;
}

/** Under so many per cent saved by the frozen model a ratio to it says nothing. */
const LEAST_SAVED_PCT = 0.5;

function methodResult(variant: Variant, runs: readonly RunRecord[], measured: ReadonlyMap<string, Measured>): MethodResult {
  const own = measured.get(variant.label) ?? { tallies: [], seeds: 0 };
  const against = Object.fromEntries([...measured].filter(([label]) => label !== variant.label).map(([label, other]) => [label, pairedDelta(own.tallies, other.tallies, { method: own.seeds, baseline: other.seeds })]));
  const versusFrozen = against[BASELINE];
  const metrics = metricsOf(own.tallies.reduce(addTally, NO_TALLY), own.seeds);
  const frozenSaved = metrics.charsSavedPct - (versusFrozen?.charsSavedPct.mean ?? 0);
  return {
    ...metrics,
    forgettingPct: average(runs.map((run) => run.forgettingPct)),
    forgettingWorstPct: Math.max(...runs.map((run) => run.forgettingPct)),
    adapterVersions: average(runs.map((run) => run.adapterVersions)),
    settings: changedSettings(variant),
    charsSavedGainPct: versusFrozen && frozenSaved >= LEAST_SAVED_PCT ? (100 * versusFrozen.charsSavedPct.mean) / frozenSaved : null,
    delta: versusFrozen ? Object.fromEntries(METRIC_NAMES.map((name) => [name, { versus: BASELINE, ...versusFrozen[name] }])) : {},
    interval: intervals(own.tallies, own.seeds),
    against,
  };
}

function curveOf(runs: readonly RunRecord[], frozen: readonly RunRecord[]): CurvePoint[] {
  const tallies = (of: readonly RunRecord[]): Tally[] => perCommit(of.map((run) => run.commits.map((commit) => commit.tally)));
  const [own, base] = [tallies(runs), tallies(frozen)];
  const window = Math.max(3, Math.round(own.length * 0.2));
  return own.slice(window - 1).map((_, start) => {
    const end = start + window;
    const delta = pairedDelta(own.slice(start, end), base.slice(start, end), { method: runs.length, baseline: frozen.length }).nextEditLogLikPerByte;
    const charsSaved = intervals(own.slice(start, end), runs.length).charsSavedPct;
    return { commit: end, ...delta, charsSavedPct: charsSaved.mean, charsSaved };
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
