import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeTokens } from './utf8.ts';

/** Cuts bytes at arbitrary places, as byte-level tokens do. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...[...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

describe('the text of tokens', () => {
  it('is whole wherever tokens cut its characters, and each token starts where its bytes do', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }).map((s) => Buffer.from(s).toString()), fc.array(fc.nat(), { maxLength: 12 }), (text, places) => {
        const tokens = cut(Buffer.from(text), places);
        const decoded = decodeTokens(tokens);
        expect(decoded.text).toBe(text);
        let start = 0;
        tokens.forEach((token, i) => {
          // Within a character the offset is that character's start.
          expect(decoded.offsets[i]).toBeLessThanOrEqual(start);
          expect(start - (decoded.offsets[i] ?? 0)).toBeLessThan(4);
          start += token.length;
        });
        expect(decoded.offsets.at(-1)).toBe(Buffer.byteLength(text));
      }),
      { numRuns: 40 },
    );
  });

  it('leaves out a character that the last token did not finish', () => {
    const smile = Buffer.from('😀');
    expect(decodeTokens([Buffer.from('a'), smile.subarray(0, 2)])).toEqual({ text: 'a', offsets: [0, 1, 1] });
    expect(decodeTokens([Buffer.from('a'), smile.subarray(0, 2), smile.subarray(2)])).toEqual({ text: 'a😀', offsets: [0, 1, 1, 5] });
  });

  it('shows bytes that are no character as U+FFFD, with offsets into the text as it is shown', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5 })), (tokens) => {
        const { text, offsets } = decodeTokens(tokens);
        expect(offsets.at(-1)).toBe(Buffer.byteLength(text));
        expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
        expect(Buffer.from(text).toString()).toBe(text);
      }),
    );
    expect(decodeTokens([Uint8Array.of(0xff), Buffer.from('b')])).toEqual({ text: '\uFFFDb', offsets: [0, 3, 4] });
  });
});
