/** The replay benchmark from a stream to its result and its report: what `replay` and `demo` share. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { bundledModel } from '../models/bundled.ts';
import { DEFAULT_METHOD } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { number } from './chart.ts';
import { outcomeToServed } from './latency.ts';
import { unrelatedTexts } from './likelihood.ts';
import { isHarmful } from './audit.ts';
import { shownAfter } from './probes.ts';
import type { Probe, ProbeRecord } from './probes.ts';
import { htmlReport } from './report.ts';
import { resultOf } from './result.ts';
import type { ReplayResult } from './result.ts';
import { replay } from './runs.ts';
import type { ReplayOptions } from './runs.ts';
import { BASELINE, SHIPPED, trains, variantOf } from './variants.ts';
import type { Variant } from './variants.ts';

/** testdata/ of the repository. */
const TESTDATA = resolve(dirname(bundledModel()), '..');
export const BUNDLED_STREAM = join(TESTDATA, 'streams', 'hindsight.jsonl.gz');

export interface BenchmarkOptions extends Omit<ReplayOptions, 'unrelated' | 'variants'> {
  /** Labels of variants (variants.ts); `frozen` always takes part. */
  methods: readonly string[];
  /** Of the variants that name no others. */
  settings: LearnSettings;
  /** Also time an outcome's way to the agent, in a run of its own. */
  latency: boolean;
}

export async function benchmark({ methods, settings, latency, ...options }: BenchmarkOptions): Promise<ReplayResult> {
  const variants = [...new Set([BASELINE, ...methods])].map((label) => variantOf(label, settings));
  const runs = await replay({ ...options, variants, unrelated: unrelatedTexts(join(TESTDATA, 'unrelated')) });
  const learner = learnerOf(variants);
  const learned = learner?.settings ?? settings;
  return resultOf(runs, {
    variants,
    learner: learner?.label ?? null,
    stream: options.stream.name,
    origin: options.stream.origin,
    model: basename(options.modelDir),
    commit: ownCommit(),
    settings: learned,
    maxLines: options.maxLines,
    poison: options.poison ?? null,
    machine: { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), memoryGiB: Math.round(totalmem() / 2 ** 30), platform: `${process.platform}-${process.arch}`, node: process.version },
    outcomeToServed: latency && learner ? await outcomeToServed({ ...options, settings: learned }) : null,
  });
}

/** The variant that headline and latency are about: the shipped one where it takes part and learns, else the last that learns. */
function learnerOf(variants: readonly Variant[]): Variant | undefined {
  const learning = variants.filter(trains);
  return [SHIPPED, DEFAULT_METHOD].map((name) => learning.find(({ label }) => label === name)).find((one) => one !== undefined) ?? learning.at(-1);
}

/** The last 30 % of the commits, for a terminal. */
export function resultTable(result: ReplayResult): string[][] {
  const rows = Object.entries(result.methods).flatMap(([name, of]) => {
    if (!of) return [];
    const delta = of.delta.nextEditLogLikPerByte;
    const saved = of.delta.charsSavedPct;
    const between = (d: { mean: number; lo: number; hi: number }, digits: number): string => `${plus(d.mean, digits)} [${plus(d.lo, digits)}, ${plus(d.hi, digits)}]`;
    return [[
      name, number(of.nextEditLogLikPerByte, 4), delta ? between(delta, 4) : '', number(of.charsSavedPct, 1), saved ? between(saved, 1) : '',
      number(of.acceptedPct, 1), number(of.exactLinePct, 1), number(of.shown, 0), plus(of.forgettingPct, 2), number(of.adapterVersions, 1),
    ]];
  });
  return [['method', 'nats/byte', 'against frozen [95 %]', 'saved %', 'against frozen [95 %]', 'accepted %', 'exact %', 'shown', 'forgot %', 'versions'], ...rows];
}

/** One sentence on the learned method; what the demo is for. */
export function verdict(result: ReplayResult): string {
  const name = result.learner;
  const delta = name === null ? undefined : result.methods[name]?.delta.nextEditLogLikPerByte;
  if (!delta) return 'Nothing was learned, so nothing was compared.';
  const interval = `${plus(delta.mean, 4)} nats per byte, 95 % interval ${plus(delta.lo, 4)} to ${plus(delta.hi, 4)}`;
  if (delta.lo > 0) return `${name} predicts the next edit better than the frozen model: ${interval}.`;
  return delta.hi < 0 ? `${name} predicts the next edit worse than the frozen model: ${interval}.` : `No difference between ${name} and the frozen model is shown: ${interval}.`;
}

/** What a poisoned stream or a planted preference came to, a sentence per method. */
export function remarks(result: ReplayResult): string[] {
  return Object.keys(result.methods).flatMap((method) => {
    const runs = result.runs.filter((run) => run.method === method);
    const audits = runs.flatMap(({ audit = [] }) => audit);
    const harmful = audits.filter(isHarmful);
    const poisoned = audits.length === 0 ? [] : [`${method}: ${harmful.length} of ${audits.length} promoted versions were harmful (golden loss over +1 %, or held-out lines over 0.02 nats per byte less likely than under the base).`];
    const preference = runs.flatMap(({ seed, probes }) => (probes ? (['line', 'word'] as const).map((kind) => `${method}, seed ${seed}: ${preferenceRemark(probes, kind)}`) : []));
    return [...poisoned, ...preference];
  });
}

function preferenceRemark(probes: readonly ProbeRecord[], kind: Probe['kind']): string {
  const after = shownAfter(probes, kind);
  const last = probes.at(-1)?.[kind];
  const where = kind === 'line' ? 'at a line’s start' : 'after its first word';
  return `${where} the preference ${after === null ? 'did not come to show at half of the probes' : `shows at half of the probes after ${after} interactions`}; in the end it is suggested at ${number(100 * (last?.wanted ?? 0), 0)} %, what stands against it at ${number(100 * (last?.unwanted ?? 0), 0)} %.`;
}

export function writeReport(path: string, result: ReplayResult): void {
  writeFileSync(path, htmlReport(result));
}

function plus(value: number, digits: number): string {
  const text = number(value, digits);
  return value > 0 && !text.startsWith('\u2212') ? `+${text}` : text;
}

/** Commit of Hindsight's own repository; null for an installed one. */
function ownCommit(): string | null {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: TESTDATA, stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }).trim();
  } catch {
    // No repository, or no git: the figure is unknown, and says so.
    return null;
  }
}
