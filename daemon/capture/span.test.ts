import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextChange } from '../../protocol/signals.ts';
import { moveSpan } from './span.ts';

const apply = (document: string, { offset, length, text }: TextChange): string => document.slice(0, offset) + text + document.slice(offset + length);

/** Changes are drawn as shares of the document as it is then, so that every draw is valid. */
const draws = fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), share: fc.double({ min: 0, max: 0.6, noNaN: true }), text: fc.constantFrom('', 'x', 'ab', '\r\n', '😀', '()', 'start-end', '  ') }), { maxLength: 30 });

describe('a span', () => {
  it('always has the text that the whole document has there', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 0, maxLength: 30 }), fc.nat(30), fc.constantFrom('grows' as const, 'closed' as const), draws, (document, start, end, changes) => {
        let text = document;
        let span = { start: Math.min(start, document.length), text: '' };
        for (const draw of changes) {
          const offset = Math.floor(draw.at * text.length);
          const change = { offset, length: Math.floor(draw.share * (text.length - offset)), text: draw.text };
          text = apply(text, change);
          span = moveSpan(span, change, end).span;
          expect(text.slice(span.start, span.start + span.text.length)).toBe(span.text);
        }
      }),
      { numRuns: 500 },
    );
  });

  const span = { start: 10, text: 'hello' };
  const move = (offset: number, length: number, text: string, end: 'grows' | 'closed' = 'grows'): unknown => {
    const { span: moved, touch } = moveSpan(span, { offset, length, text }, end);
    return [moved.start, moved.text, touch];
  };

  it('shifts with what happens before it and ignores what happens after it', () => {
    expect(move(0, 3, 'x')).toEqual([8, 'hello', 'before']);
    expect(move(9, 1, '')).toEqual([9, 'hello', 'before']);
    expect(move(16, 2, 'x')).toEqual([10, 'hello', 'after']);
    expect(move(15, 0, 'x', 'closed')).toEqual([10, 'hello', 'after']);
  });

  it('takes in what is written in it, and at its end while it grows', () => {
    expect(move(15, 0, ' you')).toEqual([10, 'hello you', 'inside']);
    expect(move(15, 1, ')')).toEqual([10, 'hello)', 'inside']);
    expect(move(11, 4, 'ey')).toEqual([10, 'hey', 'inside']);
  });

  it('is found again after a formatter replaced everything around it', () => {
    expect(move(0, 20, '{\n  a,\n    hel lo,\n}')).toEqual([11, 'hel lo', 'inside']);
  });

  it('is lost when it was rewritten, and empty when it was deleted', () => {
    expect(move(5, 15, 'something else')).toEqual([5, 'something else', 'rewritten']);
    expect(move(5, 15, '')).toEqual([5, '', 'inside']);
  });
});
