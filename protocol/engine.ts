/**
 * Daemon ⇄ engine: compute only, in token ids. The shape is that of the field's training services
 * (generate, score, forward_backward, optim_step, save, load). Adapters are named by the daemon;
 * the engine holds as many as it is told to. A number that is unknown travels as null.
 */
import { z } from 'zod';
import { versionRange } from './handshake.ts';
import { jsonSchema } from './jsonSchema.ts';
import { notification, request } from './message.ts';

const ids = z.array(z.int().nonnegative());
/** log-probabilities, weights, …; null = unknown, masked by every consumer. */
const numbers = z.array(z.number().nullable());
const positions = z.array(z.int().positive());
/** Segments of letters, digits, `_`, `.` and `-`, none of which begins with a dot: a name is never a path. */
export const adapterName = z.string().max(200).regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/, 'a name has letters, digits, _ - . and single slashes');
/** Name of a loaded adapter; null = the base model alone. */
const adapter = adapterName.nullable();
const empty = z.object({});
/** Key of a call that changes something. Sent again with the same key after a lost link, it is not done
 *  again: the engine gives the first answer. */
const once = z.string().min(1).max(64).optional();
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 in hexadecimal');

/** Bytes of a file that travel in one message, before base64. */
export const CHUNK_BYTES = 256 * 1024;
/** Bytes of one message to or from an engine on another machine. */
export const REMOTE_MESSAGE_BYTES = 4 * 1024 * 1024;

export const engineHello = request(
  'hello',
  'daemon→engine',
  'First message on the link, once. `client` names one daemon among those that share a token, also after it lost its link. `boot` changes when the engine was started anew and holds nothing any more. `models` are those that `model/load` may name on a listening engine.',
  z.object({ protocol: versionRange, client: z.string().min(1).max(128).optional() }),
  z.object({
    protocol: z.int(),
    engine: z.object({ version: z.string(), pid: z.int(), device: z.string(), isa: z.string(), threads: z.int() }),
    boot: z.string(),
    models: z.array(z.string()),
    limits: z.object({ messageBytes: z.int().positive(), chunkBytes: z.int().positive() }),
  }),
  {
    params: { protocol: { min: 1, max: 1 }, client: 'c-1' },
    result: { protocol: 1, engine: { version: '0.1.0', pid: 4711, device: 'cpu', isa: 'avx2', threads: 2 }, boot: 'b-7', models: ['seed'], limits: { messageBytes: 4_194_304, chunkBytes: 262_144 } },
  },
);

export const fimTokens = z.object({ prefix: z.int(), suffix: z.int(), middle: z.int(), fileSep: z.int().nullable(), repoName: z.int().nullable() });

export const modelInfo = z.object({
  name: z.string(),
  fingerprint: z.string(),
  architecture: z.string(),
  vocabSize: z.int(),
  maxPositions: z.int(),
  parameters: z.int(),
  dtype: z.string(),
  device: z.string(),
  eos: ids,
  /** Prepended to every prompt by models whose tokenizer says so. */
  bos: z.int().nullable(),
  /** Fill-in-the-middle tokens, where the tokenizer has them. */
  fim: fimTokens.nullable(),
  chat: z.boolean(),
});
export type ModelInfo = z.output<typeof modelInfo>;

const exampleModel: ModelInfo = {
  name: 'seed', fingerprint: '5a…', architecture: 'qwen3', vocabSize: 4096, maxPositions: 2048, parameters: 4_200_000, dtype: 'fp32', device: 'cpu',
  eos: [0], bos: null, fim: { prefix: 3, suffix: 5, middle: 4, fileSep: 8, repoName: 7 }, chat: true,
};

export const modelLoad = request(
  'model/load',
  'daemon→engine',
  'Loads a Hugging Face folder; the one loaded before is dropped with its adapters. A listening engine takes a name of `hello`’s `models` instead of a folder. `memoryBytes` bounds what the engine has in memory while it trains on the CPU.',
  z.object({ dir: z.string(), dtype: z.enum(['fp32', 'bf16', 'int8', 'nf4']).optional(), device: z.enum(['cpu', 'cuda']).optional(), threads: z.int().positive().optional(), isa: z.string().optional(), memoryBytes: z.int().positive().optional() }),
  modelInfo,
  { params: { dir: '/models/seed' }, result: exampleModel },
);

