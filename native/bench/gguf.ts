/**
 * Writes a GGUF file of a Llama or Qwen2 shape with random weights and a made-up vocabulary, for llama.cpp as the peer
 * of `hindsight bench`: it measures rates, so only the shapes and the storage types must be real.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { ModelInfo } from '../index.ts';

export type GgufType = 'q8_0' | 'f16';
type Stored = GgufType | 'f32';
const ALIGNMENT = 32;
/** Numbers per block and bytes per block; the id is GGML's. */
const TYPES: Record<Stored, { id: number; block: number; bytes: number }> = { f32: { id: 0, block: 1, bytes: 4 }, f16: { id: 1, block: 1, bytes: 2 }, q8_0: { id: 8, block: 32, bytes: 34 } };
/** Numbers of the pattern that fills every tensor. */
const PATTERN = 1 << 18;

interface Tensor {
  name: string;
  /** Inputs first. */
  dims: number[];
  type: Stored;
}
type Value = string | { int: number } | { float: number } | readonly string[] | { ints: readonly number[] };

export function writeGguf(file: string, info: ModelInfo, type: GgufType): void {
  const tensors = tensorsOf(info, type);
  const meta = metadata(info);
  const bytes = new Bytes();
  bytes.raw(Buffer.from('GGUF')).u32(3).u64(tensors.length).u64(meta.length);
  for (const [key, value] of meta) bytes.string(key).value(value);
  let offset = 0;
  for (const tensor of tensors) {
    bytes.string(tensor.name).u32(tensor.dims.length);
    for (const size of tensor.dims) bytes.u64(size);
    bytes.u32(TYPES[tensor.type].id).u64(offset);
    offset += padded(bytesOf(tensor));
  }
  const fd = openSync(file, 'w');
  try {
    const head = bytes.join();
    writeSync(fd, Buffer.concat([head, Buffer.alloc(padded(head.length) - head.length)]));
    const fill = { f32: pattern('f32'), f16: pattern('f16'), q8_0: pattern('q8_0') };
    for (const tensor of tensors) {
      const from = fill[tensor.type];
      const size = bytesOf(tensor);
      for (let left = size; left > 0; left -= from.length) writeSync(fd, from, 0, Math.min(left, from.length));
      writeSync(fd, Buffer.alloc(padded(size) - size));
    }
  } finally {
    closeSync(fd);
  }
}

const padded = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

function bytesOf({ dims, type }: Tensor): number {
  const { block, bytes } = TYPES[type];
  return (dims.reduce((product, size) => product * size, 1) / block) * bytes;
}

function tensorsOf(info: ModelInfo, type: GgufType): Tensor[] {
  const { hiddenSize: h, layers, heads, kvHeads, headDim, intermediateSize: inner, vocabSize } = info;
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const vector = (name: string, size: number): Tensor => ({ name, dims: [size], type: 'f32' });
  const matrix = (name: string, inputs: number, outputs: number): Tensor => ({ name, dims: [inputs, outputs], type });
  const list = [matrix('token_embd.weight', h, vocabSize), vector('output_norm.weight', h)];
  for (let i = 0; i < layers; i++) {
    const name = (part: string): string => `blk.${i}.${part}`;
    list.push(vector(name('attn_norm.weight'), h), vector(name('ffn_norm.weight'), h));
    for (const [part, outputs] of [['attn_q', q], ['attn_k', kv], ['attn_v', kv]] as const) {
      list.push(matrix(name(`${part}.weight`), h, outputs));
      if (info.architecture === 'qwen2') list.push(vector(name(`${part}.bias`), outputs));
    }
    list.push(matrix(name('attn_output.weight'), q, h), matrix(name('ffn_gate.weight'), h, inner), matrix(name('ffn_up.weight'), h, inner), matrix(name('ffn_down.weight'), inner, h));
  }
  return list;
}

function metadata({ architecture: kind, hiddenSize, layers, heads, kvHeads, headDim, intermediateSize, vocabSize }: ModelInfo): [string, Value][] {
  return [
    ['general.architecture', kind], [`${kind}.block_count`, { int: layers }], [`${kind}.context_length`, { int: 4096 }], [`${kind}.embedding_length`, { int: hiddenSize }],
    [`${kind}.feed_forward_length`, { int: intermediateSize }], [`${kind}.attention.head_count`, { int: heads }], [`${kind}.attention.head_count_kv`, { int: kvHeads }],
    [`${kind}.rope.dimension_count`, { int: headDim }], [`${kind}.attention.layer_norm_rms_epsilon`, { float: 1e-6 }], [`${kind}.rope.freq_base`, { float: 1e6 }], [`${kind}.vocab_size`, { int: vocabSize }],
    ['tokenizer.ggml.model', 'gpt2'], ['tokenizer.ggml.pre', 'qwen2'],
    ['tokenizer.ggml.tokens', Array.from({ length: vocabSize }, (_, i) => (i < 256 ? String.fromCodePoint(i < 33 ? 256 + i : i) : `t${i}`))],
    ['tokenizer.ggml.token_type', { ints: Array.from({ length: vocabSize }, () => 1) }], ['tokenizer.ggml.merges', ['t 1']],
    ['tokenizer.ggml.bos_token_id', { int: vocabSize - 2 }], ['tokenizer.ggml.eos_token_id', { int: vocabSize - 1 }],
  ];
}

/** Ones for norms, small numbers of both signs for matrices. */
function pattern(type: Stored): Buffer {
  const { block, bytes } = TYPES[type];
  const out = Buffer.alloc((PATTERN / block) * bytes);
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
  for (let at = 0; at < out.length; at += bytes) {
    if (type === 'f32') out.writeFloatLE(1, at);
    else if (type === 'f16') out.writeUInt16LE((next() & 1) * 0x8000 + 0x2000 + (next() & 0x7ff), at);
    else {
      out.writeUInt16LE(0x0c00, at);
      for (let i = 2; i < bytes; i++) out[at + i] = next() & 0xff;
    }
  }
  return out;
}

class Bytes {
  private readonly parts: Buffer[] = [];
  raw(part: Buffer): this {
    this.parts.push(part);
    return this;
  }
  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.raw(part);
  }
  u64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.raw(part);
  }
  string(text: string): this {
    const part = Buffer.from(text);
    return this.u64(part.length).raw(part);
  }
  /** A value behind the number of its type. */
  value(value: Value): this {
    if (typeof value === 'string') return this.u32(8).string(value);
    if ('int' in value) return this.u32(4).u32(value.int);
    if ('float' in value) {
      const part = Buffer.alloc(4);
      part.writeFloatLE(value.float);
      return this.u32(6).raw(part);
    }
    if ('ints' in value) return this.u32(9).u32(5).u64(value.ints.length).raw(Buffer.from(Int32Array.from(value.ints).buffer));
    this.u32(9).u32(8).u64(value.length);
    for (const text of value) this.string(text);
    return this;
  }
  join(): Buffer {
    return Buffer.concat(this.parts);
  }
}
