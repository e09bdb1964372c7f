/** Two texts → the hunks between them, by lines. Git does this for histories; logs have no git. */
import { splitLines } from './lines.ts';
import type { Hunk } from './lines.ts';

/** Above this many pairs of differing lines the whole middle counts as rewritten. */
const MAX_PAIRS = 4_000_000;

/** @returns hunks whose `line` counts after those above have been applied (lines.ts) */
export function hunksBetween(before: string, after: string): Hunk[] {
  const [old, now] = [splitLines(before), splitLines(after)];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  const [a, b] = [old.slice(head, old.length - tail), now.slice(head, now.length - tail)];
  if (a.length === 0 && b.length === 0) return [];
  if (a.length * b.length > MAX_PAIRS) return [{ line: head, removed: a.length, added: b }];
  return walk(a, b, commonLengths(a, b), head);
}

/** Length of the longest common subsequence of a[i..] and b[j..], at [i * (b.length + 1) + j]. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint32Array {
  const width = b.length + 1;
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = a[i] === b[j] ? (common[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  return common;
}

function walk(a: readonly string[], b: readonly string[], common: Uint32Array, head: number): Hunk[] {
  const hunks: Hunk[] = [];
  const width = b.length + 1;
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  let hunk: Hunk | null = null;
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      hunk = null;
      i += 1;
      j += 1;
      continue;
    }
    if (!hunk) hunks.push((hunk = { line: head + j, removed: 0, added: [] }));
    if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) {
      hunk.removed += 1;
      i += 1;
    } else {
      hunk.added.push(b[j] ?? '');
      j += 1;
    }
  }
  return hunks;
}
