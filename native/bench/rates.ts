/**
 * Rates of the engine: training, prefill, decode, adapter swaps and matrix products, of a model
 * folder or of a known shape with random weights. A figure counts only with its proof: gradients
 * that are not zero, a loss that falls, tokens that were made. On a shared machine read the shares
 * of the peak measured in the same run, not the rates.
 */
import { performance } from 'node:perf_hooks';
import { loadNative } from '../index.ts';
import { openLlama } from './llama.ts';
import type { Peer } from './llama.ts';
import type { Dtype, Isa, LossSettings, ModelInfo, NativeModel, ShapeName } from '../index.ts';

export interface RateOptions {
  /** A model folder, or one of SHAPES. */
  model: string;
  dtype: Dtype;
  isa?: Isa;
  threads: number;
  /** train: what the process may have resident. */
  memoryBytes?: number;
  /** prefill, decode: llama.cpp is measured in turns with the engine; the folder is where it is kept. */
  peerCache?: string;
  /** Tokens of the prompt, or of a training sequence. */
  seq: number;
  /** decode: tokens to make; swap: tokens of a request. */
  tokens: number;
  /** train: sequences of a step. */
  batch: number;
  rank: number;
  /** Runs to take the median of; swap: number of swaps. */
  runs: number;
}

export interface RateReport {
  bench: 'train' | 'prefill' | 'decode' | 'swap' | 'serve-while-train';
  model: string;
  dtype: Dtype;
  threads: number;
  isa: Isa;
  settings: Record<string, number>;
  tokensPerSecond: Spread;
  peakRssBytes: number;
  latencyMs: { p50: number; p95: number; p99: number };
  proof: { gradNorm: number; lossFirst: number; lossLast: number; tokens: number };
  /** train, prefill: share of the rate that the peak of the matrix unit allows (median run). */
  shareOfCeiling?: number;
  /** prefill, decode with a peer: its rate in the same run, in turns, and the median of the ratios. */
  peer?: { name: string; tokensPerSecond: Spread; ratio: number };
  /** serve-while-train: the same requests without training. */
  idleLatencyMs?: { p50: number; p95: number; p99: number };
  refused?: number;
  mixed?: number;
  pass: boolean;
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export const SHAPES: readonly string[] = ['135m', '0.5b', '1.5b', '7b'];
const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const NO_PROOF = { gradNorm: NaN, lossFirst: NaN, lossLast: NaN };

interface Bench {
  model: NativeModel;
  options: RateOptions;
}

async function withModel<T>(options: RateOptions, body: (bench: Bench) => Promise<T>): Promise<T> {
  const { model: name, dtype, isa, threads, memoryBytes } = options;
  const where = SHAPES.includes(name) ? { dir: '', shape: name as ShapeName } : { dir: name };
  const model = await loadNative().load({ ...where, dtype, threads, ...(isa && { isa }), ...(memoryBytes && { memoryBytes }) });
  try {
    return await body({ model, options });
  } finally {
    model.close();
  }
}

function report({ model, options }: Bench, bench: RateReport['bench'], settings: Record<string, number>): Omit<RateReport, 'tokensPerSecond' | 'latencyMs' | 'proof' | 'pass'> {
  return { bench, model: options.model, dtype: options.dtype, threads: options.threads, isa: model.info.isa, settings, peakRssBytes: model.metrics().peakRssBytes };
}

/** LoRA steps over `batch` sequences, every linear adapted, a label on every position. */
export function runTrain(options: RateOptions): Promise<RateReport> {
  return withModel(options, async (bench) => {
    const { model } = bench;
    const { seq, batch, rank, runs } = options;
    const adapter = await model.createAdapter({ rank, alpha: 2 * rank, targets: TARGETS, seed: 7 });
    const losses: number[] = [];
    const norms: number[] = [];
    const rates: number[] = [];
    const shares: number[] = [];
    const milliseconds: number[] = [];
    await trainStep(model, adapter, { seq, batch: 1 });
    for (let i = 0; i < runs; i++) {
      const before = peak(options);
      const start = performance.now();
      const { loss, gradNorm, tokens } = await trainStep(model, adapter, { seq, batch });
      const took = performance.now() - start;
      losses.push(loss);
      norms.push(gradNorm);
      milliseconds.push(took);
      rates.push((tokens / took) * 1000);
      shares.push(((tokens / took) * 1000 * trainFlops(model.info, seq, rank)) / Math.max(before, peak(options)));
    }
    const proof = { gradNorm: Math.min(...norms), lossFirst: losses[0] ?? NaN, lossLast: losses.at(-1) ?? NaN, tokens: runs * batch * seq };
    return {
      ...report(bench, 'train', { seq, batch, rank, runs }), tokensPerSecond: spread(rates), latencyMs: percentiles(milliseconds), proof,
      shareOfCeiling: spread(shares).median, pass: proof.gradNorm > 0 && proof.lossLast < proof.lossFirst,
    };
  });
}

/** The engine and its peer in turns, so that both see the same machine. */
class Race {
  private readonly rates: number[] = [];
  private readonly ratios: number[] = [];
  private constructor(private readonly peer: Peer) {}