export const tokenize = request(
  'model/tokenize',
  'daemon→engine',
  'Token ids of texts. Special-token spellings inside a text are encoded as plain text unless `special`.',
  z.object({ texts: z.array(z.string()), special: z.boolean().optional() }),
  z.object({ ids: z.array(ids) }),
  { params: { texts: ['const a'] }, result: { ids: [[310, 260]] } },
);

export const detokenize = request(
  'model/detokenize',
  'daemon→engine',
  'Text of token ids, and the byte (UTF-8) at which each token starts; `offsets` has one more entry, the end.',
  z.object({ ids }),
  z.object({ text: z.string(), offsets: z.array(z.int()) }),
  { params: { ids: [310, 260] }, result: { text: 'const a', offsets: [0, 5, 7] } },
);

export const render = request(
  'model/render',
  'daemon→engine',
  'Messages through the model’s chat template.',
  z.object({ messages: z.array(z.object({ role: z.string(), content: z.string() })), addGenerationPrompt: z.boolean() }),
  z.object({ text: z.string(), ids }),
  { params: { messages: [{ role: 'user', content: 'hi' }], addGenerationPrompt: true }, result: { text: '<|im_start|>user\nhi<|im_end|>\n', ids: [1, 77, 2] } },
);

export const sampling = z.object({
  maxTokens: z.int().positive(),
  /** 0 = greedy. */
  temperature: z.number().nonnegative(),
  topK: z.int().positive().optional(),
  topP: z.number().positive().max(1).optional(),
  seed: z.int().optional(),
  stop: z.array(z.string().min(1)).optional(),
  stopIds: ids.optional(),
});
export type Sampling = z.output<typeof sampling>;

/** Typing is served before what is computed ahead of it, that before chat, chat before the judge, everything
 *  before training. */
export const PRIORITY = { typing: 4, ahead: 3, chat: 2, judge: 1, training: 0 } as const;

export const generate = request(
  'generate',
  'daemon→engine',
  'Continues a prompt. Log-probs are of the full softmax at the sampling temperature (1 when greedy). `text` is the raw response; a stop string is included in it. With `schema` the text is JSON that satisfies it (supported: native/src/serve/grammar.h), whatever the model prefers. Cancelling the request ends it within a token.',
  z.object({ prompt: ids.min(1), sampling, adapter, priority: z.int().optional(), stream: z.string().optional(), schema: jsonSchema.optional() }),
  z.object({
    ids,
    logprobs: numbers,
    text: z.string(),
    /** Byte at which each response token starts; one more entry for the end. */
    offsets: z.array(z.int()),
    finishReason: z.enum(['stop', 'eos', 'length', 'cancelled']),
    adapter,
    cachedTokens: z.int(),
  }),
  {
    params: { prompt: [5, 6], sampling: { maxTokens: 8, temperature: 0, stop: ['\n'] }, adapter: 'w/3' },
    result: { ids: [310], logprobs: [-0.2], text: 'const', offsets: [0, 5], finishReason: 'stop', adapter: 'w/3', cachedTokens: 2 },
  },
);
export type GenerateResult = z.output<typeof generate.result>;

export const generateToken = notification(
  'generate/token',
  'engine→daemon',
  'A token of a request that asked for `stream`.',
  z.object({ stream: z.string(), id: z.int(), logprob: z.number().nullable(), text: z.string() }),
  { params: { stream: 'g-1', id: 310, logprob: -0.2, text: 'const' } },
);

export const scoreSequence = z.object({
  ids: ids.min(2),
  /** Positions p ≥ 1 whose ids[p] is scored from row p-1. */
  positions,
  /** Further tokens to score at each position, one list per position. */
  candidates: z.array(ids).optional(),
});

