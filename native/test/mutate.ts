/** A seeded mutator over what the readers take: model and adapter files with flipped, cut, doubled and
 *  rewritten bytes. A reader may accept or refuse; it may not crash, hang or read outside the file. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadNative } from '../index.ts';
import type { NativeError } from '../index.ts';
import { temporaryFolder, writeAdapterFolder, writeModel } from './models.ts';
import type { Shape } from './models.ts';

const TINY: Shape = { architecture: 'llama', vocab: 31, hidden: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, intermediate: 12, tied: true };

/** Whole numbers below `bound`, from a seed. */
function dice(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

const NUMBERS = ['0', '-1', '1e308', '18446744073709551615', '9007199254740993', '4294967296', 'null', '"x"', '[]'];

function mutate(bytes: Buffer, roll: (bound: number) => number): Buffer {
  let out = Buffer.from(bytes);
  for (let i = 0, times = 1 + roll(4); i < times; i++) {
    if (out.length === 0) return out;
    const at = roll(Math.min(out.length, roll(3) === 0 ? out.length : 600));
    switch (roll(6)) {
      case 0: out[at] = (out[at] ?? 0) ^ (1 << roll(8)); break;
      case 1: out[at] = roll(256); break;
      case 2: out = out.subarray(0, at); break;
      case 3: out = Buffer.concat([out.subarray(0, at), out.subarray(at, at + roll(40)), out.subarray(at)]); break;
      case 4: out = Buffer.concat([out.subarray(0, at), out.subarray(at + roll(40))]); break;
      default: {  // a number of the text becomes another one
        const text = out.toString('latin1');
        const numbers = [...text.slice(0, 4000).matchAll(/\d+/g)];
        const found = numbers[roll(numbers.length)];
        if (found) out = Buffer.from(text.slice(0, found.index) + (NUMBERS[roll(NUMBERS.length)] ?? '') + text.slice(found.index + found[0].length), 'latin1');
      }
    }
  }
  return out;
}

/** @returns how many damaged folders were tried, and how many were refused with an error of the catalogue. */
export async function mutateReaders({ seed, seconds }: { seed: number; seconds: number }): Promise<{ tried: number; refused: number }> {
  const roll = dice(seed);
  const good = { model: writeModel(TINY), adapter: writeAdapterFolder(TINY, { rank: 2 }) };
  const model = await loadNative().load({ dir: good.model, threads: 1 });
  let tried = 0;
  let refused = 0;
  const work = temporaryFolder();
  for (const end = Date.now() + seconds * 1000; Date.now() < end; tried++) {
    const kind = roll(2) === 0 ? 'model' : 'adapter';
    const files = readdirSync(good[kind]);
    const victim = files[roll(files.length)];
    for (const file of files) {
      const bytes = readFileSync(join(good[kind], file));
      writeFileSync(join(work, file), file === victim ? mutate(bytes, roll) : bytes);
    }
    try {
      if (kind === 'model') (await loadNative().load({ dir: work, threads: 1 })).close();
      else await model.deleteAdapter(await model.loadAdapter(work, true));
    } catch (error) {
      if (typeof (error as NativeError).code !== 'string') throw error;
      refused++;
    }
  }
  model.close();
  return { tried, refused };
}
