// Texts as lines, and the hunks between two of them. Pure.
import { diffArrays } from 'diff';

/** Lines with their ends; only the last may have none. Joined they are the text again. */
export function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Lines [beforeStart, beforeEnd) stand where [afterStart, afterEnd) stood, or the other way round; both in line indexes. */
export interface Hunk {
  readonly beforeStart: number;
  readonly beforeEnd: number;
  readonly afterStart: number;
  readonly afterEnd: number;
}

/** Beyond this many differing lines a comparison costs more than it says: then the rest is one hunk. */
const MOST_EDITS = 3000;

export function hunksBetween(before: readonly string[], after: readonly string[]): Hunk[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const [old, now] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  if (old.length === 0 && now.length === 0) return [];
  const whole: Hunk = { beforeStart: start, beforeEnd: before.length - end, afterStart: start, afterEnd: after.length - end };
  if (old.length === 0 || now.length === 0) return [whole];
  const parts = diffArrays(old, now, { maxEditLength: MOST_EDITS });
  return parts === undefined ? [whole] : joined(parts, start);
}

/** Runs of removed and added lines that follow one another are one hunk. */
function joined(parts: readonly { added: boolean; removed: boolean; value: string[] }[], offset: number): Hunk[] {
  const hunks: Hunk[] = [];
  let [before, after] = [offset, offset];
  let open: Hunk | null = null;
  for (const { added, removed, value } of parts) {
    if (!added && !removed) {
      if (open !== null) hunks.push(open);
      open = null;
      before += value.length;
      after += value.length;
      continue;
    }
    open ??= { beforeStart: before, beforeEnd: before, afterStart: after, afterEnd: after };
    if (removed) before += value.length;
    else after += value.length;
    open = { ...open, beforeEnd: before, afterEnd: after };
  }
  if (open !== null) hunks.push(open);
  return hunks;
}

/** Whether two line ranges share a line; an empty one is a place between two lines, and is shared where it is inside. */
export function overlap(aStart: number, aEnd: number, bStart: number, bEnd: number): boolean {
  return aStart < bEnd && bStart < aEnd;
}

/** The same, and places that touch. */
export function touch(aStart: number, aEnd: number, bStart: number, bEnd: number): boolean {
  return overlap(aStart, aEnd, bStart, bEnd) || ((aStart === aEnd || bStart === bEnd) && aStart <= bEnd && bStart <= aEnd);
}
