/**
 * Typed loader of the native engine. This file is the only door into native/: it knows tokens,
 * tensors and adapters, nothing of editors, turns or rewards.
 *
 * Invariants: every call that computes runs on the addon's own threads and resolves later, so the
 * caller's event loop is never held over 5 ms; numbers that are unknown are NaN and are masked by
 * the losses; arrays handed back are fresh copies (Electron forbids external buffers).
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

export type Architecture = 'llama' | 'qwen2' | 'qwen3';
/** Storage type of the frozen weights in memory; the arithmetic accumulates in fp32. With `int8`,
 *  generation multiplies int8 by int8, scoring and training int8 by bf16. */
export type Dtype = 'fp32' | 'bf16' | 'int8';
/** Where a model computes. `cuda` wants `npm run build:cuda`, a driver and a GPU of compute capability
 *  8.0 or newer; `whyNoCuda` says what is missing. */
export type Device = 'cpu' | 'cuda';
/** Storage of the frozen linears on a GPU: `auto` is the first of bf16, int8 and nf4 that fits. */
export type DeviceDtype = Dtype | 'nf4' | 'auto';
/** Kernel family. `reference` is the plain path that every other one is tested against. */
export type Isa = 'reference' | 'portable' | 'avx2' | 'avx512' | 'avx512vnni' | 'avx512bf16' | 'avx512amx';
/** Model shapes with random weights, for benchmarks: SmolLM2-135M and Qwen2.5. */
export type ShapeName = '135m' | '0.5b' | '1.5b' | '7b';

export interface ModelInfo {
  architecture: Architecture;
  vocabSize: number;
  hiddenSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediateSize: number;
  maxPositions: number;
  tiedHead: boolean;
  /** `config.json`'s eos_token_id, as a list; empty where the model has none. */
  eosIds: number[];
  dtype: Dtype | 'nf4';
  device: Device;
  /** The GPU, its kernels and its memory plan in a sentence each; absent on the CPU. */
  deviceText?: string;
  isa: Isa;
  threads: number;
  parameters: number;
  /** sha256 over the architecture numbers and every weight tensor: names a base model. */
  fingerprint: string;
}

export interface LoadOptions {
  dir: string;
  /** Random weights of a known shape instead of `dir`, which is then ignored. */
  shape?: ShapeName;
  /** CPU: a Dtype, default fp32; CUDA: default auto. */
  dtype?: DeviceDtype;
  /** Default cpu. */
  device?: Device;
  /** CUDA: tokens of one training batch and of the longest sequence that trains; default 2048. */
  trainTokens?: number;
  /** CUDA: largest rank of an adapter; default 16. */
  maxRank?: number;
  /** CUDA: bytes of device memory to plan for; default: what is free. */
  deviceBytes?: number;
  /** Default: the cores this process may use. */
  threads?: number;
  /** Default: HINDSIGHT_ISA, else the fastest this processor has. */
  isa?: Isa;
  /** Memory bound of the prefix cache; default 256 MiB. */
  cacheBytes?: number;
  /** CPU: bytes that this process may have resident while it trains: layers are checkpointed as far as that takes, which
   *  costs time and changes no bit of a gradient. Training that cannot fit is refused (MEMORY_SHORT). Default: no bound. */
  memoryBytes?: number;
}

export interface GenerateRequest {
  /** Unique per model while in flight; `cancel` takes it. */
  id: number;
  prompt: Int32Array;
  maxTokens: number;
  /** 0 = greedy. Log-probs are of the full softmax at `logprobTemperature`, before top-k and top-p. */
  temperature: number;
  logprobTemperature?: number;
  topK?: number;
  topP?: number;
  /** Same seed and adapter give the same tokens, on any number of threads. */
  seed?: number;
  /** Token ids that end the response; the end token is part of `tokens`. */
  stopIds?: Int32Array;
  /** Byte strings that end the response; needs `setVocabulary`. The text is not cut: the caller cuts. */
  stop?: string[];
  /** JSON Schema, as text: the response is a JSON text that satisfies it, whatever the model prefers,
   *  within maxTokens. Needs `setVocabulary`; not together with `stop`. Log-probs stay those of the
   *  full softmax. Which schemas are supported: src/serve/grammar.h.
   *  Errors: SCHEMA_INVALID, SCHEMA_UNSUPPORTED, VOCABULARY_UNFIT. */
  schema?: string;
  /** Adapter handle; 0 or absent = base model. */
  adapter?: number;
  /** Larger is served first. */
  priority?: number;
  /** Prompt lookup, which changes the time of a response and not its text; default true. */
  speculate?: boolean;
}