export const score = request(
  'score',
  'daemon→engine',
  'Log-probs of given tokens under an adapter, with the model’s own top-K at each position.',
  z.object({ sequences: z.array(scoreSequence), adapter, temperature: z.number().positive().optional(), topK: z.int().nonnegative().optional(), priority: z.int().optional() }),
  z.object({
    sequences: z.array(
      z.object({
        logprobs: numbers,
        /** [positions][K], best first; empty lists where topK = 0. */
        topIds: z.array(ids),
        topLogprobs: z.array(numbers),
        /** Same shape as the request's `candidates`. */
        candidateLogprobs: z.array(numbers),
      }),
    ),
  }),
  {
    params: { sequences: [{ ids: [1, 2, 3], positions: [2], candidates: [[9]] }], adapter: null, topK: 2 },
    result: { sequences: [{ logprobs: [-1.5], topIds: [[3, 9]], topLogprobs: [[-1.5, -1.7]], candidateLogprobs: [[-1.7]] }] },
  },
);
export type ScoreResult = z.output<typeof score.result>;

const table = z.object({
  positions,
  /** [positions][K]; rows may be ragged. */
  tokens: z.array(ids),
});

/** One training sequence and its loss terms; see learning.md, "Routing and loss", and native/index.ts. */
export const trainSequence = z.object({
  ids: ids.min(2),
  temperature: z.number().positive(),
  pg: z.object({ positions, advantages: numbers, behaviour: numbers.optional(), old: numbers.optional() }).optional(),
  opd: table.extend({ delta: z.array(numbers), weights: z.array(numbers), old: z.array(numbers).optional() }).optional(),
  splice: table.extend({ targets: z.array(numbers) }).optional(),
  kl: z.object({ positions }).optional(),
  ce: z.object({ positions }).optional(),
});
export type TrainSequence = z.output<typeof trainSequence>;

const perTerm = z.object({ pg: z.number().nullable(), opd: z.number().nullable(), splice: z.number().nullable(), kl: z.number().nullable(), ce: z.number().nullable() });
const counts = z.object({ pg: z.int(), opd: z.int(), splice: z.int(), kl: z.int(), ce: z.int() });

export const lossSettings = z.object({
  clipLow: z.number(),
  clipHigh: z.number(),
  klBeta: z.number(),
  ceLambda: z.number(),
  pgWeight: z.number(),
  opdWeight: z.number(),
  spliceWeight: z.number(),
  /** Sequences of the whole step that have each term; a step may take several calls. */
  divisor: counts,
});
export type LossSettings = z.output<typeof lossSettings>;

const exampleCounts = { pg: 1, opd: 0, splice: 0, kl: 1, ce: 0 };

export const forwardBackward = request(
  'train/forwardBackward',
  'daemon→engine',
  'Adds the gradients of some sequences to the adapter’s buffer. Yields to generation between sequences.',
  z.object({ adapter: adapterName, once, sequences: z.array(trainSequence), settings: lossSettings }),
  z.object({ loss: perTerm, positions: counts, effectiveSampleSize: z.number().nullable(), tokens: z.int() }),
  {
    params: {
      adapter: 'train',
      sequences: [{ ids: [1, 2, 3], temperature: 1, pg: { positions: [2], advantages: [-0.25], behaviour: [-1.2] }, kl: { positions: [2] } }],
      settings: { clipLow: 0.2, clipHigh: 0.28, klBeta: 0.05, ceLambda: 0, pgWeight: 1, opdWeight: 1, spliceWeight: 1, divisor: exampleCounts },
    },
    result: { loss: { pg: 0.25, opd: null, splice: null, kl: 0, ce: null }, positions: exampleCounts, effectiveSampleSize: 1, tokens: 3 },
  },
);

export const optimStep = request(
  'train/optimStep',
  'daemon→engine',
  'Clips, takes one AdamW step and zeroes the gradients.',
  z.object({ adapter: adapterName, once, lr: z.number().positive(), beta1: z.number(), beta2: z.number(), eps: z.number(), weightDecay: z.number(), clipNorm: z.number() }),
  z.object({ gradNorm: z.number(), step: z.int() }),
  { params: { adapter: 'train', lr: 3e-4, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0.1, clipNorm: 1 }, result: { gradNorm: 0.8, step: 4 } },
);

export const adapterCreate = request(
  'adapter/create',
  'daemon→engine',
  'A fresh trainable adapter: A random, B zero.',
  z.object({ name: adapterName, once, rank: z.int().positive(), alpha: z.number().positive(), targets: z.array(z.string()), seed: z.int() }),
  empty,
  { params: { name: 'train', rank: 16, alpha: 32, targets: ['q_proj'], seed: 1 }, result: {} },
);

