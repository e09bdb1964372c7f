import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import { unrelatedHint } from './contrast.ts';

describe('an unrelated hint', () => {
  it('is as long as the hint, ends in as many lines, and is the same for the same turn', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 300 }), fc.nat(3), (id, text, ends) => {
        const hint = text.replace(/\n+$/, '') + '\n'.repeat(ends);
        const wrong = unrelatedHint({ id }, hint);
        expect(wrong).toHaveLength(hint.length);
        expect(wrong.slice(wrong.length - ends)).toBe('\n'.repeat(ends));
        expect(unrelatedHint({ id }, hint)).toBe(wrong);
      }),
    );
  });

  it('is text of the golden set, from the beginning of a line', () => {
    for (let turn = 0; turn < 50; turn++) {
      const wrong = unrelatedHint({ id: String(turn) }, 'return ensureKnown(value);');
      expect(GOLDEN_TEXTS.some(({ text }) => new RegExp(`(^|\\n)[ \\t]*${wrong.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`).test(text))).toBe(true);
    }
  });
});