export type FinishReason = 'stop' | 'eos' | 'length' | 'cancelled';

export interface GenerateResult {
  tokens: Int32Array;
  /** log p of each token, [tokens.length] */
  logprobs: Float32Array;
  finishReason: FinishReason;
  /** Prompt tokens whose keys and values came from the prefix cache. */
  cachedTokens: number;
  /** Tokens that prompt lookup proposed, and those that were right: each saved a pass. */
  draftedTokens: number;
  acceptedTokens: number;
}

/** Counts since the model was loaded, and what it holds. */
export interface NativeMetrics {
  cacheTokens: number;
  cacheBytes: number;
  queued: number;
  peakRssBytes: number;
  /** Passes over the weights that made tokens, and the rows in them: requests of a batch and drafts. */
  decodePasses: number;
  decodeRows: number;
  draftedTokens: number;
  acceptedTokens: number;
}

export interface ScoreRequest {
  ids: Int32Array;
  /** Positions p >= 1 whose token ids[p] is scored from the logits of row p-1. */
  positions: Int32Array;
  temperature?: number;
  /** Size of the top-K list per position, 0 = none. */
  topK?: number;
  /** Extra tokens to score at each position, [positions.length][C] row-major; -1 = none (NaN back). */
  candidates?: Int32Array;
  adapter?: number;
  priority?: number;
  /** Return full logits of the scored rows (tests and parity only). */
  logits?: boolean;
}

export interface ScoreResult {
  /** log p(ids[p] | ids[<p]), [P] */
  logprobs: Float32Array;
  topIds: Int32Array;
  topLogprobs: Float32Array;
  candidateLogprobs: Float32Array;
  /** [P][V], only if asked for */
  logits: Float32Array;
}

/**
 * One training sequence: ids and the loss terms on some of its positions. A position p >= 1 means
 * "the prediction of ids[p]", computed from row p-1. Each term is averaged over its own positions
 * within the sequence, then divided by `divisor` of the step (the number of sequences having it).
 * NaN in any input of a position masks that position: it counts neither in sum nor in mean.
 */
export interface TrainSequence {
  ids: Int32Array;
  temperature: number;
  /** -c·min(ρA, clip(ρ, 1-εlo, 1+εhi)A); ρ = exp(l - old); c = min(exp(old - behaviour), 2), constant.
   *  Without `old`, old = l of this pass (held constant). Without `behaviour`, c = 1. */
  pg?: { positions: Int32Array; advantages: Float32Array; old?: Float32Array; behaviour?: Float32Array };
  /** -Σ_v w_v min(ρ_v D_v, clip(ρ_v) D_v) over K tokens a position, tokens/old/delta/weights [P][K];
   *  token -1 = empty slot. Without `old`, old = l_v of this pass. w and D are constants. */
  opd?: { positions: Int32Array; k: number; tokens: Int32Array; delta: Float32Array; weights: Float32Array; old?: Float32Array };
  /** -Σ_v q_v log p(v): forward KL to a constant target distribution over K tokens, up to its entropy. */
  splice?: { positions: Int32Array; k: number; tokens: Int32Array; targets: Float32Array };
  /** β(exp(-d) - 1 + d), d = clamp(l - reference, ±10); reference = adapter off, constant.
   *  Without `reference` the engine computes it by a forward pass with the adapter off. */
  kl?: { positions: Int32Array; reference?: Float32Array };
  /** λ × cross-entropy at temperature 1. */
  ce?: { positions: Int32Array };
}

export interface LossSettings {
  clipLow: number;
  clipHigh: number;
  klBeta: number;
  ceLambda: number;
  spliceWeight: number;
  pgWeight: number;
  opdWeight: number;
  /** Number of sequences in the whole step that have each term (a step may take several calls). */
  divisor: { pg: number; opd: number; splice: number; kl: number; ce: number };
}

export interface ForwardBackwardResult {
  /** Weighted, averaged loss of each term; NaN where no position had it. */
  loss: { pg: number; opd: number; splice: number; kl: number; ce: number };
  /** Labelled positions of each term that were not masked. */
  positions: { pg: number; opd: number; splice: number; kl: number; ce: number };
  /** Effective sample size of c over the pg positions, in (0, 1]; NaN without pg. */
  effectiveSampleSize: number;
  tokens: number;
  /** Layers whose forward pass was repeated to stay within `memoryBytes`, of the longest sequence; 0 on CUDA. */
  checkpointed: number;
  /** log p of ids[p] under the trainable weights for each pg position, concatenated. */
  pgLogprobs: Float32Array;
}

