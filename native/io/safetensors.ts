/**
 * A small safetensors reader and writer for tests and benchmarks; the engine has its own in C++.
 * Layout: 8 bytes of header length, a JSON header, raw little-endian tensors.
 */
import { readFileSync, writeFileSync } from 'node:fs';

export type StoredDtype = 'F32' | 'F16' | 'BF16' | 'I64' | 'I32';

export interface StoredTensor {
  dtype: StoredDtype;
  shape: number[];
  bytes: Uint8Array;
}

export interface TensorFile {
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
}

interface HeaderEntry {
  dtype: StoredDtype;
  shape: number[];
  data_offsets: [number, number];
}

export function readTensors(path: string): TensorFile {
  const file = readFileSync(path);
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, headerEnd)) as Record<string, HeaderEntry | Record<string, string>>;
  const tensors = new Map<string, StoredTensor>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = value as Record<string, string>;
      continue;
    }
    const entry = value as HeaderEntry;
    const [begin, end] = entry.data_offsets;
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes: new Uint8Array(file.subarray(headerEnd + begin, headerEnd + end)) });
  }
  return { tensors, metadata };
}

export function writeTensors(path: string, tensors: ReadonlyMap<string, StoredTensor>, metadata: Record<string, string> = {}): void {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const [name, tensor] of tensors) {
    header[name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + tensor.bytes.length] };
    offset += tensor.bytes.length;
  }
  const text = JSON.stringify(header);
  const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  writeFileSync(path, Buffer.concat([length, head, ...[...tensors.values()].map((tensor) => tensor.bytes)]));
}

/** Float32 values as a stored tensor; F16 and BF16 are rounded to nearest even. */
export function store(values: ArrayLike<number>, shape: number[], dtype: StoredDtype = 'F32'): StoredTensor {
  const floats = Float32Array.from(values);
  if (dtype === 'F32') return { dtype, shape, bytes: new Uint8Array(floats.buffer) };
  if (dtype === 'I32') return { dtype, shape, bytes: new Uint8Array(Int32Array.from(values).buffer) };
  if (dtype === 'I64') return { dtype, shape, bytes: new Uint8Array(BigInt64Array.from(Array.from(values), (v) => BigInt(v)).buffer) };
  const bits = new Uint32Array(floats.buffer);
  const halves = Uint16Array.from(bits, (word) => (dtype === 'BF16' ? (word + 0x7fff + ((word >>> 16) & 1)) >>> 16 : halfBits(word)));
  return { dtype, shape, bytes: new Uint8Array(halves.buffer) };
}

/** Any stored tensor as numbers. */
export function values(tensor: StoredTensor): Float32Array {
  const buffer = tensor.bytes.slice().buffer;
  switch (tensor.dtype) {
    case 'F32': return new Float32Array(buffer);
    case 'I32': return Float32Array.from(new Int32Array(buffer));
    case 'I64': return Float32Array.from(new BigInt64Array(buffer), Number);
    case 'BF16': return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer);
    case 'F16': return Float32Array.from(new Uint16Array(buffer), fromHalf);
  }
}

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    const value = new Float32Array(Uint32Array.of(magnitude).buffer)[0] ?? 0;
    const scaled = value * 2 ** 24;
    const floor = Math.floor(scaled);
    const up = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 === 1);
    return sign | (up ? floor + 1 : floor);
  }
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return exponent === 31 ? (mantissa ? NaN : sign * Infinity) : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
