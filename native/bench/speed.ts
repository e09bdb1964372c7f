/**
 * Tokens a second of prefill, decode and training on one model, best of several runs, after a
 * check that training trains: gradients are not zero and the loss falls.
 */
import { performance } from 'node:perf_hooks';
import { loadNative } from '../index.ts';
import type { Isa, LossSettings, ModelInfo, NativeModel } from '../index.ts';

export interface SpeedOptions {
  isa?: Isa;
  threads?: number;
  /** Tokens of the prompt and of a training sequence; default 300 and 350. */
  promptTokens?: number;
  trainTokens?: number;
  /** Labelled positions at the end of each training sequence. */
  labelled?: number;
  decodeTokens?: number;
  sequences?: number;
  rank?: number;
  runs?: number;
}

export interface SpeedReport {
  bench: 'speed';
  model: ModelInfo;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  decodeWithAdapterTokensPerSecond: number;
  trainTokensPerSecond: number;
  firstLoss: number;
  lastLoss: number;
  gradNorm: number;
  peakRssBytes: number;
  pass: boolean;
}

const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export async function runSpeed(dir: string, options: SpeedOptions = {}): Promise<SpeedReport> {
  const { promptTokens = 300, trainTokens = 350, labelled = 64, decodeTokens = 64, sequences = 4, rank = 16, runs = 5 } = options;
  const model = await loadNative().load({ dir, ...(options.isa && { isa: options.isa }), ...(options.threads && { threads: options.threads }) });
  try {
    const adapter = await model.createAdapter({ rank, alpha: 2 * rank, targets: TARGETS, seed: 7 });
    const training = await measureTraining(model, adapter, { trainTokens, labelled, sequences, runs });
    const prefill = await best(runs, async () => {
      await model.clearCache();
      await model.score({ ids: tokens(model, promptTokens + 1), positions: Int32Array.of(promptTokens) });
      return promptTokens;
    });
    return {
      bench: 'speed',
      model: model.info,
      prefillTokensPerSecond: prefill,
      decodeTokensPerSecond: await measureDecode(model, 0, promptTokens, decodeTokens, runs),
      decodeWithAdapterTokensPerSecond: await measureDecode(model, adapter, promptTokens, decodeTokens, runs),
      ...training,
      peakRssBytes: model.metrics().peakRssBytes,
      pass: training.gradNorm > 0 && training.lastLoss < training.firstLoss,
    };
  } finally {
    model.close();
  }
}

interface Training {
  trainTokensPerSecond: number;
  firstLoss: number;
  lastLoss: number;
  gradNorm: number;
}

async function measureTraining(model: NativeModel, adapter: number, shape: { trainTokens: number; labelled: number; sequences: number; runs: number }): Promise<Training> {
  const ids = tokens(model, shape.trainTokens);
  const positions = Int32Array.from({ length: shape.labelled }, (_, i) => shape.trainTokens - shape.labelled + i);
  const settings: LossSettings = {
    clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1,
    divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: shape.sequences },
  };
  const losses: number[] = [];
  const norms: number[] = [];
  const trainTokensPerSecond = await best(shape.runs, async () => {
    const batch = Array.from({ length: shape.sequences }, () => ({ ids, temperature: 1, ce: { positions } }));
    const result = await model.forwardBackward(adapter, batch, settings);
    const step = await model.optimStep(adapter, { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
    losses.push(result.loss.ce);
    norms.push(step.gradNorm);
    return result.tokens;
  });
  return { trainTokensPerSecond, firstLoss: losses[0] ?? NaN, lastLoss: losses.at(-1) ?? NaN, gradNorm: Math.min(...norms) };
}

async function measureDecode(model: NativeModel, adapter: number, promptTokens: number, decodeTokens: number, runs: number): Promise<number> {
  const prompt = tokens(model, promptTokens);
  const generate = (maxTokens: number) => model.generate({ id: 1, prompt, maxTokens, temperature: 1, seed: 1, adapter });
  await generate(1);
  return best(runs, async () => {
    await model.clearCache();
    await generate(1);
    const start = performance.now();
    const { tokens: made } = await generate(decodeTokens);
    return { work: made.length, milliseconds: performance.now() - start };
  });
}

/** The best rate of several runs: on a shared machine the others measure its other tenants. */
async function best(runs: number, run: () => Promise<number | { work: number; milliseconds: number }>): Promise<number> {
  let rate = 0;
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    const result = await run();
    const { work, milliseconds } = typeof result === 'number' ? { work: result, milliseconds: performance.now() - start } : result;
    rate = Math.max(rate, (work / milliseconds) * 1000);
  }
  return rate;
}

function tokens(model: NativeModel, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 7919 + 13) % model.info.vocabSize);
}
