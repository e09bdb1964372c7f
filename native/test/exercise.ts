/** Everything the addon does, once, in one process: what the sanitizers watch (sanitize.mjs). */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadNative } from '../index.ts';
import type { Dtype, LossSettings } from '../index.ts';
import { mutateReaders } from './mutate.ts';
import { randomIds, span, writeAdapterFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const SHAPE: Shape = { architecture: 'qwen3', vocab: 211, hidden: 48, layers: 2, heads: 4, kvHeads: 2, headDim: 16, intermediate: 80, tied: true };
const SETTINGS: LossSettings = { clipLow: 0.2, clipHigh: 0.28, klBeta: 0.1, ceLambda: 1, spliceWeight: 1, pgWeight: 1, opdWeight: 1, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } };

async function serveAndTrain(dir: string, adapterDir: string, dtype: Dtype, threads: number): Promise<void> {
  const model = await loadNative().load({ dir, dtype, threads, cacheBytes: 1 << 18 });
  const adapter = await model.loadAdapter(adapterDir, true);
  const ids = randomIds(SHAPE, 70);
  const positions = span(20, 70);
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < 4; i++) {
    const served = await model.cloneAdapter(adapter);
    work.push(model.generate({ id: i + 1, prompt: ids.slice(0, 20 + i), maxTokens: 12, temperature: i % 2, adapter: served, priority: i }, () => undefined));
    work.push(model.score({ ids, positions, adapter: served, topK: 5, logits: true }));
    work.push(model.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions }, kl: { positions } }], SETTINGS));
    work.push(model.optimStep(adapter, { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0.1, clipNorm: 1 }));
    work.push(model.deleteAdapter(served));
  }
  model.cancel(4);
  await Promise.all(work);
  await model.writeAdapter(adapter, mkdtempSync(join(tmpdir(), 'hindsight-exercise-')), true);
  const cut = model.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions } }], SETTINGS).catch(() => undefined);
  model.close();
  await cut;
}

async function exercise(): Promise<void> {
  for (const isa of loadNative().isas) for (let seed = 0; seed < 6; seed++) loadNative().selfTest(isa, seed);
  const dir = writeModel(SHAPE);
  const adapterDir = writeAdapterFolder(SHAPE, { rank: 3, alpha: 6 });
  for (const dtype of ['fp32', 'bf16', 'int8'] as const) for (const threads of [1, 3]) await serveAndTrain(dir, adapterDir, dtype, threads);
  const { tried, refused } = await mutateReaders({ seed: 1, seconds: Number(process.env.HINDSIGHT_FUZZ_SECONDS ?? 5) });
  console.log(`readers: ${tried} damaged files, ${refused} refused`);
}

exercise().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
