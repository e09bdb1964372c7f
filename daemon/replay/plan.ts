/** What the simulated developer will type in a commit, and at which of its lines completions are asked for. */
import { createHash } from 'node:crypto';
import { languageOf } from './fileRules.ts';
import { applyHunks, partsOf } from './lines.ts';
import type { Hunk } from './lines.ts';
import { textBefore } from './stream.ts';
import type { StreamCommit, Texts } from './stream.ts';

export interface PlannedLine {
  indent: string;
  /** What stands after the indentation; '' for a blank line. */
  body: string;
  end: string;
  /** Completions are asked for here, and the line counts in every metric. */
  measured: boolean;
}

export interface PlannedHunk extends Omit<Hunk, 'added'> {
  added: PlannedLine[];
}

export interface PlannedFile {
  path: string;
  languageId: string;
  before: string;
  hunks: PlannedHunk[];
}

/** Consecutive lines that are measured or left out together, so that the developer still works in stretches. */
const STRETCH = 6;

/**
 * Files of a commit in path order with their hunks from top to bottom. All lines are typed; of the
 * lines that are not blank at most `maxLines` are measured. Which ones depends on the commit, the
 * path and the place alone: stretches of six lines are taken in the order of a hash until the
 * number is reached, so that every method, seed and machine measures the same lines.
 */
export function planCommit(commit: StreamCommit, texts: Texts, maxLines: number): PlannedFile[] {
  const files = commit.files.filter((file) => !file.deleted).map((file) => ({ path: file.path, languageId: languageOf(file.path) ?? 'plaintext', before: textBefore(file, texts), hunks: file.hunks }));
  const stretches = files.flatMap((file) => file.hunks.flatMap((hunk, h) => stretchesOf(hunk).map((lines, s) => ({ hunk, lines, order: hash(`${commit.commit}\0${file.path}\0${h}\0${s}`) }))));
  const measured = new Map<Hunk, Set<number>>();
  let left = maxLines;
  for (const { hunk, lines } of stretches.sort((a, b) => (a.order < b.order ? -1 : 1))) {
    const taken = measured.get(hunk) ?? new Set<number>();
    for (const line of lines.slice(0, left)) taken.add(line);
    measured.set(hunk, taken);
    left -= Math.min(left, lines.length);
  }
  return files.map((file) => ({
    ...file,
    hunks: file.hunks.map((hunk) => ({ ...hunk, added: hunk.added.map((line, index) => ({ ...partsOf(line), measured: measured.get(hunk)?.has(index) === true })) })),
  }));
}

/** Indices of a hunk's added lines that are not blank, in stretches. */
function stretchesOf(hunk: Hunk): number[][] {
  const lines = hunk.added.flatMap((line, index) => (partsOf(line).body === '' ? [] : [index]));
  return Array.from({ length: Math.ceil(lines.length / STRETCH) }, (_, s) => lines.slice(s * STRETCH, (s + 1) * STRETCH));
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Text of a file once its hunks are typed. */
export function textAfter(file: PlannedFile): string | null {
  return applyHunks(file.before, file.hunks.map((hunk) => ({ ...hunk, added: hunk.added.map((line) => line.indent + line.body + line.end) })));
}
