/** The int8 copy beside a model: the same numbers as quantising at load, and never those of other weights. */
import { existsSync, renameSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import { readTensors, writeTensors } from '../io/safetensors.ts';
import { randomIds, SMALL, span, temporaryFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

/** Wide enough to keep every product in bytes; of several files, with biases and a head of its own. */
const WIDE: Shape = { architecture: 'qwen2', vocab: 211, hidden: 520, layers: 2, heads: 4, kvHeads: 2, headDim: 16, intermediate: 100, tied: false, shards: 3 };
const COPY = 'model.int8.safetensors';

/** What a load in int8 answers: by scoring, which multiplies by bf16, and by generation, which multiplies by bytes. */
async function answers(dir: string, shape: Shape) {
  const model = await loadNative().load({ dir, dtype: 'int8', threads: 1 });
  const ids = randomIds(shape, 40);
  const { logits } = await model.score({ ids, positions: span(1, 40), logits: true });
  const { tokens, logprobs } = await model.generate({ id: 1, prompt: ids, maxTokens: 12, temperature: 0 });
  const { fingerprint, parameters } = model.info;
  model.close();
  return { logits, tokens, logprobs, fingerprint, parameters };
}

describe.each([['narrow', SMALL], ['wide', WIDE]] as const)('the copy of a %s model', (_, shape) => {
  let dir: string;
  let copy: string;
  beforeEach(async () => {
    dir = writeModel(shape, 5, temporaryFolder());
    copy = join(dir, COPY);
    await loadNative().quantize(dir);
  });
  const refused = () => expect(loadNative().load({ dir, dtype: 'int8', threads: 1 })).rejects;

  test('gives, bit for bit, what quantising at load gives', async () => {
    const stored = await answers(dir, shape);
    renameSync(copy, `${copy}.away`);
    expect(stored).toEqual(await answers(dir, shape));
  });

  test('is what is read', async () => {
    const before = await answers(dir, shape);
    const { tensors, metadata } = readTensors(copy);
    const scales = tensors.get('model.layers.0.mlp.up_proj.weight.scale');
    scales?.bytes.fill(0);
    writeTensors(copy, tensors, metadata);
    expect((await answers(dir, shape)).logits).not.toEqual(before.logits);
  });

  test('is refused where the weights have changed, and read where their folder was copied', async () => {
    const before = await answers(dir, shape);
    for (const file of ['model.safetensors', 'model-0.safetensors']) if (existsSync(join(dir, file))) utimesSync(join(dir, file), 1e9, 1e9);
    expect(await answers(dir, shape)).toEqual(before);
    writeModel(shape, 6, dir);
    await refused().toMatchObject({ code: 'QUANTIZED_UNUSABLE', message: `${copy} was made of other weights than those beside it: delete it, and the weights are quantised at load, or import the model again with --quantize int8.` });
    (await loadNative().load({ dir, threads: 1 })).close();
  });

  test('is refused where it is damaged', async () => {
    truncateSync(copy, statSync(copy).size - 1);
    await refused().toMatchObject({ code: 'QUANTIZED_UNUSABLE', message: expect.stringContaining('is damaged: delete it') });
    truncateSync(copy, 3);
    await refused().toMatchObject({ code: 'QUANTIZED_UNUSABLE' });
  });
});
