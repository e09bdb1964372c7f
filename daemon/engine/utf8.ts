/** Text out of the bytes of tokens, which may end or break within a character. */

export interface DecodedTokens {
  text: string;
  /** Byte of `text` (UTF-8) at which each token starts, and one more entry, its end. */
  offsets: number[];
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const REPLACEMENT = '\uFFFD';
const REPLACEMENT_BYTES = 3;

/** A byte that belongs to no character becomes U+FFFD; a character that the last token leaves
 *  unfinished is left out (the next token may finish it). A token that starts within a character
 *  has that character's start as its offset. */
export function decodeTokens(tokens: readonly Uint8Array[]): DecodedTokens {
  const bytes = Buffer.concat(tokens);
  const at = new Int32Array(bytes.length + 1);
  let text = '';
  let written = 0;
  for (let i = 0; i < bytes.length; ) {
    const length = characterLength(bytes, i);
    if (length === 'unfinished') {
      at.fill(written, i);
      i = bytes.length;
    } else if (length === 'invalid') {
      at[i++] = written;
      text += REPLACEMENT;
      written += REPLACEMENT_BYTES;
    } else {
      at.fill(written, i, i + length);
      text += decoder.decode(bytes.subarray(i, i + length));
      i += length;
      written += length;
    }
  }
  at[bytes.length] = written;
  const offsets: number[] = [];
  let start = 0;
  for (const token of tokens) {
    offsets.push(at[start] ?? written);
    start += token.length;
  }
  offsets.push(written);
  return { text, offsets };
}

/** Bytes of the run of ASCII or the one character at `i`. */
function characterLength(bytes: Uint8Array, i: number): number | 'unfinished' | 'invalid' {
  const lead = bytes[i] ?? 0;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return 'invalid';
  for (let k = 1; k < length; k++) {
    const next = bytes[i + k];
    if (next === undefined) return 'unfinished';
    if ((next & 0xc0) !== 0x80) return 'invalid';
  }
  try {
    decoder.decode(bytes.subarray(i, i + length));
    return length;
  } catch {
    return 'invalid'; // overlong, a surrogate, or beyond U+10FFFF
  }
}
