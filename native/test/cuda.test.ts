/** The CUDA backend without a GPU: its kernels, compiled as plain C++, run on this processor, each in two
 *  orders of lanes that must agree bit for bit (native/test/cuda/emulator); the whole engine on them against
 *  the numbers of transformers and peft; and the way there from JavaScript. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { LossSettings, ModelInfo } from '../index.ts';
import { buildEmulator } from './cuda/build.ts';
import { randomIds, span, temporaryFolder } from './models.ts';

const FULL = process.env['HINDSIGHT_FULL'] === '1';
const FIXTURES = join(import.meta.dirname, '../../testdata/parity');
const SETTINGS: LossSettings = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0.1, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 2, opd: 2, splice: 2, kl: 1, ce: 2 } };
let build = '';

beforeAll(async () => {
  build = await buildEmulator();
  process.env['HINDSIGHT_CUDA_LIBRARY'] = join(build, 'hindsight_cuda.so');
}, 600_000);

interface Line {
  op?: string;
  check?: string;
  pass?: boolean;
  checks?: number;
  failures?: number;
}

/** The JSON lines a program prints. */
async function lines(program: string, args: string[]): Promise<Line[]> {
  const child = spawn(join(build, program), args, { env: process.env });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise((resolve) => child.on('close', resolve));
  return text.trim().split('\n').map((line) => (line.startsWith('{') ? (JSON.parse(line) as Line) : { op: line, pass: false }));
}

function proof(found: Line[]): { failed: Line[]; checks: number } {
  return { failed: found.filter(({ pass }) => pass === false), checks: found.at(-1)?.checks ?? 0 };
}

describe('kernels', () => {
  test('every op agrees with the reference on random shapes, whatever the order of lanes', async () => {
    const rounds = FULL ? 40 : 1;
    const found = await lines('cuda_ops', [String(rounds)]);
    const { failed, checks } = proof(found);
    expect(failed).toEqual([]);
    expect(checks).toBeGreaterThan(55 * rounds);
    const ops = new Set(found.map(({ op }) => op));
    for (const op of ['forward', 'gradient', 'outer', 'forward int8', 'gradient nf4', 'gemv', 'attention', 'attentionBackward.dk', 'rmsnormBackward', 'swigluBackward', 'loss gradient', 'scores', 'sampling', 'adamw', 'packLora', 'embed nf4']) expect(ops).toContain(op);
  }, 600_000);
});

describe('engine', () => {
  const names = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const cases = names.flatMap((name) => ['fp32', 'bf16', 'int8', 'nf4'].map((dtype) => ({ name, dtype })));
  const reduced = [{ name: 'qwen3', dtype: 'fp32' }, { name: 'llama3-rope', dtype: 'bf16' }, { name: 'qwen2', dtype: 'nf4' }];
  test.each(FULL ? cases : reduced)('$name in $dtype: logits, losses, gradients, AdamW, generation, checkpointing', async ({ name, dtype }) => {
    const { failed, checks } = proof(await lines('cuda_engine', [FIXTURES, dtype, name]));
    expect(failed).toEqual([]);
    expect(checks).toBeGreaterThan(10);
  }, 300_000);
});

describe('from JavaScript', () => {
  test('load, train, publish, generate, score and write, beside the same on the CPU', async () => {
    const { learned, info } = await journey('cuda');
    expect(info.device).toBe('cuda');
    expect(info.deviceText).toMatch(/emulated device.*fp32 base: .* GB of /);
    const cpu = await journey('cpu');
    expect(info.fingerprint).toBe(cpu.info.fingerprint);
    for (const key of ['loss', 'gradNorm', 'logprobs', 'weights'] as const) {
      const [mine, theirs] = [learned[key], cpu.learned[key]];
      mine.forEach((value, i) => expect(Math.abs(value - (theirs[i] ?? NaN)), `${key} ${i}`).toBeLessThan(1e-3));
    }
    expect(learned.tokens).toEqual(cpu.learned.tokens);
  }, 120_000);
});

interface Learned {
  loss: number[];
  gradNorm: number[];
  logprobs: number[];
  weights: number[];
  tokens: number[];
}

/** Two steps with a clone that serves meanwhile, through the public interface. */
async function journey(device: 'cpu' | 'cuda'): Promise<{ info: ModelInfo; learned: Learned }> {
  const model = await loadNative().load({ dir: join(FIXTURES, 'qwen3'), device, dtype: 'fp32', threads: 1, trainTokens: 64, maxRank: 4, cacheBytes: 1 << 21 });
  try {
    const adapter = await model.loadAdapter(join(FIXTURES, 'qwen3', 'adapter'), true);
    const ids = randomIds({ vocab: model.info.vocabSize }, 40);
    const positions = span(10, 40);
    const learned: Learned = { loss: [], gradNorm: [], logprobs: [], weights: [], tokens: [] };
    for (let step = 0; step < 2; step++) {
      const served = await model.cloneAdapter(adapter);
      const [result, generated] = await Promise.all([
        model.forwardBackward(adapter, [{ ids, temperature: 0.8, ce: { positions }, kl: { positions } }, { ids: ids.slice(0, 20), temperature: 1, ce: { positions: span(5, 20) } }], SETTINGS),
        model.generate({ id: step + 1, prompt: ids.slice(0, 20), maxTokens: 5, temperature: 0, adapter: served, priority: 5 }),
      ]);
      learned.loss.push(result.loss.ce, result.loss.kl);
      learned.tokens.push(...generated.tokens);
      learned.gradNorm.push((await model.optimStep(adapter, { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0.1, clipNorm: 1 })).gradNorm);
      await model.deleteAdapter(served);
    }
    learned.logprobs.push(...(await model.score({ ids, positions, adapter })).logprobs);
    learned.weights.push(...(await model.adapterTensors(adapter)).flatMap(({ data }) => Array.from(data.subarray(0, 8))));
    const folder = temporaryFolder();
    await model.writeAdapter(adapter, folder, true);
    const again = await model.loadAdapter(folder, true);
    expect(Array.from((await model.score({ ids, positions, adapter: again })).logprobs)).toEqual(learned.logprobs);
    return { info: model.info, learned };
  } finally {
    model.close();
  }
}
