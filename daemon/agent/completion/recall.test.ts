import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecallIndex } from './recall.ts';

const SYNC = 'class Client:\n    def get(self, url):\n        return self.request("GET", url)\n\n    def put(self, url):\n        return self.request("PUT", url)\n';

describe('recall', () => {
  it('goes on as the place that agrees longest did, whatever the indentation is', () => {
    const index = new RecallIndex();
    index.see('sync.py', SYNC);
    const found = index.recall('async.py', 'class AsyncClient:\n        def put(self, url):\n                return ', '\n');
    expect(found).toMatchObject({ text: 'self.request("PUT", url)', own: false, agreement: 1 });
    expect(found?.match).toBeGreaterThan('def put(self, url):\nreturn '.length - 1);
  });

  it('finds what stands after the cursor in the same file, but never the rest of the cursor’s own line', () => {
    const index = new RecallIndex();
    const [before, after] = ['const a = require(', '"secret");\nconst b = 1;\nconst a = require("node:fs");\n'];
    expect(index.recall('a.js', before, after)).toMatchObject({ text: '"node:fs");', own: true });
    expect(index.recall('a.js', before, after.split('\n')[0] ?? '')).toBeNull();
  });

  it('has nothing to say where nothing agrees, nor at a place whose line ends there', () => {
    const index = new RecallIndex();
    index.see('a.ts', 'const total = 1;\n');
    expect(index.recall('b.ts', 'import { zebra', '')).toBeNull();
    expect(index.recall('b.ts', 'const total = 1;', '')).toBeNull();
    expect(index.recall('b.ts', '\n\n\n\n\n', '')).toBeNull();
  });

  it('says how sure the places are among themselves', () => {
    const index = new RecallIndex();
    index.see('a.ts', 'log.at("info");\nfoo();\nlog.at("warn");\nfoo();\nlog.at("warn");\n');
    expect(index.recall('b.ts', 'log.at("', '')?.agreement).toBeCloseTo(2 / 3);
  });

  it('knows a file as it was seen last, and forgets it', () => {
    const index = new RecallIndex();
    index.see('a.ts', 'logger.info("old");\n');
    index.see('a.ts', 'logger.info("new");\n');
    expect(index.recall('b.ts', 'logger.info(', '')?.text).toBe('"new");');
    index.forget('a.ts');
    expect(index.recall('b.ts', 'logger.info(', '')).toBeNull();
  });

  it('only ever says what stands after a like text', () => {
    const line = fc.stringMatching(/^[a-d ]{0,9}$/);
    fc.assert(fc.property(fc.array(line, { minLength: 1, maxLength: 30 }), fc.array(line, { maxLength: 6 }), (lines, before) => {
      const index = new RecallIndex();
      index.see('a.ts', lines.join('\n'));
      const prefix = before.join('\n');
      const found = index.recall('b.ts', prefix, '');
      if (found === null) return;
      const plain = (text: string): string => text.replace(/^[ \t]+/gm, '');
      const key = plain(prefix).slice(-Math.min(found.match, 160));
      expect(`${plain(lines.join('\n'))}\n${plain(prefix)}`).toContain(key + found.text);
    }));
  });

  it('costs little in a large workspace', () => {
    const index = new RecallIndex();
    for (let file = 0; file < 30; file++) index.see(`f${file}.ts`, `export function f${file}() {\n  return call(${file});\n}\n`.repeat(900));
    const started = performance.now();
    for (let ask = 0; ask < 10; ask++) index.recall('g.ts', 'export function g() {\n  return ', '\n}\n');
    expect((performance.now() - started) / 10).toBeLessThan(100);
  });
});
