import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../engine/client.ts';
import type { EngineClient } from '../../engine/client.ts';
import { bundledModel } from '../../models/bundled.ts';
import { buildPrompt, DEFAULT_BUDGET, heal, lineBlocks } from './prompt.ts';
import type { Prompt } from './prompt.ts';
import { snippetIds } from './snippet.ts';

let engine: EngineClient;
beforeAll(async () => {
  engine = await startEngine({ modelDir: bundledModel() });
});
afterAll(() => engine.close());

const FILE = Array.from({ length: 60 }, (_, i) => (i % 7 === 6 ? '\n' : `  const value${i} = compute(${i}, "item ${i}");\n`)).join('');

function prompt(prefix: string, mode: 'prefix' | 'fim' = 'prefix', suffix = ''): Promise<Prompt> {
  return buildPrompt(engine, { path: 'src/a.ts', prefix, suffix }, [], mode, DEFAULT_BUDGET);
}

async function text(ids: number[]): Promise<string> {
  return (await engine.detokenize({ ids })).text;
}

describe('a completion prompt', () => {
  it('stays within its budget and ends with the text before the cursor', async () => {
    for (const prefix of [FILE, FILE + 'x'.repeat(5000), 'a b '.repeat(3000)]) {
      const { ids } = await prompt(prefix);
      expect(ids.length).toBeLessThanOrEqual(DEFAULT_BUDGET.total);
      const shown = await text(ids);
      expect(shown).toContain('src/a.ts\n');
      expect(shown.slice(-50)).toBe(prefix.trimEnd().length === prefix.length ? prefix.slice(-50) : prefix.replace(/ $/, '').slice(-50));
    }
  });

  it('of a short file holds all of it, token for token as the file is encoded', async () => {
    const short = 'function a() {\n  b();\n}\n';
    const { ids } = await prompt(short);
    const own = (await engine.tokenize({ texts: [short] })).ids[0] ?? [];
    expect(ids.slice(-own.length)).toEqual(own);
  });

  it('shares its beginning with the next one while the developer types', async () => {
    const line = '  return compute(value1, value2, value3).then((result) => result.name);\n';
    let changed = 0;
    let last: number[] = [];
    for (let typed = 1; typed <= line.length; typed++) {
      const { ids } = await prompt(FILE + line.slice(0, typed));
      let shared = 0;
      while (shared < ids.length && ids[shared] === last[shared]) shared++;
      // Only the end differs, unless a block of lines left at the front.
      if (typed > 1 && shared < ids.length - 12) changed++;
      last = ids;
    }
    expect(changed).toBeLessThanOrEqual(1);
  });

  it('leaves the space before the cursor to the response', async () => {
    expect(heal('a = ')).toEqual({ kept: 'a =', healed: ' ' });
    expect(heal('a\n\t')).toEqual({ kept: 'a\n', healed: '\t' });
    expect(heal('a\n')).toEqual({ kept: 'a\n', healed: '' });
    const { ids, healed } = await prompt('const total = ');
    expect(healed).toBe(' ');
    expect((await text(ids)).endsWith('const total =')).toBe(true);
  });

  it('under fill-in-the-middle holds both sides and no healed space', async () => {
    const { ids, healed } = await prompt('if (a) {\n  ', 'fim', '\n}\n');
    const { fim } = engine.model;
    expect(healed).toBe('');
    expect(ids.at(-1)).toBe(fim?.middle);
    const [from, to] = [ids.indexOf(fim?.prefix ?? -1), ids.indexOf(fim?.suffix ?? -1)];
    expect(await text(ids.slice(from + 1, to))).toBe('if (a) {\n  ');
    expect(await text(ids.slice(to + 1, -1))).toBe('\n}\n');
  });

  it('shows snippets as hints are shown, the best one nearest, and drops what does not fit', async () => {
    const [best, second] = [{ path: 'b.ts', text: 'export const b = 1;' }, { path: 'c.ts', text: 'export const c = 2;\n' }];
    const huge = { path: 'd.ts', text: FILE };
    const { ids } = await buildPrompt(engine, { path: 'a.ts', prefix: 'import', suffix: '' }, [best, huge, second], 'prefix', DEFAULT_BUDGET);
    const own = [...(await snippetIds(engine, second)), ...(await snippetIds(engine, best))];
    expect(ids.slice(0, own.length)).toEqual(own);
    expect(await text(ids)).not.toContain('d.ts');
  });

  it('is empty for nothing to continue but the path', async () => {
    expect(await text((await prompt('')).ids)).toBe('<|file_sep|>src/a.ts\n');
  });
});

describe('blocks of lines', () => {
  it('are the text, start at every eighth line, and never with a blank one', () => {
    const blocks = lineBlocks(FILE);
    expect(blocks.join('')).toBe(FILE);
    expect(blocks.length).toBeGreaterThan(5);
    for (const block of blocks) expect(block.split('\n')[0]?.trim()).not.toBe('');
  });

  it('that are complete stay when lines are added', () => {
    const [before, after] = [lineBlocks(FILE), lineBlocks(`${FILE}  more();\n  and more();\n`)];
    expect(after.slice(0, before.length - 1)).toEqual(before.slice(0, -1));
  });
});