  static async open({ model, options: { peerCache, dtype, threads } }: Bench): Promise<Race | undefined> {
    return peerCache === undefined ? undefined : new Race(await openLlama(model.info, dtype === 'int8' ? 'q8_0' : 'f16', threads, peerCache));
  }

  async turn(own: number, run: (peer: Peer) => Promise<number>): Promise<void> {
    const rate = await run(this.peer);
    this.rates.push(rate);
    this.ratios.push(own / rate);
  }

  async result(): Promise<Pick<RateReport, 'peer'>> {
    await this.peer.close();
    return { peer: { name: this.peer.name, tokensPerSecond: spread(this.rates), ratio: spread(this.ratios).median } };
  }
}

/** A cold prompt to its first log-prob, as `generate` computes it. */
export function runPrefill(options: RateOptions): Promise<RateReport> {
  return withModel(options, async (bench) => {
    const { model } = bench;
    const { seq, runs } = options;
    const race = await Race.open(bench);
    const rates: number[] = [];
    const shares: number[] = [];
    const milliseconds: number[] = [];
    for (let i = -1; i < runs; i++) {
      await model.clearCache();
      const before = peak(options);
      const start = performance.now();
      await model.generate({ id: 1, prompt: tokens(model, seq), maxTokens: 1, temperature: 0 });
      const took = performance.now() - start;
      if (i < 0) continue;
      milliseconds.push(took);
      rates.push((seq / took) * 1000);
      shares.push(((seq / took) * 1000 * 2 * layerParameters(model.info)) / Math.max(before, peak(options)));
      await race?.turn((seq / took) * 1000, async (peer) => seq / (await peer.prefill([...tokens(model, seq)])));
    }
    return {
      ...(await race?.result()),
      ...report(bench, 'prefill', { seq, runs }), tokensPerSecond: spread(rates), latencyMs: percentiles(milliseconds),
      proof: { ...NO_PROOF, tokens: runs * seq }, shareOfCeiling: spread(shares).median, pass: true,
    };
  });
}

export function runDecode(options: RateOptions): Promise<RateReport> {
  return withModel(options, async (bench) => {
    const { model } = bench;
    const { seq, tokens: count, runs } = options;
    const race = await Race.open(bench);
    const rates: number[] = [];
    const gaps: number[] = [];
    let made = 0;
    for (let i = 0; i < runs; i++) {
      let last = 0;
      let first = 0;
      let here = 0;
      const result = await model.generate({ id: 1, prompt: tokens(model, seq), maxTokens: count + 1, temperature: 1, seed: i }, () => {
        const now = performance.now();
        if (last) gaps.push(now - last);
        else first = now;
        last = now;
        here++;
      });
      made += result.tokens.length;
      rates.push(((here - 1) / (last - first)) * 1000);
      await race?.turn(((here - 1) / (last - first)) * 1000, async (peer) => count / (await peer.decode([...tokens(model, seq)], count)));
    }
    return {
      ...(await race?.result()),
      ...report(bench, 'decode', { seq, tokens: count, runs }), tokensPerSecond: spread(rates), latencyMs: percentiles(gaps),
      proof: { ...NO_PROOF, tokens: made }, pass: made >= 2 * runs,
    };
  });
}

/**
 * `runs` swaps of the served adapter while two streams of requests run: each swap copies the next
 * version beside the old one, points new requests to it and deletes the old when its last request
 * has ended. Latency = from the decision until the new version serves. Every output must be the
 * greedy text of the one version that its request began with.
 */
export function runSwap(options: RateOptions): Promise<RateReport> {
  return withModel(options, async (bench) => {
    const { model } = bench;
    const { seq, tokens: count, runs, rank } = options;
    const versions: { handle: number; text: string }[] = [];
    const prompt = tokens(model, seq);
    for (const steps of [4, 12]) {
      const handle = await model.createAdapter({ rank, alpha: 2 * rank, targets: TARGETS, seed: steps });
      for (let i = 0; i < steps; i++) await trainStep(model, handle, { seq: 48, batch: 1, lr: 3e-3 });
      const { tokens: text } = await model.generate({ id: 1, prompt, maxTokens: count, temperature: 0, adapter: handle });
      versions.push({ handle, text: text.join() });
    }
    let serving = { handle: await model.cloneAdapter(versions[0]?.handle ?? 0), version: 0 };
    let refused = 0;
    let mixed = 0;
    let served = 0;
    let id = 10;
    let running = true;
    const stream = async () => {
      while (running) {
        const { handle, version } = serving;
        try {
          const { tokens: text } = await model.generate({ id: id++, prompt, maxTokens: count, temperature: 0, adapter: handle });
          served += text.length;
          if (text.join() !== versions[version]?.text) mixed++;
        } catch {
          refused++;
        }
      }
    };
    const streams = [stream(), stream()];
    const latencies: number[] = [];
    const deletions: Promise<void>[] = [];
    const start = performance.now();
    for (let i = 1; i <= runs; i++) {
      const version = i % 2;
      const old = serving.handle;
      const began = performance.now();
      serving = { handle: await model.cloneAdapter(versions[version]?.handle ?? 0), version };
      latencies.push(performance.now() - began);
      deletions.push(model.deleteAdapter(old));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const seconds = (performance.now() - start) / 1000;
    running = false;
    await Promise.all([...streams, ...deletions]);
    const rate = served / seconds;
    return {
      ...report(bench, 'swap', { seq, tokens: count, runs, rank }), tokensPerSecond: { median: rate, min: rate, max: rate }, latencyMs: percentiles(latencies),
      proof: { ...NO_PROOF, tokens: served }, refused, mixed, pass: refused === 0 && mixed === 0 && served > 0 && versions[0]?.text !== versions[1]?.text,
    };
  });
}

/** First token of short typing requests, idle and then beside training that never pauses. */
export function runServeWhileTrain(options: RateOptions): Promise<RateReport> {
  return withModel(options, async (bench) => {
    const { model } = bench;
    const { seq, batch, rank, runs } = options;
    const adapter = await model.createAdapter({ rank, alpha: 2 * rank, targets: TARGETS, seed: 7 });
    await trainStep(model, adapter, { seq, batch: 1 });
    const ask = async (): Promise<number[]> => {
      const milliseconds: number[] = [];
      for (let i = 0; i < runs; i++) {
        await new Promise((resolve) => setTimeout(resolve, 30 + (i % 7) * 10));
        await model.clearCache();
        const start = performance.now();
        await model.generate({ id: 1, prompt: tokens(model, 300), maxTokens: 1, temperature: 0, priority: 10 });
        milliseconds.push(performance.now() - start);
      }
      return milliseconds;
    };
    const idle = await ask();
    let training = true;
    let trained = 0;
    const losses: number[] = [];
    const norms: number[] = [];
    const start = performance.now();
    const trainer = (async () => {
      while (training) {
        const step = await trainStep(model, adapter, { seq, batch });
        losses.push(step.loss);
        norms.push(step.gradNorm);
        trained += step.tokens;
      }
    })();
    const busy = await ask();
    training = false;
    await trainer;
    const rate = (trained / (performance.now() - start)) * 1000;
    const proof = { gradNorm: Math.min(...norms), lossFirst: losses[0] ?? NaN, lossLast: losses.at(-1) ?? NaN, tokens: trained };
    return {
      ...report(bench, 'serve-while-train', { seq, batch, rank, runs }), tokensPerSecond: { median: rate, min: rate, max: rate }, latencyMs: percentiles(busy),
      idleLatencyMs: percentiles(idle), proof, pass: proof.gradNorm > 0 && trained > 0,
    };
  });
}

export interface GemmLine {
  model: string;
  dtype: Dtype;
  n: number;
  k: number;
  m: number;
  /** Operations a second in registers, the best seen. */
  peak: number;
  /** Median over the runs of the share of the peak right before or after each. */
  forwardShare: number;
  /** dX; NaN for int8, whose gradients run in bf16. */
  backwardShare: number;
  /** Worst error of some results, in root-sum-squares of their terms; what rounding can explain passes. */
  error: number;
  pass: boolean;
}

/** Rounding leaves 2e-5, 9e-3 and 2e-2; a wrong or missing number is off by about 1. */
export const GEMM_BOUNDS: Readonly<Record<Dtype, number>> = { fp32: 1e-4, bf16: 2e-2, int8: 6e-2 };

/** Every shape of the transformers of SHAPES below 7b, in every dtype, against the peak. */
export function runGemm(options: { threads: number; runs: number; isa?: Isa; models?: readonly string[]; dtypes?: readonly Dtype[] }): GemmLine[] {
  const widths: Record<string, [hidden: number, kv: number, inner: number, vocab: number]> = { '135m': [576, 192, 1536, 49152], '0.5b': [896, 128, 4864, 151936], '1.5b': [1536, 256, 8960, 151936] };
  const lines: GemmLine[] = [];
  for (const dtype of options.dtypes ?? (['fp32', 'bf16', 'int8'] as const))
    for (const model of options.models ?? ['135m', '0.5b', '1.5b']) {
      const [hidden, kv, inner, vocab] = widths[model] ?? [0, 0, 0, 0];
      for (const [n, k] of [[hidden, hidden], [kv, hidden], [inner, hidden], [hidden, inner], [vocab, hidden]] as const)
        for (const m of [128, 512, 1024]) {
          const { threads, runs, isa } = options;
          const { peak: top, forwardShare, backwardShare, error } = loadNative().gemmBench({ dtype, m, n, k, threads, runs, ...(isa && { isa }) });
          lines.push({ model, dtype, n, k, m, peak: top, forwardShare, backwardShare: dtype === 'int8' ? NaN : backwardShare, error, pass: error <= GEMM_BOUNDS[dtype] });
        }
    }
  return lines;
}

const LOSS: Omit<LossSettings, 'divisor'> = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1 };

async function trainStep(model: NativeModel, adapter: number, { seq, batch, lr = 1e-3 }: { seq: number; batch: number; lr?: number }): Promise<{ loss: number; gradNorm: number; tokens: number }> {
  const positions = Int32Array.from({ length: seq - 1 }, (_, i) => i + 1);
  const sequences = Array.from({ length: batch }, (_, i) => ({ ids: tokens(model, seq, i), temperature: 1, ce: { positions } }));
  const result = await model.forwardBackward(adapter, sequences, { ...LOSS, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: batch } });
  const { gradNorm } = await model.optimStep(adapter, { lr, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
  return { loss: result.loss.ce, gradNorm, tokens: result.tokens };
}

/** Parameters of the linears of all layers, which meet every token. */
function layerParameters({ hiddenSize: h, layers, heads, kvHeads, headDim, intermediateSize }: ModelInfo): number {
  return layers * (2 * h * heads * headDim + 2 * h * kvHeads * headDim + 3 * h * intermediateSize);
}

/** No gradients of frozen weights: 4 per linear parameter, 6 per LoRA parameter, 3 x causal attention. */
function trainFlops(info: ModelInfo, seq: number, rank: number): number {
  const { hiddenSize: h, layers, heads, kvHeads, headDim, intermediateSize } = info;
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const lora = layers * rank * (2 * (h + q) + 2 * (h + kv) + 3 * (h + intermediateSize));
  return 4 * (layerParameters(info) + info.vocabSize * h) + 6 * lora + 3 * layers * 2 * seq * q;
}

function peak({ dtype, isa, threads }: RateOptions): number {
  return loadNative().gemmBench({ dtype, m: 6, n: 64, k: 64, threads, runs: 1, ...(isa && { isa }) }).peak;
}

function tokens(model: NativeModel, count: number, shift = 0): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 7919 + 13 + shift * 101) % model.info.vocabSize);
}

function spread(values: number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)] ?? NaN, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

function percentiles(values: number[]): { p50: number; p95: number; p99: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
