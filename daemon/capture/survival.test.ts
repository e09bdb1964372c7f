import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fourGramSimilarity } from './survival.ts';

describe('survival by 4-gram similarity', () => {
  it('is 1 for the text itself, 0 for its deletion, symmetrical and in [0, 1]', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const similarity = fourGramSimilarity(a, b);
        expect(similarity).toBeGreaterThanOrEqual(0);
        expect(similarity).toBeLessThanOrEqual(1);
        expect(similarity).toBe(fourGramSimilarity(b, a));
        expect(fourGramSimilarity(a, a)).toBe(1);
        if (a.trim() !== '') expect(fourGramSimilarity(a, '')).toBe(0);
      }),
    );
  });

  it('is defined for texts shorter than a gram', () => {
    expect([fourGramSimilarity('x', 'x'), fourGramSimilarity('x', 'y'), fourGramSimilarity('', ''), fourGramSimilarity('ab', 'abcd')]).toEqual([1, 0, 1, 0]);
  });

  it('falls with the share that was changed, and a formatter costs nothing', () => {
    const accepted = 'return items.map((item) => item.name);';
    const renamed = accepted.replaceAll('item.name', 'item.title');
    expect(fourGramSimilarity(accepted, renamed)).toBeGreaterThan(0.6);
    expect(fourGramSimilarity(accepted, renamed)).toBeLessThan(0.9);
    expect(fourGramSimilarity(accepted, 'const x = 1;')).toBeLessThan(0.1);
    expect(fourGramSimilarity('if (a) {\n  b();\n}', 'if (a) {\n    b();\n}\n')).toBe(1);
  });

  it('matches the definition on a small case', () => {
    // abcde: {abcd, bcde}; abcdx: {abcd, bcdx}; 2·1 / 4
    expect(fourGramSimilarity('abcde', 'abcdx')).toBe(0.5);
  });
});
