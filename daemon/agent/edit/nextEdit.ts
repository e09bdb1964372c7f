/**
 * The same change at the next place: a name that was just changed once and still stands elsewhere in the
 * file, or any small change that was just made twice. No model is asked. Pure.
 */

/** One small change within a line: what stood there and what stands there now. */
export interface Change {
  before: string;
  after: string;
  /** Where `after` stands in the document. */
  offset: number;
}

export interface NextEdit {
  offset: number;
  length: number;
  text: string;
}

/** What a document was before its latest small change, and that change; the changes before it. */
export interface Edited {
  base: string;
  now: string;
  /** The change before the latest one. */
  previous: Change | null;
}

/** Longer ones are no pattern but text. */
const LONGEST = 60;
/** Shorter names are everywhere by chance. */
const LEAST_NAME = 3;
const NAME = /^[\p{L}_$][\p{L}\p{N}_$]*$/u;
const WORD = /[\p{L}\p{N}_$]/u;
const OPERATOR = /[=!<>&|+\-*/%?:^~.]/;

export function opened(text: string): Edited {
  return { base: text, now: text, previous: null };
}

/** A document changed. Keys of one place are one change; another place, or more than a few words, begins anew. */
export function edited(state: Edited, now: string): Edited {
  if (isSmall(state.base, now)) return { ...state, now };
  const previous = changeBetween(state.base, state.now);
  const base = isSmall(state.now, now) ? state.now : now;
  return { base, now, previous };
}

/** Where the latest change could be made next; the first place after it, around the file's end.
 *  @returns null where it is no pattern, or stands nowhere else */
export function nextEdit({ base, now, previous }: Edited): NextEdit | null {
  const change = changeBetween(base, now);
  if (change === null || change.before.trim() === '') return null;
  const twice = previous !== null && previous.before === change.before && previous.after === change.after;
  if (!twice && !isRename(change, base)) return null;
  const places = placesOf(change.before, now).filter((place) => !isWithin(place, change, now));
  const offset = places.find((place) => place >= change.offset + change.after.length) ?? places[0];
  return offset === undefined ? null : { offset, length: change.before.length, text: change.after };
}

/** A new name for an old one. Where the new one stood in the file already, another thing is meant. */
function isRename({ before, after }: Change, base: string): boolean {
  return before.length >= LEAST_NAME && NAME.test(before) && NAME.test(after) && placesOf(after, base).length === 0;
}

/** Where a text stands as a whole: no part of a longer name. */
function placesOf(text: string, within: string): number[] {
  const places: number[] = [];
  for (let at = within.indexOf(text); at >= 0; at = within.indexOf(text, at + text.length)) {
    const end = at + text.length;
    if (!joins(within[at - 1], text[0]) && !joins(text.at(-1), within[end])) places.push(at);
  }
  return places;
}

/** `==` stands in every `===`: a place that has the new text already is none. */
function isWithin(place: number, { before, after }: Change, text: string): boolean {
  for (let at = after.indexOf(before); at >= 0; at = after.indexOf(before, at + 1)) {
    if (text.startsWith(after, place - at)) return true;
  }
  return false;
}

function isSmall(base: string, now: string): boolean {
  const { start, baseEnd, nowEnd } = difference(base, now);
  const [before, after] = [base.slice(start, baseEnd), now.slice(start, nowEnd)];
  return Math.max(before.length, after.length) <= LONGEST && !before.includes('\n') && !after.includes('\n');
}

/** The one change between two texts, widened to whole names and operators. */
export function changeBetween(base: string, now: string): Change | null {
  if (base === now || !isSmall(base, now)) return null;
  let { start, baseEnd, nowEnd } = difference(base, now);
  const [left, right] = [classOf(base.slice(start, baseEnd)[0] ?? now[start]), classOf(base.slice(start, baseEnd).at(-1) ?? now[nowEnd - 1])];
  while (start > 0 && left !== null && classOf(base[start - 1]) === left) start--;
  // What was only put in is known by the name that follows it.
  const onward = right ?? (start === baseEnd ? 'name' : null);
  while (onward !== null && classOf(base[baseEnd]) === onward) {
    baseEnd++;
    nowEnd++;
  }
  return { before: base.slice(start, baseEnd), after: now.slice(start, nowEnd), offset: start };
}

function difference(base: string, now: string): { start: number; baseEnd: number; nowEnd: number } {
  const shorter = Math.min(base.length, now.length);
  let start = 0;
  while (start < shorter && base.charCodeAt(start) === now.charCodeAt(start)) start++;
  let common = 0;
  while (common < shorter - start && base.charCodeAt(base.length - 1 - common) === now.charCodeAt(now.length - 1 - common)) common++;
  return { start, baseEnd: base.length - common, nowEnd: now.length - common };
}

function classOf(character: string | undefined): 'name' | 'operator' | null {
  if (character === undefined) return null;
  return WORD.test(character) ? 'name' : OPERATOR.test(character) ? 'operator' : null;
}

function joins(left: string | undefined, right: string | undefined): boolean {
  return WORD.test(left ?? '') && WORD.test(right ?? '');
}
