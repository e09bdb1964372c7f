import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUCKETS, featuresOf } from './features.ts';
import { capText, stripControl } from './normalize.ts';

describe('features', () => {
  it('are the same for the same text, ascending, of length 1', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), fc.constantFrom('terminal' as const, 'message' as const), (text, kind) => {
        const { ids, values } = featuresOf({ kind, text });
        expect(featuresOf({ kind, text })).toEqual({ ids, values });
        expect([...ids]).toEqual([...new Set(ids)].sort((a, b) => a - b));
        expect([...ids].every((id) => id >= 0 && id < BUCKETS)).toBe(true);
        expect(values.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 4);
      }),
    );
  });

  it('do not see colours, nor what a progress bar has painted over', () => {
    const plain = featuresOf({ kind: 'terminal', text: '3 passed\n1 failed\n' });
    expect(featuresOf({ kind: 'terminal', text: '\u001b[32m3 passed\u001b[0m\r\n10 %\r55 %\r1 failed\n' })).toEqual(plain);
  });

  it('tell no failures from some', () => {
    const none = featuresOf({ kind: 'terminal', text: '0 failed' });
    const some = featuresOf({ kind: 'terminal', text: '7 failed' });
    expect(some).not.toEqual(none);
    expect(featuresOf({ kind: 'terminal', text: '12 failed' })).toEqual(some);
  });
});

describe('capText', () => {
  it('keeps the head and the tail of a long output, and all of a short one', () => {
    const lines = Array.from({ length: 900 }, (_, i) => `line ${i}`).join('\n');
    const capped = capText(lines);
    expect(capped.length).toBeLessThanOrEqual(2410);
    expect(capped).toMatch(/^line 0\n[\s\S]*\n…\n[\s\S]*line 899$/);
    expect(capText('short')).toBe('short');
    expect(capText(capped)).toBe(capped);
  });

  it('leaves no control character but line ends and tabs', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect([...stripControl(text)].some((char) => char < ' ' && char !== '\n' && char !== '\t')).toBe(false);
      }),
    );
  });
});
