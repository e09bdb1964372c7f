/** `hindsight bench`: figures and proofs of the engine, one JSON object per run. */
import { Argument, Option } from 'commander';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { runParity } from '../../native/bench/parity.ts';
import type { ParityReport } from '../../native/bench/parity.ts';
import { runDecode, runGemm, runPrefill, runServeWhileTrain, runSwap, runTrain, SHAPES } from '../../native/bench/rates.ts';
import type { RateOptions, RateReport } from '../../native/bench/rates.ts';
import type { Dtype, Isa } from '../../native/index.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { nativeError } from '../engine/native.ts';
import { resolveModel } from '../models/models.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { bytes, print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface BenchFlags extends JsonOption {
  fixtures?: string;
  dump?: string;
  model?: string;
  isa?: Isa;
  dtype?: Dtype;
  threads?: number;
  memory?: number;
  peer?: boolean;
  rank?: number;
  seq?: number;
  tokens?: number;
  batch?: number;
  runs?: number;
}

/** What each bench measures where no flag says otherwise. */
const RATES = {
  train: { run: runTrain, seq: 512, tokens: 0, batch: 4, runs: 5 },
  prefill: { run: runPrefill, seq: 512, tokens: 1, batch: 1, runs: 7 },
  decode: { run: runDecode, seq: 32, tokens: 64, batch: 1, runs: 5 },
  swap: { run: runSwap, seq: 32, tokens: 8, batch: 1, runs: 1000 },
  'serve-while-train': { run: runServeWhileTrain, seq: 350, tokens: 1, batch: 4, runs: 60 },
} satisfies Record<string, { run: (options: RateOptions) => Promise<RateReport>; seq: number; tokens: number; batch: number; runs: number }>;
type RateBench = keyof typeof RATES;

export function registerBench(program: Command): void {
  withJson(program.command('bench'))
    .description('measures the engine, or compares it with reference numbers')
    .addArgument(new Argument('<what>', 'parity: against fixtures of transformers and peft; gemm: products against the peak; the others: rates').choices(['parity', 'gemm', ...Object.keys(RATES)]))
    .option('--fixtures <dir>', 'parity: one fixture folder, or a folder of them')
    .option('--dump <file>', 'parity: writes every computed tensor under its name in the fixture')
    .option('--model <dir>', 'name or folder of a model, or a shape with random weights: 135m, 0.5b, 1.5b, 7b; default: the bundled one')
    .addOption(new Option('--isa <name>', 'kernels').choices(['reference', 'portable', 'avx2', 'avx512', 'avx512vnni', 'avx512bf16', 'avx512amx']))
    .addOption(new Option('--dtype <type>', 'storage of the frozen weights').choices(['fp32', 'bf16', 'int8']))
    .option('--peer', 'prefill, decode: measures llama.cpp in turns with the engine (q8_0 beside int8, else f16); the first time it is installed into .cache')
    .option('--rank <n>', 'rank of the adapter', count)
    .option('--threads <n>', 'threads of the engine', count)
    .option('--memory <size>', 'train: what the process may have in memory, such as 1.2GB', bytes)
    .option('--seq <n>', 'tokens of the prompt, or of a training sequence', count)
    .option('--tokens <n>', 'decode, swap: tokens to generate', count)
    .option('--batch <n>', 'train: sequences of a step', count)
    .option('--runs <n>', 'runs to take the figures from; swap: swaps', count)
    .action(async (what: 'parity' | 'gemm' | RateBench, flags: BenchFlags) => {
      try {
        if (what === 'parity') await parity(flags);
        else if (what === 'gemm') gemm(flags);
        else await rate(what, flags);
      } catch (thrown) {
        throw nativeError(thrown, { dir: flags.fixtures ?? flags.model ?? 'the bundled model' });
      }
    });
}

async function parity(flags: BenchFlags): Promise<void> {
  if (flags.fixtures === undefined) throw new HindsightError('badRequest', { problem: 'bench parity needs fixtures', remedy: 'Give their folder with --fixtures.' });
  const { fixtures, dump } = flags;
  if (!existsSync(fixtures)) throw new HindsightError('badRequest', { problem: `There is no folder ${fixtures}`, remedy: 'Give the folder of a fixture, or of several, with --fixtures.' });
  const report = await runParity(fixtures, { ...kernels(flags), ...(dump && { dump }) });
  print({ ...report, machine: machine() }, parityText(report), flags);
  if (!report.pass) process.exitCode = 1;
}