/** The files of an adapter; nothing else is ever stored for one. */
export const adapterFile = z.enum(['adapter_model.safetensors', 'adapter_config.json', 'optimizer.safetensors']);
export type AdapterFile = z.output<typeof adapterFile>;

export const adapterLoad = request(
  'adapter/load',
  'daemon→engine',
  'Reads a PEFT adapter under a name: a folder of this machine (`dir`), or on a listening engine `files` that were sent before, by their sha256; with `training`, optimizer state too. A name in use is replaced between two tokens: requests in flight end on what they began with.',
  z.object({ name: adapterName, once, dir: z.string().optional(), files: z.partialRecord(adapterFile, sha256).optional(), training: z.boolean().optional() }),
  empty,
  { params: { name: 'w/3', dir: '/home/u/.hindsight/adapters/w/3' }, result: {} },
);

const storedFile = z.object({ name: z.string(), bytes: z.int().nonnegative(), sha256 });
export type StoredFile = z.output<typeof storedFile>;

export const adapterWrite = request(
  'adapter/write',
  'daemon→engine',
  'Writes PEFT files, and optimizer state if asked: into an existing empty folder of this machine (`dir`), or on a listening engine into `files`, to be read with `file/read`.',
  z.object({ name: adapterName, once, dir: z.string().optional(), optimizer: z.boolean().optional() }),
  z.object({ files: z.array(storedFile) }),
  { params: { name: 'train', optimizer: true }, result: { files: [{ name: 'adapter_model.safetensors', bytes: 1_048_576, sha256: '5a'.repeat(32) }] } },
);

export const adapterDelete = request(
  'adapter/delete',
  'daemon→engine',
  'Forgets a name; requests in flight end on what they began with.',
  z.object({ name: adapterName, once }),
  empty,
  { params: { name: 'w/2' }, result: {} },
);

export const modelFiles = request(
  'model/files',
  'daemon→engine',
  'The tokenizer’s files of a listening engine’s loaded model, so that texts are tokenized where they are and only ids travel.',
  empty,
  z.object({ files: z.array(storedFile) }),
  { params: {}, result: { files: [{ name: 'tokenizer.json', bytes: 7_031_645, sha256: '5a'.repeat(32) }] } },
);

export const fileOpen = request(
  'file/open',
  'daemon→engine',
  'Begins or resumes sending a file of this hash and size: the answer says how many bytes of it are there already.',
  z.object({ sha256, bytes: z.int().nonnegative() }),
  z.object({ offset: z.int().nonnegative() }),
  { params: { sha256: '5a'.repeat(32), bytes: 1_048_576 }, result: { offset: 524_288 } },
);

export const fileWrite = request(
  'file/write',
  'daemon→engine',
  'The next bytes of a file, base64; a chunk that is there already is ignored. With the last one the hash is checked.',
  z.object({ sha256, offset: z.int().nonnegative(), data: z.base64() }),
  z.object({ offset: z.int().nonnegative() }),
  { params: { sha256: '5a'.repeat(32), offset: 524_288, data: 'AAAA' }, result: { offset: 524_291 } },
);

export const fileRead = request(
  'file/read',
  'daemon→engine',
  'Bytes of a file that `adapter/write` or `model/files` named, base64, at most `chunkBytes`.',
  z.object({ sha256, offset: z.int().nonnegative() }),
  z.object({ data: z.base64() }),
  { params: { sha256: '5a'.repeat(32), offset: 0 }, result: { data: 'AAAA' } },
);

export const engineMetrics = request(
  'metrics',
  'daemon→engine',
  'What the engine holds and how busy it is.',
  empty,
  z.object({ queued: z.int(), cacheTokens: z.int(), cacheBytes: z.int(), peakRssBytes: z.int(), adapters: z.array(z.string()) }),
  { params: {}, result: { queued: 0, cacheTokens: 812, cacheBytes: 3_325_952, peakRssBytes: 90_000_000, adapters: ['w/3'] } },
);

export const engineMessages = [
  engineHello, modelLoad, tokenize, detokenize, render, generate, generateToken, score,
  forwardBackward, optimStep, adapterCreate, adapterLoad, adapterWrite, adapterDelete, modelFiles, fileOpen, fileWrite, fileRead, engineMetrics,
] as const;
