/** What int8 costs in quality on source code that no choice of what stays bf16 was made on. On the
 *  model's own texts: native/test/int8.test.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { loadNative } from '../../native/index.ts';
import { bundledModel } from '../models/bundled.ts';
import { ModelTokenizer } from './tokenizer.ts';

const PROMPTS = process.env.HINDSIGHT_FULL ? 200 : 40;

/** Beginnings cut out of the TypeScript library's declarations, 64 tokens each. */
async function sources(): Promise<Int32Array[]> {
  const tokenizer = await ModelTokenizer.open(bundledModel());
  const lib = dirname(require.resolve('typescript'));
  const files = readdirSync(lib).filter((name) => /^lib\..*\.d\.ts$/.test(name)).sort();
  const lines = files.flatMap((name) => readFileSync(join(lib, name), 'utf8').split('\n').slice(16));
  return Array.from({ length: PROMPTS }, (_, i) => {
    const at = (i * 7919 + 4242) % (lines.length - 60);
    return Int32Array.from(tokenizer.encode(lines.slice(at, at + 60).join('\n'), 'plain').slice(0, 64));
  });
}

async function continuations(dtype: 'fp32' | 'int8', prompts: Int32Array[]): Promise<Int32Array[]> {
  const model = await loadNative().load({ dir: bundledModel(), dtype });
  const made: Int32Array[] = [];
  for (const prompt of prompts) made.push((await model.generate({ id: 1, prompt, maxTokens: 16, temperature: 0 })).tokens);
  model.close();
  return made;
}

test('the greedy text of int8 is that of fp32 in 95 of 100 tokens', async () => {
  const prompts = await sources();
  const [want, got] = [await continuations('fp32', prompts), await continuations('int8', prompts)];
  const total = want.reduce((sum, tokens) => sum + tokens.length, 0);
  const equal = want.reduce((sum, tokens, i) => sum + tokens.filter((token, j) => token === got[i]?.[j]).length, 0);
  console.info(`int8 on source code: ${((100 * equal) / total).toFixed(1)} % of ${total} greedy tokens are equal`);
  expect(equal / total).toBeGreaterThanOrEqual(0.95);
});