export interface AdamW {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Global gradient norm bound; 0 = none. */
  clipNorm: number;
}

export interface AdapterConfig {
  rank: number;
  alpha: number;
  /** Any of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj. */
  targets: string[];
  /** Seed of A's initialisation (Kaiming-uniform, a = √5, as peft); B = 0. */
  seed: number;
}

/** Named float32 tensor, row-major. */
export interface Tensor {
  name: string;
  shape: number[];
  data: Float32Array;
}

export interface NativeModel {
  readonly info: ModelInfo;
  /** Bytes of every token id, so that stop strings and schemas are followed without leaving the native
   *  thread. `special` ids are no text: a response under a schema has none of them but its end. */
  setVocabulary(tokens: Uint8Array[], special?: readonly number[]): void;
  generate(request: GenerateRequest, onToken?: (token: number, logprob: number) => void): Promise<GenerateResult>;
  /** Ends a request within one token; its promise resolves with finishReason `cancelled`. */
  cancel(id: number): void;
  score(request: ScoreRequest): Promise<ScoreResult>;

  /** Adapters are numbered handles, > 0. Calls on one handle keep their order: a step waits for the
   *  requests it would change and holds up later ones, so a handle that trains should not serve
   *  users; `cloneAdapter` makes an independent copy of its weights to serve,
   *  without gradients and AdamW's moments. */
  createAdapter(config: AdapterConfig): Promise<number>;
  /** Reads a PEFT folder; `optimizer.safetensors` beside it restores AdamW's moments if `training`.
   *  Read and written again it is the same adapter, configuration byte for byte; fp16 and bf16
   *  tensors keep their type until a step has changed them, and are F32 from then on. */
  loadAdapter(dir: string, training?: boolean): Promise<number>;
  /** Writes PEFT files (and, if asked, optimizer state) into an existing empty folder; fsynced. */
  writeAdapter(adapter: number, dir: string, optimizer?: boolean): Promise<void>;
  cloneAdapter(adapter: number): Promise<number>;
  deleteAdapter(adapter: number): Promise<void>;
  adapterTensors(adapter: number): Promise<Tensor[]>;

  /** Adds to the adapter's gradient buffer. All sequences are checked before the first is computed.
   *  Runs at the lowest priority: between two layers every waiting request goes first. */
  forwardBackward(adapter: number, sequences: TrainSequence[], settings: LossSettings): Promise<ForwardBackwardResult>;
  gradients(adapter: number): Promise<Tensor[]>;
  setGradients(adapter: number, gradients: Tensor[]): Promise<void>;
  zeroGradients(adapter: number): Promise<void>;
  /** Clips, takes one AdamW step, zeroes the gradients. @returns the norm before clipping. */
  optimStep(adapter: number, settings: AdamW): Promise<{ gradNorm: number; step: number }>;

  /** Drops every cached prefix. Cold and warm give the same logits, bit for bit. */
  clearCache(): Promise<void>;
  metrics(): NativeMetrics;
  close(): void;
}

/** What one load of the addon offers. */
export interface NativeEngine {
  /** Instruction sets this processor can run, the plain reference first, the fastest last. */
  readonly isas: Isa[];
  /** Reads a Hugging Face folder on a thread of its own. Errors carry `code` and name a remedy. */
  load(options: LoadOptions): Promise<NativeModel>;
  /** Writes the weights of a folder in int8 beside them; `load` with `dtype: 'int8'` then reads those instead, with the same
   *  numbers to the last bit, and refuses them where they are of other weights (QUANTIZED_UNUSABLE). */
  quantize(dir: string): Promise<void>;
  /** Empty where `device: 'cuda'` can work, else one sentence that says why not. */
  whyNoCuda(): string;
  /** What the GPU of `device: 'cuda'` calls itself; empty where there is none. */
  cudaName(): string;
  /** Largest disagreement of every op with the reference on random shapes (tests only). */
  selfTest(isa: Isa, seed: number): { op: string; shape: string; error: number }[];
  /** Operations a second of X W^T (and dX, 0 for int8) beside the peak measured around them; holds the
   *  calling thread (benchmarks only). */
  gemmBench(options: GemmOptions): GemmRates;
}

export interface GemmOptions {
  dtype: Dtype;
  m: number;
  n: number;
  k: number;
  threads: number;
  runs: number;
  isa?: Isa;
}
/** Operations a second at the peak; medians of the share of the peak right before or after each run. */
export interface GemmRates {
  peak: number;
  forwardShare: number;
  backwardShare: number;
  /** Worst of 64 results each way against double precision, in root-sum-squares of their terms. */
  error: number;
}

