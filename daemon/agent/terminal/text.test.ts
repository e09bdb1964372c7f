import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capped, HeadTail } from './headTail.ts';
import { PlainText, plainText } from './plainText.ts';

/** Pieces a terminal is made of; strung together they are hard to cut well. */
const piece = fc.constantFrom('plain', 'ünï', '😀', '\n', '\r\n', '\r', '\b', '\t', '\x1b[1;31m', '\x1b[0m', '\x1b[2K', '\x1b[K', '\x1b[5D', '\x1b[12G', '\x1b]0;title\x07', '\x1b]8;;http://x\x1b\\', '\x1bP1$r\x1b\\', '\x1b(B', '\x1b', '\x9b3m', '\x18', 'x'.repeat(20_000));

describe('the text of a terminal', () => {
  it.each([
    ['\x1b[32mgreen\x1b[0m and \x1b[1mbold\x1b[22m\r\n', 'green and bold\n'],
    ['10 %\r 50 %\r100 %\r\n', '100 %\n'],
    ['downloading 9\rdone\x1b[K\r\n', 'done\n'],
    ['abc\b\bX\r\n', 'aXc\n'],
    ['\x1b]0;a title\x07$ ls\r\n', '$ ls\n'],
    ['\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\\n', 'link\n'],
    ['no end', 'no end'],
    ['\x1b[?25l\x1b[2J\x1b[Hhidden cursor\x1b[?25h', 'hidden cursor'],
    ['one\x1b[3Dtwo', 'two'],
    ['\u0007bell', 'bell'],
  ])('%j is %j', (stream, text) => expect(plainText(stream)).toBe(text));

  it('does not depend on how the stream was cut', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 50 }), (pieces, cuts) => {
        const stream = pieces.join('');
        let text = '';
        const plain = new PlainText((part) => (text += part));
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const size = stream.length > 5000 ? 3001 : (cuts[turn % cuts.length] ?? 1);
          plain.write(stream.slice(at, at + size));
          at += size;
        }
        plain.end();
        expect(text).toBe(plainText(stream));
        expect(text).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
      }),
      { numRuns: 200 },
    );
  });

  it('ten megabytes take no longer than a blink, and no more memory than the cap', () => {
    const kept = new HeadTail({ head: 300, tail: 300 });
    const plain = new PlainText((part) => kept.write(part));
    for (let line = 0; line < 50_000; line += 1) plain.write(`\x1b[3${line % 8}m${String(line).padStart(198, '0')}\x1b[0m\r\n`);
    plain.end();
    const { total, text } = kept.result();
    expect(total).toBe(50_000 * 199);
    expect(text.startsWith(`${'0'.padStart(198, '0')}\n`)).toBe(true);
    expect(text.endsWith(`${'49999'.padStart(198, '0')}\n`)).toBe(true);
  });
});

describe('the cap', () => {
  it('keeps a text whole that fits, and else its two ends, whatever pieces it came in', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 40 })), fc.nat(30), fc.nat(30), (parts, head, tail) => {
        const text = parts.join('');
        const kept = new HeadTail({ head, tail });
        for (const part of parts) kept.write(part);
        const result = kept.result();
        expect(result).toEqual(capped(text, { head, tail }));
        expect(result.total).toBe(text.length);
        if (text.length <= head + tail) expect(result.text).toBe(text);
        else {
          const [first = '', second = ''] = result.text.split(/\n\[… \d+ characters left out …\]\n/);
          expect(text.startsWith(first) && text.endsWith(second)).toBe(true);
          expect(first.length + second.length + result.leftOut).toBe(text.length);
          expect(first.length).toBeGreaterThanOrEqual(head - 1);
          expect(second.length).toBeGreaterThanOrEqual(tail - 1);
          expect(Buffer.from(result.text).toString()).toBe(result.text);
        }
      }),
    );
  });
});
