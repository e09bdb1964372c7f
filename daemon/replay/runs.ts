/**
 * All runs of a replay: every variant with every seed, as many side by side as there are cores, each
 * with one thread of its own then. What an earlier replay finished is taken from the store, so that
 * one which was killed goes on with the next that is missing.
 */
import { availableParallelism } from 'node:os';
import { HindsightError } from '../../protocol/errors.ts';
import { codeVersion, modelVersion, runKey } from './keep.ts';
import type { KeptRun, RunStore } from './keep.ts';
import { inLanes } from './lanes.ts';
import type { RunRecord } from './result.ts';
import { replayOnce } from './run.ts';
import type { RunOptions } from './run.ts';
import { trains } from './variants.ts';
import type { Variant } from './variants.ts';

export interface ReplayOptions extends Omit<RunOptions, 'settings' | 'onCommit'> {
  variants: readonly Variant[];
  /** Runs of each variant that trains, with consecutive seeds from its own on. */
  seeds: number;
  /** Finished runs are found and kept here; null = every run is made anew and none is kept. */
  store: RunStore | null;
  /** Runs side by side; by default one per core. */
  jobs?: number;
  /** @param done  commits replayed, `of` those that no earlier replay had finished */
  onProgress?: (done: number, of: number, what: string) => void;
}

interface Job {
  /** Variants that come to the same run. */
  labels: string[];
  key: string;
  options: RunOptions;
}

/** @returns the runs in the order of the variants and then of the seeds */
export async function replay(options: ReplayOptions): Promise<RunRecord[]> {
  const { store, onProgress } = options;
  const version = codeVersion();
  const jobs = jobsOf(options, version);
  const finished = new Map<string, KeptRun>();
  for (const { key } of jobs) {
    const kept = store?.get(key);
    if (kept) finished.set(key, kept);
  }
  const missing = jobs.filter(({ key }) => !finished.has(key));
  const lanes = Math.min(options.jobs ?? availableParallelism(), missing.length);
  const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / Math.max(1, lanes)));
  const total = missing.length * options.stream.commits.length;
  const known = finished.size > 0 ? `, ${finished.size} of ${jobs.length} runs were there` : '';
  let done = 0;
  await inLanes(missing, lanes, async ({ key, labels, options: own }) => {
    const run = await replayOnce({ ...own, threads, onCommit: () => onProgress?.(++done, total, `${labels.join(' = ')}, seed ${own.settings.seed}${known}`) });
    if (codeVersion() !== version) throw new HindsightError('badRequest', { problem: 'The program was built anew while the replay ran, so its runs would not be of one version', remedy: 'Start the replay again.' });
    finished.set(key, run);
    store?.put(key, run);
  });
  return options.variants.flatMap(({ label }) =>
    jobs.filter(({ labels }) => labels.includes(label)).flatMap(({ key }) => {
      const run = finished.get(key);
      return run ? [{ method: label, ...run }] : [];
    }),
  );
}

/** Seed by seed, so that a replay cut short has all methods of the first seeds. */
function jobsOf(options: ReplayOptions, version: string): Job[] {
  const { variants, seeds, store: _store, jobs: _jobs, onProgress: _onProgress, ...common } = options;
  const constant = { stream: common.stream, poison: common.poison ?? null, probes: common.probes ?? null, maxLines: common.maxLines, unrelated: common.unrelated, model: modelVersion(common.modelDir), version, isa: process.env['HINDSIGHT_ISA'] ?? null };
  const head = runKey(constant);
  const byKey = new Map<string, Job>();
  for (let seed = 0; seed < seeds; seed += 1) {
    for (const variant of variants) {
      if (seed > 0 && !trains(variant)) continue;
      const settings = { ...variant.settings, seed: variant.settings.seed + seed };
      const key = runKey({ head, settings });
      const job = byKey.get(key) ?? { labels: [], key, options: { ...common, settings } };
      job.labels.push(variant.label);
      byKey.set(key, job);
    }
  }
  return [...byKey.values()];
}
