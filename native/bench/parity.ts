/**
 * Numerical parity with transformers and peft: for a fixture folder (config.json, model, adapter/,
 * expected.json, expected.safetensors; testdata/parity/README.md) everything in `expected` is
 * computed by the engine and compared. Nothing here knows one fixture from another.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readTensors, store, values, writeTensors } from '../io/safetensors.ts';
import type { StoredTensor } from '../io/safetensors.ts';
import { loadNative } from '../index.ts';
import type { Isa, LossSettings, NativeModel, ScoreResult, Tensor, TrainSequence } from '../index.ts';

export interface ParityOptions {
  isa?: Isa;
  threads?: number;
  /** File to write every computed tensor to, under its name in `expected`. With several fixtures
   *  the fixture's name goes before the extension. */
  dump?: string;
}

export interface ParityCheck {
  name: string;
  /** Largest absolute difference. */
  max: number;
  /** ‖a-b‖/‖b‖ over the tensor; the difference itself where b is zero. */
  relative: number;
  bar: number;
  pass: boolean;
}

export interface ParityFixture {
  name: string;
  pass: boolean;
  checks: ParityCheck[];
}

export interface ParityReport {
  bench: 'parity';
  isa: Isa;
  threads: number;
  fixtures: ParityFixture[];
  pass: boolean;
}

interface Expected {
  temperature: number;
  clip: [number, number];
  kl_beta: number;
  topk: number;
  delta_clip: number;
  loss_pg: number;
  loss_opd: number;
  loss_ce: number;
  grad_norm_pg: number;
  adamw: { lr: number; betas: [number, number]; eps: number; weight_decay: number; clip_norm: number };
}

const LOGIT_BAR = 1e-4;
const GRADIENT_BAR = 1e-3;
const LOSS_BAR = 1e-4;
const ADAMW_BAR = 1e-6;

/** @param dir one fixture, or a folder of fixtures */
export async function runParity(dir: string, options: ParityOptions = {}): Promise<ParityReport> {
  const root = resolve(dir);
  const folders = isFixture(root) ? [root] : readdirSync(root).sort().map((name) => join(root, name)).filter(isFixture);
  if (folders.length === 0)
    throw Object.assign(new Error(`${dir} holds no parity fixture with expected.json and expected.safetensors: give the folder of one fixture or of several.`), { code: 'BAD_ARGUMENT' });
  const native = loadNative();
  const fixtures: ParityFixture[] = [];
  let isa: Isa = 'reference';
  let threads = 1;
  for (const folder of folders) {
    const model = await native.load({ dir: folder, ...(options.isa && { isa: options.isa }), ...(options.threads && { threads: options.threads }) });
    ({ isa, threads } = model.info);
    try {
      const run = new FixtureRun(folder, model);
      fixtures.push(await run.compare());
      if (options.dump) writeTensors(dumpPath(options.dump, folders.length > 1 ? basename(folder) : ''), run.computed);
    } finally {
      model.close();
    }
  }
  return { bench: 'parity', isa, threads, fixtures, pass: fixtures.every((fixture) => fixture.pass) };
}

function isFixture(dir: string): boolean {
  return existsSync(join(dir, 'expected.json')) && existsSync(join(dir, 'expected.safetensors'));
}

function dumpPath(path: string, fixture: string): string {
  if (!fixture) return path;
  return path.endsWith('.safetensors') ? path.replace(/\.safetensors$/, `.${fixture}.safetensors`) : `${path}.${fixture}.safetensors`;
}

class FixtureRun {
  readonly computed = new Map<string, StoredTensor>();
  readonly #dir: string;
  readonly #model: NativeModel;
  readonly #expected: Map<string, StoredTensor>;
  readonly #numbers: Expected;
  readonly #checks: ParityCheck[] = [];
  readonly #batch: number;
  readonly #length: number;

  constructor(dir: string, model: NativeModel) {
    this.#dir = dir;
    this.#model = model;
    this.#expected = readTensors(join(dir, 'expected.safetensors')).tensors;
    this.#numbers = JSON.parse(readFileSync(join(dir, 'expected.json'), 'utf8')) as Expected;
    const [batch = 0, length = 0] = this.#stored('input_ids').shape;
    this.#batch = batch;
    this.#length = length;
  }

