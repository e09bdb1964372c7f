/**
 * When the simulated developer takes a suggestion: its full first line is what the commit has there
 * (then the following lines too, as far as they match), or a prefix of at least 8 characters, cut
 * at a word's end, is. Otherwise the commit's text is typed.
 */

export interface Acceptance {
  /** Characters of the suggestion that are taken, from its start. */
  taken: number;
  /** The whole suggestion was taken: the editor's accept command runs. */
  whole: boolean;
  /** Lines beyond the first that are taken in full. */
  moreLines: number;
}

const MIN_PREFIX = 8;

/** @param suggestion  what is offered at the cursor
 *  @param rest        what the commit has from the cursor to the end of the line
 *  @param following   the commit's next added lines, with indentation, without line ends
 *  @returns null where the developer types on */
export function acceptance(suggestion: string, rest: string, following: readonly string[]): Acceptance | null {
  const [first = '', ...more] = suggestion.split(/\r?\n/);
  if (first !== rest || rest === '') return prefix(first, rest, suggestion);
  let moreLines = 0;
  while (moreLines < more.length && moreLines < following.length && more[moreLines] === following[moreLines]) moreLines += 1;
  const whole = moreLines === more.length;
  return { whole, moreLines, taken: whole ? suggestion.length : lengthOfLines(suggestion, moreLines + 1) };
}

/** Length of the first `count` lines of a text, without the end of the last of them. */
function lengthOfLines(text: string, count: number): number {
  let end = -1;
  for (let line = 0; line < count; line += 1) {
    const next = text.indexOf('\n', end + 1);
    if (next < 0) return text.length;
    end = next;
  }
  return text[end - 1] === '\r' ? end - 1 : end;
}

function prefix(first: string, rest: string, suggestion: string): Acceptance | null {
  let length = 0;
  while (length < first.length && length < rest.length && first[length] === rest[length]) length += 1;
  while (length > 0 && !(isWordEnd(first, length) && isWordEnd(rest, length))) length -= 1;
  length = first.slice(0, length).trimEnd().length;
  return length < MIN_PREFIX ? null : { taken: length, whole: length === suggestion.length, moreLines: 0 };
}

/** Whether no identifier is cut in two at `at`. */
function isWordEnd(text: string, at: number): boolean {
  return !(/\w/.test(text[at - 1] ?? '') && /\w/.test(text[at] ?? ''));
}

/** Lengths of a line's text after its first and its second word: where completions are asked for again. */
export function wordEnds(body: string, words: number): number[] {
  return [...body.matchAll(/\w+/g)].map((word) => word.index + word[0].length).filter((end) => end < body.length).slice(0, words);
}
