/** Adapters change under requests that run: a version is a request's from its first token to its last. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundledModel } from '../models/bundled.ts';
import { TARGETS } from '../learn/trainable.ts';
import { startEngine } from './client.ts';
import type { EngineClient } from './client.ts';

const SWAPS = process.env['HINDSIGHT_FULL'] === '1' ? 1000 : 60;
const LANES = 4;
const TEXTS = ['export function add(a: number, b: number): number {\n  return', 'const items = [', 'for (const each of', 'if (value === null) {\n'];
const GREEDY = { maxTokens: 16, temperature: 0 };
const NAME = 'w/serving';

let engine: EngineClient;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), 'hindsight-swap-'));
  engine = await startEngine({ modelDir: bundledModel() });
});
afterAll(async () => {
  await engine.close();
  rmSync(scratch, { recursive: true });
});

/** A version that was taught another word, so that no two versions answer alike. */
async function version(word: string): Promise<string> {
  const { ids } = await engine.tokenize({ texts: TEXTS.map((text) => `${text} ${word}(${word}, ${word});\n`) });
  const term = { pg: 0, opd: 0, splice: 0, kl: 0, ce: ids.length };
  const sequences = ids.map((own) => ({ ids: own, temperature: 1, ce: { positions: own.map((_, at) => at).slice(4) } }));
  await engine.adapterCreate({ name: 'train', rank: 8, alpha: 16, targets: TARGETS, seed: 1 });
  for (let step = 0; step < 6; step++) {
    await engine.forwardBackward({ adapter: 'train', sequences, settings: { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, pgWeight: 1, opdWeight: 1, spliceWeight: 1, divisor: term } });
    await engine.optimStep({ adapter: 'train', lr: 1e-2, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
  }
  const dir = path.join(scratch, word);
  mkdirSync(dir);
  await engine.adapterWrite({ name: 'train', dir });
  await engine.adapterDelete({ name: 'train' });
  return dir;
}

it(`conformance 19: over ${SWAPS} swaps under load no request is refused, and each answer is one version's alone`, async () => {
  const dirs = [await version('left'), await version('right')];
  const prompts = (await engine.tokenize({ texts: TEXTS })).ids;
  const alone: string[][] = [];
  for (const dir of dirs) {
    await engine.adapterLoad({ name: NAME, dir });
    const answers: string[] = [];
    for (const prompt of prompts) answers.push((await engine.generate({ prompt, sampling: GREEDY, adapter: NAME })).ids.join());
    alone.push(answers);
  }
  alone[0]?.forEach((answer, at) => expect(answer).not.toBe(alone[1]?.[at]));

  let swapping = true;
  const seen = [0, 0];
  const mixed: string[] = [];
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    for (let request = lane; swapping; request++) {
      const at = request % prompts.length;
      const answer = (await engine.generate({ prompt: prompts[at] ?? [], sampling: GREEDY, adapter: NAME })).ids.join();
      const which = alone.findIndex((answers) => answers[at] === answer);
      if (which < 0) mixed.push(answer);
      else seen[which] = (seen[which] ?? 0) + 1;
    }
  });
  for (let swap = 0; swap < SWAPS; swap++) await engine.adapterLoad({ name: NAME, dir: dirs[swap % 2] ?? '' });
  swapping = false;
  await Promise.all(lanes);
  expect(mixed).toEqual([]);
  // Both versions have answered while they were being swapped.
  expect(Math.min(...seen)).toBeGreaterThan(0);
}, 600_000);
