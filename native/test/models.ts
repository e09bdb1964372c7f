/** Random models of any shape, written as Hugging Face folders: what fixtures cannot cover. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { store, writeTensors } from '../io/safetensors.ts';
import type { StoredDtype, StoredTensor } from '../io/safetensors.ts';

export interface Shape {
  architecture: 'llama' | 'qwen2' | 'qwen3';
  vocab: number;
  hidden: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediate: number;
  maxPositions?: number;
  tied?: boolean;
  /** Llama: attention_bias and mlp_bias. */
  biases?: boolean;
  dtype?: StoredDtype;
  /** Number of safetensors files. */
  shards?: number;
  /** More keys of config.json, or other values of the usual ones. */
  config?: Record<string, unknown>;
}

export const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export const SMALL: Shape = { architecture: 'qwen3', vocab: 211, hidden: 48, layers: 2, heads: 4, kvHeads: 2, headDim: 16, intermediate: 80, tied: true };

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'hindsight-native-'));
}

/** Deterministic numbers in (-1, 1). */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

export function randomIds(shape: { vocab: number }, length: number, seed = 1): Int32Array {
  const next = noise(seed);
  return Int32Array.from({ length }, () => Math.floor(((next() + 1) / 2) * shape.vocab) % shape.vocab);
}

export function tensorsOf(shape: Shape, seed = 5): Map<string, StoredTensor> {
  const next = noise(seed);
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, dims: number[], scale: number, offset = 0): void => {
    const size = dims.reduce((product, d) => product * d, 1);
    tensors.set(name, store(Float32Array.from({ length: size }, () => offset + scale * next()), dims, shape.dtype));
  };
  const q = shape.heads * shape.headDim;
  const kv = shape.kvHeads * shape.headDim;
  add('model.embed_tokens.weight', [shape.vocab, shape.hidden], 1);
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const linear = (name: string, rows: number, cols: number, bias: boolean): void => {
      add(`${prefix}${name}.weight`, [rows, cols], 1.5 / Math.sqrt(cols));
      if (bias) add(`${prefix}${name}.bias`, [rows], 0.5);
    };
    const attentionBias = shape.architecture === 'qwen2' || (shape.biases ?? false);
    const otherBias = shape.architecture === 'llama' && (shape.biases ?? false);
    linear('self_attn.q_proj', q, shape.hidden, attentionBias);
    linear('self_attn.k_proj', kv, shape.hidden, attentionBias);
    linear('self_attn.v_proj', kv, shape.hidden, attentionBias);
    linear('self_attn.o_proj', shape.hidden, q, otherBias);
    linear('mlp.gate_proj', shape.intermediate, shape.hidden, otherBias);
    linear('mlp.up_proj', shape.intermediate, shape.hidden, otherBias);
    linear('mlp.down_proj', shape.hidden, shape.intermediate, otherBias);
    add(`${prefix}input_layernorm.weight`, [shape.hidden], 0.2, 1);
    add(`${prefix}post_attention_layernorm.weight`, [shape.hidden], 0.2, 1);
    if (shape.architecture === 'qwen3') {
      add(`${prefix}self_attn.q_norm.weight`, [shape.headDim], 0.2, 1);
      add(`${prefix}self_attn.k_norm.weight`, [shape.headDim], 0.2, 1);
    }
  }
  add('model.norm.weight', [shape.hidden], 0.2, 1);
  if (!shape.tied) add('lm_head.weight', [shape.vocab, shape.hidden], 1.5 / Math.sqrt(shape.hidden));
  return tensors;
}

export function configOf(shape: Shape): Record<string, unknown> {
  return {
    model_type: shape.architecture, vocab_size: shape.vocab, hidden_size: shape.hidden, num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads, num_key_value_heads: shape.kvHeads, head_dim: shape.headDim, intermediate_size: shape.intermediate,
    max_position_embeddings: shape.maxPositions ?? 512, rms_norm_eps: 1e-6, rope_theta: 10000, hidden_act: 'silu', tie_word_embeddings: shape.tied ?? false,
    ...(shape.architecture === 'llama' && { attention_bias: shape.biases ?? false, mlp_bias: shape.biases ?? false }),
    ...shape.config,
  };
}

/** Writes the folder; @returns its path. */
export function writeModel(shape: Shape, seed = 5, dir = temporaryFolder()): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify(configOf(shape)));
  const tensors = tensorsOf(shape, seed);
  const shards = shape.shards ?? 1;
  if (shards === 1) {
    writeTensors(join(dir, 'model.safetensors'), tensors, { format: 'pt' });
    return dir;
  }
  const map: Record<string, string> = {};
  const parts = Array.from({ length: shards }, () => new Map<string, StoredTensor>());
  [...tensors].forEach(([name, tensor], i) => {
    parts[i % shards]?.set(name, tensor);
    map[name] = `model-${i % shards}.safetensors`;
  });
  parts.forEach((part, i) => writeTensors(join(dir, `model-${i}.safetensors`), part, { format: 'pt' }));
  writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
  return dir;
}

/** A PEFT folder with random A and B for every target. */
export function writeAdapterFolder(shape: Shape, options: { rank?: number; alpha?: number; targets?: string[]; dtype?: StoredDtype; config?: Record<string, unknown>; seed?: number } = {}): string {
  const { rank = 3, alpha = 6, targets = TARGETS, dtype = 'F32', config = {}, seed = 9 } = options;
  const dir = temporaryFolder();
  const next = noise(seed);
  const tensors = new Map<string, StoredTensor>();
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const target of targets) {
      const [n, k] = linearShape(shape, target);
      const parent = ['gate_proj', 'up_proj', 'down_proj'].includes(target) ? 'mlp' : 'self_attn';
      const prefix = `base_model.model.model.layers.${layer}.${parent}.${target}.`;
      tensors.set(`${prefix}lora_A.weight`, store(Float32Array.from({ length: rank * k }, () => next() / Math.sqrt(k)), [rank, k], dtype));
      tensors.set(`${prefix}lora_B.weight`, store(Float32Array.from({ length: n * rank }, () => 0.3 * next()), [n, rank], dtype));
    }
  }
  writeTensors(join(dir, 'adapter_model.safetensors'), tensors, { format: 'pt' });
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: rank, lora_alpha: alpha, target_modules: targets, ...config }, null, 2));
  return dir;
}

function linearShape(shape: Shape, target: string): [number, number] {
  const q = shape.heads * shape.headDim;
  const kv = shape.kvHeads * shape.headDim;
  switch (target) {
    case 'q_proj': return [q, shape.hidden];
    case 'k_proj':
    case 'v_proj': return [kv, shape.hidden];
    case 'o_proj': return [shape.hidden, q];
    case 'down_proj': return [shape.hidden, shape.intermediate];
    default: return [shape.intermediate, shape.hidden];
  }
}

/** Positions first .. end-1. */
export function span(first: number, end: number): Int32Array {
  return Int32Array.from({ length: end - first }, (_, i) => first + i);
}

export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let max = a.length === b.length ? 0 : Infinity;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? NaN) - (b[i] ?? NaN));
    if (!(difference <= max)) max = difference;
  }
  return max;
}