export type NativeErrorCode =
  // the addon itself
  | 'ENGINE_NOT_BUILT' | 'ENGINE_UNLOADABLE' | 'ISA_UNAVAILABLE' | 'DEVICE_UNAVAILABLE' | 'OUT_OF_MEMORY' | 'INTERNAL' | 'NAPI'
  // loading a model
  | 'MODEL_MISSING' | 'CONFIG_MISSING' | 'WEIGHTS_MISSING' | 'FILE_MISSING'
  | 'CONFIG_INVALID' | 'INDEX_INVALID' | 'SAFETENSORS_CORRUPT' | 'FILE_TRUNCATED' | 'FILE_TOO_LARGE' | 'TENSOR_MISSING' | 'SHAPE_MISMATCH'
  | 'CONFIG_UNSUPPORTED' | 'ARCHITECTURE_UNSUPPORTED' | 'DTYPE_UNSUPPORTED' | 'QUANTIZED_UNUSABLE'
  // adapters and training
  | 'ADAPTER_MISSING' | 'ADAPTER_INVALID' | 'ADAPTER_UNSUPPORTED' | 'ADAPTER_OTHER_BASE' | 'ADAPTER_UNKNOWN' | 'OPTIMIZER_INVALID' | 'WRITE_FAILED' | 'GRADIENT_NOT_FINITE'
  // requests
  | 'BAD_ARGUMENT' | 'PROMPT_EMPTY' | 'PROMPT_TOO_LONG' | 'TOKEN_OUT_OF_RANGE' | 'VOCABULARY_MISSING' | 'REQUEST_ID_IN_USE' | 'CANCELLED' | 'MODEL_CLOSED';

/** Error of the engine: `code` for programs, the message (one sentence, with the remedy) for people. */
export interface NativeError extends Error {
  code: NativeErrorCode;
}

/** The addon's flat functions; the first argument is the model's handle. */
interface Addon {
  isas(): Isa[];
  load(options: LoadOptions & { threads: number }): Promise<{ handle: object; info: ModelInfo }>;
  quantize(dir: string): Promise<void>;
  whyNoCuda(): string;
  cudaName(): string;
  selfTest(isa: Isa, seed: number): { op: string; shape: string; error: number }[];
  gemmBench(options: GemmOptions): GemmRates;
  setVocabulary(handle: object, bytes: Uint8Array, ends: Int32Array, special: Int32Array): Promise<void>;
  generate(handle: object, request: GenerateRequest, onToken?: (token: number, logprob: number) => void): Promise<GenerateResult>;
  cancel(handle: object, id: number): void;
  score(handle: object, request: ScoreRequest): Promise<ScoreResult>;
  createAdapter(handle: object, config: AdapterConfig): Promise<number>;
  loadAdapter(handle: object, dir: string, training: boolean): Promise<number>;
  writeAdapter(handle: object, adapter: number, dir: string, optimizer: boolean): Promise<void>;
  cloneAdapter(handle: object, adapter: number): Promise<number>;
  deleteAdapter(handle: object, adapter: number): Promise<void>;
  adapterTensors(handle: object, adapter: number): Promise<Tensor[]>;
  forwardBackward(handle: object, adapter: number, sequences: TrainSequence[], settings: LossSettings): Promise<ForwardBackwardResult>;
  gradients(handle: object, adapter: number): Promise<Tensor[]>;
  setGradients(handle: object, adapter: number, gradients: Tensor[]): Promise<void>;
  zeroGradients(handle: object, adapter: number): Promise<void>;
  optimStep(handle: object, adapter: number, settings: AdamW): Promise<{ gradNorm: number; step: number }>;
  clearCache(handle: object): Promise<void>;
  metrics(handle: object): NativeMetrics;
  close(handle: object): void;
}

class AddonModel implements NativeModel {
  readonly info: ModelInfo;
  readonly #addon: Addon;
  readonly #handle: object;
  #closed = false;

  constructor(addon: Addon, loaded: { handle: object; info: ModelInfo }) {
    this.#addon = addon;
    this.#handle = loaded.handle;
    this.info = loaded.info;
  }

