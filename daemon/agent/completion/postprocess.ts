/**
 * What of a raw response is shown. Every rule is a pure function that only cuts from the end, so
 * the shown text is a prefix of the response and each of its tokens is either shown or masked
 * (learning.md, "Divergence"). An empty result means that nothing is offered.
 */
import type { Turn } from '../../journal/records.ts';

export interface Surroundings {
  /** Before and after the cursor, whole. */
  prefix: string;
  suffix: string;
  /** Several lines may be shown. */
  multiline: boolean;
  finishReason: Turn['finishReason'];
}

const MAX_LINES = 6;
/** Lines shorter than this repeat in honest code: `}`, `});`, `else`. */
const TELLING_CHARACTERS = 8;

export interface StopPolicy {
  multiline: boolean;
  /** Stop strings for the engine. */
  stop: string[];
}

/** A few lines, up to the first blank one. */
export const BLOCK: StopPolicy = { multiline: true, stop: ['\n\n'] };

/** One line, unless the cursor is on an empty line that opens a block: there a few lines are worth
 *  showing, up to the first blank one. */
export function stopPolicy(prefix: string, suffix: string): StopPolicy {
  const lines = prefix.split('\n');
  const opened = /[{([:]\s*$|=>\s*$/.test(lines.at(-2) ?? '');
  const empty = (lines.at(-1) ?? '').trim() === '' && restOfLine(suffix).trim() === '';
  return opened && empty ? BLOCK : { multiline: false, stop: ['\n'] };
}

/** The part of a raw response to show. */
export function shownPart(raw: string, around: Surroundings): string {
  const rules = [
    around.multiline ? withinBlock : firstLine,
    withoutRepetition,
    balanced,
    withoutRestOfLine,
    withoutFollowingLines,
    withoutRepeatedLine,
    trimmedEnd,
  ];
  return rules.reduce((text, rule) => rule(text, around), raw);
}

export function firstLine(text: string): string {
  const end = text.search(/\r?\n/);
  return end < 0 ? text : text.slice(0, end);
}

/** Lines up to the first blank one and not outside the block; a line that the token limit cut is
 *  left out unless it is the only one. */
export function withinBlock(text: string, { prefix, finishReason }: Surroundings): string {
  const own = prefix.slice(prefix.lastIndexOf('\n') + 1);
  const indentation = own.length - own.trimStart().length;
  const lines = text.split('\n');
  let count = 1;
  while (count < Math.min(lines.length, MAX_LINES) && inside(lines[count] ?? '', indentation)) count++;
  if (count === lines.length && count > 1 && finishReason === 'length') count--;
  return lines.slice(0, count).join('\n');
}

function inside(line: string, indentation: number): boolean {
  return line.trim() !== '' && line.length - line.trimStart().length >= indentation;
}

/** A loop of the model: the same piece three times in a row keeps its first. */
export function withoutRepetition(text: string): string {
  const loop = /(.{4,60}?)\1{2,}/s.exec(text);
  if (!loop || (loop[1] ?? '').trim() === '' || isRuler(loop[1] ?? '')) return text;
  return text.slice(0, loop.index + (loop[1] ?? '').length);
}

/** `----`, `====`: one character over and over. */
function isRuler(piece: string): boolean {
  return new Set(piece).size === 1;
}

const CLOSING: Record<string, string> = { ')': '(', ']': '[', '}': '{' };

/** Cut before the first bracket that closes what neither the response nor the text before the
 *  cursor opened. */
export function balanced(text: string, { prefix }: Surroundings): string {
  const open = openBrackets(prefix.slice(-4000));
  const known = prefix.length <= 4000;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (quote !== '') {
      if (c === '\\') i++;
      else if (c === quote || c === '\n') quote = '';
    } else if (c === '"' || c === "'" || c === '`') quote = isApostrophe(text, i) ? '' : c;
    else if (c === '(' || c === '[' || c === '{') open.push(c);
    else if (CLOSING[c] !== undefined) {
      const opener = open.pop();
      if (opener === undefined ? known : opener !== CLOSING[c]) return text.slice(0, i);
    }
  }
  return text;
}

/** Brackets still open at the end; a line's own quotes hide theirs. Comments are read as code: a
 *  stray bracket there only makes the rule more lenient or cuts one character early. */
function openBrackets(text: string): string[] {
  const open: string[] = [];
  for (const [token] of text.matchAll(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|[()[\]{}]/g)) {
    if (token.length > 1) continue;
    const opener = CLOSING[token];
    if (opener === undefined) open.push(token);
    else if (open.at(-1) === opener) open.pop();
  }
  return open;
}

function isApostrophe(text: string, i: number): boolean {
  return text[i] === "'" && /\p{L}/u.test(text[i - 1] ?? '') && /\p{L}/u.test(text[i + 1] ?? '');
}

/** The rest of the cursor's line is there already: `foo(a);` before `);` is shown as `foo(a`. */
export function withoutRestOfLine(text: string, { suffix, multiline }: Surroundings): string {
  const rest = restOfLine(suffix).trimEnd();
  if (multiline || rest === '') return text;
  const trimmed = text.trimEnd();
  for (let length = Math.min(rest.length, trimmed.length); length > 0; length--) {
    if (trimmed.endsWith(rest.slice(0, length))) return trimmed.slice(0, -length);
  }
  return text;
}

/** The lines after the cursor are there already: cut where the response starts to repeat them. */
export function withoutFollowingLines(text: string, { prefix, suffix }: Surroundings): string {
  const next = suffix.split('\n').slice(1).find((line) => line.trim() !== '')?.trim();
  if (next === undefined) return text;
  const onEmptyLine = prefix.slice(prefix.lastIndexOf('\n') + 1).trim() === '';
  const lines = text.split('\n');
  const repeated = lines.findIndex((line, index) => (index > 0 || onEmptyLine) && line.trim() === next && (next.length >= TELLING_CHARACTERS || index === lines.length - 1));
  return repeated < 0 ? text : lines.slice(0, repeated).join('\n');
}

/** The line before the cursor once more is a loop of the model, not a suggestion. */
export function withoutRepeatedLine(text: string, { prefix }: Surroundings): string {
  const lines = prefix.split('\n');
  const before = lines.slice(0, -1).findLast((line) => line.trim() !== '')?.trim();
  const whole = ((lines.at(-1) ?? '') + firstLine(text)).trim();
  return whole.length >= TELLING_CHARACTERS && whole === before ? '' : text;
}

/** White space alone is not worth a suggestion, and none is left at the end. */
export function trimmedEnd(text: string): string {
  return text.trimEnd();
}

function restOfLine(suffix: string): string {
  return firstLine(suffix);
}
