/**
 * Where a response and what the developer wrote part ways, in tokens (learning.md, "Divergence").
 * Everything is measured in UTF-8 bytes of the raw response, because tokens start at bytes; no
 * text is re-tokenised to find a token (invariant 2 of design.md).
 */
import type { NextState, Turn } from '../journal/records.ts';

export interface Divergence {
  /** d, index into responseIds: the token that contains the first differing byte. Tokens before it
   *  are shared; tokens after it were written in a context that never came to be. */
  token: number;
  /** First differing byte, counted from the start of the response. */
  byte: number;
  /** Post-processing left token d in what was offered; otherwise no response term may touch it. */
  offered: boolean;
  /** The developer's text from the first byte of token d on; the developer's token at d is the first
   *  one of its encoding. null where that byte is inside a character of the developer's text. */
  developerText: string | null;
}

const NEWLINE = 10;

/** @returns null where they never differ as far as both are known */
export function divergence(turn: Turn, developerText: string): Divergence | null {
  const raw = Buffer.from(turn.rawText, 'utf8');
  const written = Buffer.from(sameLineEnds(developerText, turn.rawText), 'utf8');
  const comparable = firstLines(written, newlines(raw), raw.at(-1) === NEWLINE);
  const byte = firstDifference(raw, comparable);
  const token = byte < raw.length ? tokenAt(turn.offsets, byte) : endToken(turn);
  // Either side may simply stop being known: the developer's text at its last byte, a response at
  // its length limit. Only a byte against a byte, or a byte against a chosen end, is a difference.
  if (token === null || byte >= comparable.length) return null;
  const text = textFrom(written, turn.offsets[token] ?? byte);
  // The first token holds the white space that the prompt left to it.
  const fromToken = text !== null && token === 0 ? (turn.healed ?? '') + text : text;
  return { token, byte, offered: token < offeredTokens(turn), developerText: fromToken };
}

/**
 * Number of leading tokens that the developer was offered: those that start inside the shown text,
 * and the one that ended it (an end token, or a token of white space with the line's end), since
 * stopping there was the model's choice too. All later ones were removed by post-processing.
 */
export function offeredTokens(turn: Turn): number {
  const shown = Buffer.byteLength(turn.shownText, 'utf8');
  if (shown === 0) return 0;
  let count = 0;
  while (count < turn.responseIds.length && (turn.offsets[count] ?? Infinity) < shown) count++;
  const end = turn.offsets[count];
  if (count >= turn.responseIds.length || end === undefined) return count;
  const removed = Buffer.from(turn.rawText, 'utf8').subarray(end, turn.offsets[count + 1]).toString('utf8');
  return removed === '' || /^[ \t\r]*\n/.test(removed) ? count + 1 : count;
}

/**
 * Number of leading tokens that a good verdict may reward: wholly taken over, not past the
 * divergence. A partial acceptance rewards only tokens that lie within it; the token that ended
 * an accepted suggestion is rewarded only where the developer's text confirms that end.
 */
export function rewardedTokens(turn: Turn, next: NextState, at: Divergence | null): number {
  const taken = next.outcome === 'partial' ? turn.shownText.slice(0, next.acceptedChars) : turn.shownText;
  const bytes = Buffer.byteLength(taken, 'utf8');
  let count = 0;
  while (count < turn.responseIds.length && (turn.offsets[count + 1] ?? Infinity) <= bytes && turn.offsets[count] !== bytes) count++;
  const complete = next.outcome !== 'partial' && count + 1 === offeredTokens(turn);
  const confirmed = next.developerText !== null && next.developerText.length > turn.shownText.length;
  if (complete && confirmed) count++;
  return Math.min(count, at?.token ?? count);
}

/** Where the model writes \n and the file has \r\n, line ends are not a difference. */
function sameLineEnds(written: string, raw: string): string {
  return raw.includes('\r') ? written : written.replaceAll('\r\n', '\n');
}

/** The first `count` line ends of a text and, unless the response ended with one, the line after them. */
function firstLines(text: Buffer, count: number, closed: boolean): Buffer {
  let from = 0;
  for (let line = 0; line < count; line++) {
    const end = text.indexOf(NEWLINE, from);
    if (end < 0) return text;
    from = end + 1;
  }
  if (closed) return text.subarray(0, from);
  const end = text.indexOf(NEWLINE, from);
  return end < 0 ? text : text.subarray(0, end);
}

function newlines(text: Buffer): number {
  let count = 0;
  for (const byte of text) if (byte === NEWLINE) count++;
  return count;
}

function firstDifference(a: Buffer, b: Buffer): number {
  const end = Math.min(a.length, b.length);
  let byte = 0;
  while (byte < end && a[byte] === b[byte]) byte++;
  return byte;
}

function tokenAt(offsets: readonly number[], byte: number): number | null {
  for (let token = 0; token + 1 < offsets.length; token++) {
    if ((offsets[token] ?? Infinity) <= byte && byte < (offsets[token + 1] ?? -1)) return token;
  }
  return null;
}

/** The token by which the response ended itself: a last token without text. */
function endToken(turn: Turn): number | null {
  const last = turn.responseIds.length - 1;
  if (last < 0 || turn.finishReason === 'length' || turn.finishReason === 'cancelled') return null;
  return turn.offsets[last] === turn.offsets[last + 1] ? last : null;
}

/** null where `start` is a continuation byte, 10xxxxxx. */
function textFrom(text: Buffer, start: number): string | null {
  const lead = text[start];
  return lead === undefined || (lead & 0xc0) === 0x80 ? null : text.subarray(start).toString('utf8');
}