  async compare(): Promise<ParityFixture> {
    const adapter = await this.#model.loadAdapter(join(this.#dir, 'adapter'), true);
    await this.#logits(adapter);
    await this.#scores(adapter);
    for (const term of ['pg', 'opd', 'ce'] as const) await this.#gradients(adapter, term);
    await this.#adamw(adapter);
    return { name: basename(this.#dir), pass: this.#checks.every((check) => check.pass), checks: this.#checks };
  }

  async #logits(adapter: number): Promise<void> {
    for (const [name, handle] of [['base_logits', 0], ['adapter_logits', adapter]] as const) {
      const rows: number[] = [];
      for (let b = 0; b < this.#batch; b++) {
        // One token more, so that the last row has a position that it predicts.
        const ids = Int32Array.of(...this.#ids(b), 0);
        const { logits } = await this.#model.score({ ids, positions: range(1, ids.length), adapter: handle, logits: true });
        for (const value of logits) rows.push(value);
      }
      this.#check(name, rows, LOGIT_BAR);
    }
  }

  async #scores(adapter: number): Promise<void> {
    const { temperature, topk } = this.#numbers;
    const positions = range(1, this.#length);
    const students: ScoreResult[] = [];
    const references: ScoreResult[] = [];
    const teachers: ScoreResult[] = [];
    for (let b = 0; b < this.#batch; b++) {
      const ids = this.#ids(b);
      students.push(await this.#model.score({ ids, positions, temperature, topK: topk, adapter }));
      references.push(await this.#model.score({ ids, positions, temperature }));
      const hint = this.#row('hint_ids', b);
      const candidates = Int32Array.from(this.#row('topk_ids', b));
      teachers.push(await this.#model.score({ ids: Int32Array.of(...hint, ...ids), positions: positions.map((p) => p + hint.length), temperature, candidates }));
    }
    this.#check('logprobs', concat(students.map((s) => s.logprobs)), LOGIT_BAR);
    this.#check('reference_logprobs', concat(references.map((s) => s.logprobs)), LOGIT_BAR);
    this.#check('topk_ids', concat(students.map((s) => s.topIds)), 0);
    this.#check('topk_logprobs', concat(students.map((s) => s.topLogprobs)), LOGIT_BAR);
    this.#check('teacher_topk_logprobs', concat(teachers.map((s) => s.candidateLogprobs)), LOGIT_BAR);
  }

  async #gradients(adapter: number, term: 'pg' | 'opd' | 'ce'): Promise<void> {
    await this.#model.zeroGradients(adapter);
    const { temperature, clip, kl_beta } = this.#numbers;
    const sequences = Array.from({ length: this.#batch }, (_, b): TrainSequence => {
      const responses = this.#responses(b);
      return { ids: this.#ids(b), temperature, ...this.#term(term, b, responses) };
    });
    const n = this.#batch;
    const settings: LossSettings = {
      clipLow: clip[0], clipHigh: clip[1], klBeta: kl_beta, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1,
      divisor: { pg: n, opd: n, splice: n, kl: n, ce: n },
    };
    const { loss } = await this.#model.forwardBackward(adapter, sequences, settings);
    const total = term === 'pg' ? loss.pg + loss.kl : loss[term];
    this.#number(`loss_${term}`, total, this.#numbers[`loss_${term}`], LOSS_BAR);
    const gradients = await this.#model.gradients(adapter);
    for (const tensor of gradients) this.#check(`grad_${term}.${tensor.name}`, tensor.data, GRADIENT_BAR, 'relative');
    if (term === 'pg') {
      const norm = Math.sqrt(gradients.reduce((sum, tensor) => sum + tensor.data.reduce((s, v) => s + v * v, 0), 0));
      this.#number('grad_norm_pg', norm, this.#numbers.grad_norm_pg, GRADIENT_BAR);
    }
    await this.#model.zeroGradients(adapter);
  }

  #term(term: 'pg' | 'opd' | 'ce', b: number, responses: Int32Array): Partial<TrainSequence> {
    const pick = (name: string, width = 1): Float32Array => {
      const row = this.#row(name, b);
      return Float32Array.from(Array.from(responses).flatMap((p) => Array.from(row.subarray((p - 1) * width, p * width))));
    };
    if (term === 'ce') return { ce: { positions: responses } };
    if (term === 'pg') {
      const old = pick('behaviour_logprobs');
      return {
        pg: { positions: responses, advantages: pick('advantages'), old },
        kl: { positions: responses, reference: pick('reference_logprobs') },
      };
    }
    const k = this.#numbers.topk;
    const student = pick('topk_logprobs', k);
    const teacher = pick('teacher_topk_logprobs', k);
    const bound = this.#numbers.delta_clip;
    return {
      opd: {
        positions: responses,
        k,
        tokens: Int32Array.from(pick('topk_ids', k)),
        delta: student.map((s, i) => Math.max(-bound, Math.min(bound, (teacher[i] ?? NaN) - s))),
        weights: softmaxRows(student, k),
      },
    };
  }

  /** One step on the fixture's own gradients: the first step is sign-like and magnifies rounding. */
  async #adamw(adapter: number): Promise<void> {
    const given: Tensor[] = (await this.#model.gradients(adapter)).map((tensor) => ({ ...tensor, data: values(this.#stored(`grad_pg.${tensor.name}`)) }));
    await this.#model.setGradients(adapter, given);
    const { lr, betas, eps, weight_decay, clip_norm } = this.#numbers.adamw;
    await this.#model.optimStep(adapter, { lr, beta1: betas[0], beta2: betas[1], eps, weightDecay: weight_decay, clipNorm: clip_norm });
    for (const tensor of await this.#model.adapterTensors(adapter)) this.#check(`adamw.${tensor.name}`, tensor.data, ADAMW_BAR);
  }

  #stored(name: string): StoredTensor {
    const tensor = this.#expected.get(name);
    if (!tensor) throw new Error(`${this.#dir}/expected.safetensors lacks "${name}": make the fixture again.`);
    return tensor;
  }

  #row(name: string, b: number): Float32Array {
    const tensor = this.#stored(name);
    const size = tensor.shape.slice(1).reduce((product, d) => product * d, 1);
    return values(tensor).subarray(b * size, (b + 1) * size);
  }

  #ids(b: number): Int32Array {
    return Int32Array.from(this.#row('input_ids', b));
  }

  #responses(b: number): Int32Array {
    const mask = this.#row('response_mask', b);
    return range(1, this.#length).filter((p) => mask[p] === 1);
  }

  #check(name: string, actual: ArrayLike<number>, bar: number, measure: 'max' | 'relative' = 'max'): void {
    const stored = this.#stored(name);
    const wanted = values(stored);
    let max = actual.length === wanted.length ? 0 : Infinity;
    let squares = max;
    let norm = 0;
    wanted.forEach((value, i) => {
      const difference = Math.abs((actual[i] ?? NaN) - value);
      if (!(difference <= max)) max = difference;
      squares += difference * difference;
      norm += value * value;
    });
    const relative = norm > 0 ? Math.sqrt(squares / norm) : max;
    this.#checks.push({ name, max, relative, bar, pass: (measure === 'max' ? max : relative) <= bar });
    this.computed.set(name, store(actual, stored.shape, stored.dtype));
  }

  #number(name: string, actual: number, wanted: number, bar: number): void {
    const max = Math.abs(actual - wanted);
    const relative = max / Math.max(Math.abs(wanted), 1e-30);
    this.#checks.push({ name, max, relative, bar, pass: Math.min(max, relative) <= bar });
  }
}

function range(first: number, end: number): Int32Array {
  return Int32Array.from({ length: end - first }, (_, i) => first + i);
}

function concat(parts: readonly ArrayLike<number>[]): number[] {
  return parts.flatMap((part) => Array.from(part));
}

function softmaxRows(logprobs: Float32Array, k: number): Float32Array {
  const out = new Float32Array(logprobs.length);
  for (let start = 0; start < logprobs.length; start += k) {
    const row = logprobs.subarray(start, start + k);
    const peak = Math.max(...row);
    const sum = row.reduce((s, v) => s + Math.exp(v - peak), 0);
    row.forEach((v, i) => (out[start + i] = Math.exp(v - peak) / sum));
  }
  return out;
}
