/** `hindsight bench`: figures and proofs of the engine, one JSON object per run. */
import { Argument, Option } from 'commander';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { runParity } from '../../native/bench/parity.ts';
import type { ParityReport } from '../../native/bench/parity.ts';
import { runSpeed } from '../../native/bench/speed.ts';
import type { Isa } from '../../native/index.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { nativeError } from '../engine/native.ts';
import { resolveModel } from '../models/models.ts';
import { hindsightHome } from '../server/home.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface BenchFlags extends JsonOption {
  fixtures?: string;
  dump?: string;
  model?: string;
  isa?: Isa;
  threads?: number;
  seq?: number;
  tokens?: number;
  batch?: number;
  runs?: number;
}

const SPEED_BENCHES = ['train', 'decode', 'prefill'] as const;
type SpeedBench = (typeof SPEED_BENCHES)[number];

export function registerBench(program: Command): void {
  withJson(program.command('bench'))
    .description('measures the engine, or compares it with reference numbers')
    .addArgument(new Argument('<what>', 'parity: against fixtures of transformers and peft; the others: tokens a second').choices(['parity', ...SPEED_BENCHES]))
    .option('--fixtures <dir>', 'parity: one fixture folder, or a folder of them')
    .option('--dump <file>', 'parity: writes every computed tensor under its name in the fixture')
    .option('--model <dir>', 'name or folder of a model; default: the bundled one')
    .addOption(new Option('--isa <name>', 'kernels').choices(['reference', 'portable', 'avx2', 'avx512', 'avx512vnni', 'avx512bf16']))
    .option('--threads <n>', 'threads of the engine', count)
    .option('--seq <n>', 'tokens of the prompt, or of a training sequence', count)
    .option('--tokens <n>', 'decode: tokens to generate', count)
    .option('--batch <n>', 'train: sequences of a step', count)
    .option('--runs <n>', 'runs to take the figures from', count)
    .action(async (what: 'parity' | SpeedBench, flags: BenchFlags) => {
      try {
        await (what === 'parity' ? parity(flags) : speed(what, flags));
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

async function speed(what: SpeedBench, flags: BenchFlags): Promise<void> {
  const { seq, tokens, batch, runs } = flags;
  const length = seq && (what === 'train' ? { trainTokens: seq } : { promptTokens: seq });
  const report = await runSpeed(resolveModel(flags.model, hindsightHome()), {
    ...kernels(flags), ...length, ...(tokens && { decodeTokens: tokens }), ...(batch && { sequences: batch }), ...(runs && { runs }),
  });
  const figures = { train: report.trainTokensPerSecond, decode: report.decodeTokensPerSecond, prefill: report.prefillTokensPerSecond };
  print({ ...report, bench: what, tokensPerSecond: figures[what], machine: machine() }, `${what}: ${figures[what].toFixed(0)} tokens a second`, flags);
  if (!report.pass) process.exitCode = 1;
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