/** The worst figure of each kind, and what failed. */
function parityText({ fixtures, isa, threads, pass }: ParityReport): string {
  const rows = fixtures.map(({ name, checks, pass: good }) => {
    const worst = checks.reduce((most, check) => Math.max(most, Math.min(check.max, check.relative)), 0);
    const failed = checks.filter((check) => !check.pass).map((check) => check.name);
    return [name, String(checks.length), worst.toExponential(1), good ? 'pass' : `FAIL ${failed.slice(0, 4).join(', ')}`];
  });
  return `${table([['fixture', 'checks', 'worst', 'result'], ...rows])}\n${isa}, ${threads} threads: ${pass ? 'every bar holds' : 'a bar does not hold'}`;
}

async function rate(what: RateBench, flags: BenchFlags): Promise<void> {
  const { run, ...defaults } = RATES[what];
  const { model, dtype = 'fp32', threads = availableParallelism(), rank = 16 } = flags;
  const report = await run({
    model: model !== undefined && SHAPES.includes(model) ? model : resolveModel(model, hindsightHome()),
    dtype, threads, rank, ...(flags.isa && { isa: flags.isa }), ...(flags.memory && { memoryBytes: flags.memory }), ...(flags.peer && { peerCache: path.resolve('.cache') }),
    seq: flags.seq ?? defaults.seq, tokens: flags.tokens ?? defaults.tokens, batch: flags.batch ?? defaults.batch, runs: flags.runs ?? defaults.runs,
  });
  print({ ...report, machine: machine() }, rateText(report), flags);
  if (!report.pass) process.exitCode = 1;
}

function rateText({ bench, tokensPerSecond: { median, min, max }, latencyMs: { p50, p95, p99 }, shareOfCeiling, peakRssBytes, idleLatencyMs, refused, mixed, peer, pass }: RateReport): string {
  return [
    `${bench}: ${median.toFixed(1)} tokens a second (${min.toFixed(1)} to ${max.toFixed(1)}), latency p50 ${p50.toFixed(1)} p95 ${p95.toFixed(1)} p99 ${p99.toFixed(1)} ms`,
    ...(shareOfCeiling === undefined ? [] : [`${(100 * shareOfCeiling).toFixed(0)} % of what the measured peak allows`]),
    ...(peer ? [`${peer.name}: ${peer.tokensPerSecond.median.toFixed(1)} tokens a second (${peer.tokensPerSecond.min.toFixed(1)} to ${peer.tokensPerSecond.max.toFixed(1)}); the engine is ${peer.ratio.toFixed(2)} times as fast`] : []),
    ...(idleLatencyMs ? [`idle p50 ${idleLatencyMs.p50.toFixed(1)} p95 ${idleLatencyMs.p95.toFixed(1)} ms`] : []),
    ...(refused === undefined ? [] : [`${refused} refused, ${mixed ?? 0} mixed`]),
    `peak memory ${(peakRssBytes / 1e6).toFixed(0)} MB; the proof ${pass ? 'holds' : 'FAILS'}`,
  ].join('\n');
}

function gemm(flags: BenchFlags): void {
  const { threads = availableParallelism(), runs = 5, isa, dtype, model } = flags;
  const lines = runGemm({ threads, runs, ...(isa && { isa }), ...(dtype && { dtypes: [dtype] }), ...(model && { models: [model] }) });
  const percent = (share: number) => (Number.isNaN(share) ? '-' : `${(100 * share).toFixed(0)} %`);
  const rows = lines.map((line) => [line.dtype, line.model, `${line.n} x ${line.k}`, String(line.m), (line.peak / 1e9).toFixed(0), percent(line.forwardShare), percent(line.backwardShare)]);
  const wrong = lines.filter((line) => !line.pass).length;
  const text = table([['type', 'model', 'N x K', 'M', 'peak G/s', 'X Wt', 'dY W'], ...rows]);
  print({ bench: 'gemm', threads, runs, lines, machine: machine() }, `${text}\n${wrong === 0 ? 'the results are right' : `WRONG results: ${wrong} products`}`, flags);
  if (wrong > 0) process.exitCode = 1;
}

function kernels({ isa, threads }: BenchFlags): { isa?: Isa; threads?: number } {
  return { ...(isa && { isa }), ...(threads && { threads }) };
}

function machine(): { cpu: string; cores: number; memoryBytes: number; node: string; platform: string } {
  return { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem(), node: process.version, platform: `${process.platform}-${process.arch}` };
}

function count(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new HindsightError('badRequest', { problem: `${text} is not a whole number over 0`, remedy: 'Give 1, 2, 3, …' });
  return number;
}
