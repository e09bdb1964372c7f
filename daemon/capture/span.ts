/**
 * A stretch of a document that is followed through edits by offsets alone, with its text: the
 * document itself is never needed. Invariant (property test): `text` is always what a copy of the
 * whole document has from `start` on.
 */
import type { TextChange } from '../../protocol/signals.ts';

export interface Span {
  /** UTF-16 offset in the document. */
  start: number;
  text: string;
}

/** Where a change was, seen from the span. `rewritten`: the span was covered by a replacement that
 *  does not contain it, so what stands there now need not be the developer's answer to it. */
export type Touch = 'before' | 'inside' | 'after' | 'rewritten';

export interface Moved {
  span: Span;
  touch: Touch;
  /** Replaced stretch [from, to) of the old text, and what came in its place: for followers inside
   *  the span. Only where `touch` is `inside`. */
  from: number;
  to: number;
  inserted: string;
}

/**
 * @param end `grows`: what is written right at the span's end belongs to it; `closed`: it does not
 */
export function moveSpan(span: Span, change: TextChange, end: 'grows' | 'closed'): Moved {
  const last = span.start + span.text.length;
  const from = change.offset;
  const to = change.offset + change.length;
  const outside = (touch: Touch, start: number, text = span.text): Moved => ({ span: { start, text }, touch, from: 0, to: 0, inserted: '' });

  if (to < span.start || (to === span.start && change.length > 0)) return outside('before', span.start + change.text.length - change.length);
  if (from > last || (from === last && end === 'closed' && span.text !== '')) return outside('after', span.start);
  if (from < span.start && to < last) {
    // It reaches into the span from before: what it brought is not the span's, the rest is.
    const rest = span.text.slice(to - span.start);
    return { span: { start: from + change.text.length, text: rest }, touch: 'inside', from: 0, to: to - span.start, inserted: '' };
  }
  if (from < span.start || (from === span.start && to > last && span.text !== '')) return covered(span, change);
  const relative = from - span.start;
  const until = Math.min(span.text.length, to - span.start);
  const text = span.text.slice(0, relative) + change.text + span.text.slice(until);
  return { span: { start: span.start, text }, touch: 'inside', from: relative, to: until, inserted: change.text };
}

/** The whole span was replaced together with its surroundings: a formatter, a reload, or a deletion.
 *  The span is where its text (white space aside) stands in the replacement. */
function covered(span: Span, change: TextChange): Moved {
  const whole = { from: 0, to: span.text.length };
  if (span.text.trim() === '' || change.text === '') {
    return { span: { start: change.offset, text: '' }, touch: change.text === '' ? 'inside' : 'rewritten', ...whole, inserted: '' };
  }
  const found = locate(span.text, change.text, span.start - change.offset);
  if (found === null) return { span: { start: change.offset, text: change.text }, touch: 'rewritten', ...whole, inserted: change.text };
  const text = change.text.slice(found.from, found.to);
  return { span: { start: change.offset + found.from, text }, touch: 'inside', ...whole, inserted: text };
}

/** The occurrence of `text` in `within`, compared without white space, that is nearest to `near`. */
function locate(text: string, within: string, near: number): { from: number; to: number } | null {
  const positions: number[] = [];
  let bare = '';
  for (let at = 0; at < within.length; at++) {
    const unit = within.charAt(at);
    if (/\s/.test(unit)) continue;
    positions.push(at);
    bare += unit;
  }
  const wanted = text.replace(/\s+/g, '');
  let best: { from: number; to: number } | null = null;
  for (let at = bare.indexOf(wanted); at >= 0; at = bare.indexOf(wanted, at + 1)) {
    const from = positions[at] ?? 0;
    const to = (positions[at + wanted.length - 1] ?? 0) + 1;
    if (best === null || Math.abs(from - near) < Math.abs(best.from - near)) best = { from, to };
  }
  return best;
}
