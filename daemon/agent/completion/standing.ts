/**
 * Offers that still stand: one whose text begins with what was typed since goes on as the same turn, with
 * what is left of it. Nothing is computed anew, nothing flickers, and its outcome is counted once. Pure.
 */
import { withoutRestOfLine } from './postprocess.ts';

export interface StandingOffer {
  turn: string;
  /** As it was offered, with \n as line end. */
  text: string;
  /** The document around it. */
  prefix: string;
  suffix: string;
  /** The response was cut, or late: more of it would follow. */
  cut: boolean;
  /** Characters of it that stand in the document, as seen last. */
  agreed: number;
  /** It was accepted in part. */
  taken: boolean;
  /** It has gone on with every change since it was offered. */
  unbroken: boolean;
}

/** What a change of the document says of an offer: it goes on; it stands there in full; something else was
 *  written; the change was elsewhere, or took text before it back. */
export type Sight = 'stands' | 'complete' | 'contradicted' | 'left';

export interface Seen {
  offer: StandingOffer;
  sight: Sight;
  /** More of it came in one change than a key writes: it was accepted, or a part of it. */
  accepted: boolean;
}

/** What editors put behind the cursor by themselves. */
const CLOSERS = /^[)\]}>"'`]+$/;

/** @param text  the whole document after a change */
export function look(offer: StandingOffer, text: string): Seen {
  const { prefix, suffix } = offer;
  const here = text.length >= prefix.length + suffix.length && text.startsWith(prefix) && text.endsWith(suffix);
  if (!here) return { offer: { ...offer, agreed: 0, unbroken: false }, sight: 'left', accepted: false };
  const written = unix(text.slice(prefix.length, text.length - suffix.length));
  const agreed = commonLength(written, offer.text);
  const beyond = written.slice(agreed);
  const complete = agreed === offer.text.length;
  const accepted = agreed > offer.agreed + 1 && (beyond === '' || CLOSERS.test(beyond));
  const sight = complete ? 'complete' : beyond === '' || CLOSERS.test(beyond) ? 'stands' : 'contradicted';
  return { offer: { ...offer, agreed, taken: offer.taken || accepted, unbroken: offer.unbroken && sight !== 'contradicted' }, sight, accepted };
}

/** What is left of an offer at the cursor.
 *  @returns null where it does not go on there */
export function restAt(offer: StandingOffer, text: string, offset: number): string | null {
  if (look(offer, text).sight !== 'stands' || offset < offer.prefix.length) return null;
  const end = text.length - offer.suffix.length;
  const typed = unix(text.slice(offer.prefix.length, offset));
  const behind = text.slice(offset, end);
  if (offset > end || !offer.text.startsWith(typed) || (behind !== '' && !CLOSERS.test(behind))) return null;
  const rest = offer.text.slice(typed.length);
  const left = behind === '' ? rest : withoutRestOfLine(rest, { prefix: text.slice(0, offset), suffix: text.slice(offset), multiline: false, finishReason: 'stop' });
  return left === '' ? null : left;
}

/** Of what both begin with, in UTF-16 units. */
export function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function unix(text: string): string {
  return text.replaceAll('\r\n', '\n');
}