  setVocabulary(tokens: Uint8Array[], special: readonly number[] = []): void {
    const ends = new Int32Array(tokens.length);
    let size = 0;
    tokens.forEach((token, i) => (ends[i] = size += token.length));
    const bytes = new Uint8Array(size);
    tokens.forEach((token, i) => bytes.set(token, (ends[i] ?? 0) - token.length));
    // Nothing to wait for: the compute thread takes it before any later request.
    this.#addon.setVocabulary(this.#handle, bytes, ends, Int32Array.from(special)).catch((error: unknown) => {
      if ((error as NativeError).code !== 'MODEL_CLOSED') throw error;
    });
  }
  async generate(request: GenerateRequest, onToken?: (token: number, logprob: number) => void): Promise<GenerateResult> {
    return this.#addon.generate(this.#handle, request, onToken);
  }
  cancel(id: number): void {
    if (!this.#closed) this.#addon.cancel(this.#handle, id);
  }
  async score(request: ScoreRequest): Promise<ScoreResult> {
    return this.#addon.score(this.#handle, request);
  }
  async createAdapter(config: AdapterConfig): Promise<number> {
    return this.#addon.createAdapter(this.#handle, config);
  }
  async loadAdapter(dir: string, training = false): Promise<number> {
    return this.#addon.loadAdapter(this.#handle, dir, training);
  }
  async writeAdapter(adapter: number, dir: string, optimizer = false): Promise<void> {
    return this.#addon.writeAdapter(this.#handle, adapter, dir, optimizer);
  }
  async cloneAdapter(adapter: number): Promise<number> {
    return this.#addon.cloneAdapter(this.#handle, adapter);
  }
  async deleteAdapter(adapter: number): Promise<void> {
    return this.#addon.deleteAdapter(this.#handle, adapter);
  }
  async adapterTensors(adapter: number): Promise<Tensor[]> {
    return this.#addon.adapterTensors(this.#handle, adapter);
  }
  async forwardBackward(adapter: number, sequences: TrainSequence[], settings: LossSettings): Promise<ForwardBackwardResult> {
    return this.#addon.forwardBackward(this.#handle, adapter, sequences, settings);
  }
  async gradients(adapter: number): Promise<Tensor[]> {
    return this.#addon.gradients(this.#handle, adapter);
  }
  async setGradients(adapter: number, gradients: Tensor[]): Promise<void> {
    return this.#addon.setGradients(this.#handle, adapter, gradients);
  }
  async zeroGradients(adapter: number): Promise<void> {
    return this.#addon.zeroGradients(this.#handle, adapter);
  }
  async optimStep(adapter: number, settings: AdamW): Promise<{ gradNorm: number; step: number }> {
    return this.#addon.optimStep(this.#handle, adapter, settings);
  }
  async clearCache(): Promise<void> {
    return this.#addon.clearCache(this.#handle);
  }
  metrics(): NativeMetrics {
    return this.#addon.metrics(this.#handle);
  }
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#addon.close(this.#handle);
  }
}

/** The addon lies in dist/, beside the bundle or one folder up from these sources; HINDSIGHT_ADDON
 *  names another build of it (sanitizers). */
function addonPath(): string {
  const forced = process.env.HINDSIGHT_ADDON;
  const places = [...(forced ? [forced] : []), join(__dirname, 'hindsight_cpu.node'), join(__dirname, '..', 'dist', 'hindsight_cpu.node')];
  const found = places.find((place) => existsSync(place));
  if (found) return found;
  throw Object.assign(new Error(`The native engine is not built (looked for ${places.join(' and ')}): run npm ci, or node native/build.mjs.`), { code: 'ENGINE_NOT_BUILT' });
}

let loaded: NativeEngine | undefined;

/** Loads the addon once per process. @throws NativeError ENGINE_NOT_BUILT, ENGINE_UNLOADABLE */
export function loadNative(): NativeEngine {
  if (loaded) return loaded;
  const path = addonPath();
  const holder: { exports: Partial<Addon> } = { exports: {} };
  try {
    // dlopen itself, so that neither the bundler nor a module loader touches the path.
    process.dlopen(holder, path);
  } catch (cause) {
    throw Object.assign(new Error(`The native engine ${path} cannot be loaded (${String(cause)}): run node native/build.mjs on this machine.`), { code: 'ENGINE_UNLOADABLE' });
  }
  const addon = holder.exports as Addon;
  loaded = {
    isas: addon.isas(),
    load: async (options) => new AddonModel(addon, await addon.load({ ...options, threads: options.threads ?? availableParallelism() })),
    quantize: (dir) => addon.quantize(dir),
    selfTest: (isa, seed) => addon.selfTest(isa, seed),
    whyNoCuda: () => addon.whyNoCuda(),
    cudaName: () => addon.cudaName(),
    gemmBench: (options) => addon.gemmBench(options),
  };
  return loaded;
}

/** Loads a model with the addon of this process: `loadNative().load(options)`. */
export function loadModel(options: LoadOptions): Promise<NativeModel> {
  return loadNative().load(options);
}
