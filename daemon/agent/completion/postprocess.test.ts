import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shownPart, stopPolicy } from './postprocess.ts';

/** What is shown of `raw` at the `|` of a document. */
function shown(document: string, raw: string, finishReason: 'stop' | 'length' | 'eos' = 'stop'): string {
  const at = document.indexOf('|');
  const [prefix, suffix] = [document.slice(0, at), document.slice(at + 1)];
  return shownPart(raw, { prefix, suffix, multiline: stopPolicy(prefix, suffix).multiline, finishReason });
}

describe('what is shown of a response', () => {
  it('is always a prefix of it, without white space at its end', () => {
    const text = fc.array(fc.constantFrom('a', 'foo', '(', ')', '{', '}', '\n', '  ', ';', '"', "'", '😀', ' = '), { maxLength: 30 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, text, (prefix, suffix, raw) => {
        const { multiline } = stopPolicy(prefix, suffix);
        const part = shownPart(raw, { prefix, suffix, multiline, finishReason: 'stop' });
        expect(raw.startsWith(part)).toBe(true);
        expect(part).toBe(part.trimEnd());
      }),
    );
  });

  it.each([
    ['one line by default', 'const a = |', '1;\nconst b', '1;'],
    ['nothing of a response that starts with a line end', 'const a = 1;|', '\nfoo', ''],
    ['a few lines where a block opens', 'if (a) {\n  |\n}', 'b();\n  c();\n\n  d();', 'b();\n  c();'],
    ['no line outside the block', 'if (a) {\n  |\n}', 'b();\n}\nfoo();', 'b();'],
    ['nothing that closes what was not opened', 'foo(|', 'a))', 'a)'],
    ['a bracket inside a string is none', 'foo(|', '")", b)', '")", b)'],
    ['an apostrophe is no string', '// |', "it doesn't (yet)", "it doesn't (yet)"],
    ['not what the line ends with already', 'foo(|);', 'a, b);', 'a, b'],
    ['not the next line again', 'a();\n|\nreturn total;', 'return total;', ''],
    ['not the closing line again', 'if (a) {\n  b();\n|\n}', '}', ''],
    ['not the line before again', '  total += price;\n  |', 'total += price;', ''],
    ['short lines may repeat', 'a(() => {\n  b(() => {\n  });\n|', '});', '});'],
    ['a loop only once', 'x = |', 'the one of the one of the one of the one', 'the one of'],
    ['a ruler is no loop', '// |', '--------------------------------', '--------------------------------'],
    ['nothing for white space', 'a|', '   \n', ''],
  ])('%s', (_, document, raw, expected) => {
    expect(shown(document, raw)).toBe(expected);
  });

  it('a last line that the token limit cut is left out of several', () => {
    expect(shown('if (a) {\n  |\n}', 'b();\n  ccc', 'length')).toBe('b();');
    expect(shown('const a = |', 'someLongNa', 'length')).toBe('someLongNa');
  });
});
