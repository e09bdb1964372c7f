import { describe, expect, it } from 'vitest';
import { importSnippets, importsOf, recentSnippets } from './related.ts';

const FILES: Record<string, string> = {
  'src/cart/total.ts': "import { Price } from './price';\n\nexport interface Options {\n  tax: number;\n}\n\nexport function total(prices: Price[], options: Options): number {\n  const sum = 0;\n  return sum;\n}\n",
  'src/util/index.ts': 'export const round = (value: number): number => Math.round(value);\n',
  'pkg/models.py': 'class Order:\n    def pay(self, amount):\n        pass\n\n\ndef load(path):\n    return path\n',
};
const read = (path: string): string | null => FILES[path] ?? null;

describe('declarations of what a file imports', () => {
  it('are found through relative imports of TypeScript and JavaScript, whatever their ending', () => {
    for (const from of ["'./cart/total'", "'./cart/total.js'", '"./cart/total.ts"']) {
      const prefix = `import { total, type Options as O } from ${from};\nimport fs from 'node:fs';\n\nconst due = total(\n  `;
      expect(importSnippets('src/a.ts', prefix, read)).toEqual([{ path: 'src/cart/total.ts', text: 'export function total(prices: Price[], options: Options): number {' }]);
    }
    expect(importSnippets('src/cart/b.js', "const { round } = require('../util');\n\nround(", read)).toEqual([{ path: 'src/util/index.ts', text: 'export const round = (value: number): number => Math.round(value);' }]);
  });

  it('are found through imports of Python, relative and of the workspace', () => {
    for (const from of ['.models', 'pkg.models']) {
      expect(importSnippets('pkg/shop.py', `from ${from} import (\n    Order,\n    load,\n)\n\norder = load("x")\n`, read)).toEqual([{ path: 'pkg/models.py', text: 'def load(path):' }]);
    }
    expect(importsOf('pkg/sub/a.py', 'from ..models import load as l\n')[0]).toEqual({ candidates: ['pkg/models.py', 'pkg/models/__init__.py'], names: ['load'] });
  });

  it('come in the order of what is used near the cursor, and not at all where nothing is known', () => {
    const prefix = "import { total } from './cart/total';\nimport { round } from './util';\n\nexport const shown = (value: number) => round(value);\n  ";
    expect(importSnippets('src/a.ts', prefix, read).map(({ path }) => path)).toEqual(['src/util/index.ts', 'src/cart/total.ts']);
    expect(importSnippets('src/a.rs', 'use crate::total;\n', read)).toEqual([]);
  });

  it('are never those of a file outside of the workspace', () => {
    const asked: string[] = [];
    const outside = (path: string): string => {
      asked.push(path);
      return 'export const secret = 1;\n';
    };
    expect(importSnippets('src/a.ts', "import { secret } from '../../other/keys';\n\nsecret", outside)).toEqual([]);
    expect(importSnippets('pkg/a.py', 'from ...keys import secret\n\nsecret\n', outside)).toEqual([]);
    expect(asked).toEqual([]);
    expect(importSnippets('src/a.ts', "import x from './gone';\n", read)).toEqual([]);
  });
});

it('a recent edit is the lines around it, in another file', () => {
  const text = Array.from({ length: 40 }, (_, line) => `line ${line}`).join('\n');
  const edits = [{ path: 'a.ts', text, offset: 3 }, { path: 'b.ts', text, offset: text.indexOf('line 20') }];
  expect(recentSnippets('a.ts', edits)).toEqual([{ path: 'b.ts', text: ['16', '17', '18', '19', '20', '21', '22', '23'].map((line) => `line ${line}`).join('\n') }]);
});
