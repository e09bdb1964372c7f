/**
 * What commits say of accepted text: a commit that contains it, and a revert of that commit, maybe days
 * later (learning.md: late evidence is a correction). Pure; `gitHistory.ts` asks git.
 */
import type { LateEvidence, Turn } from '../journal/records.ts';

export interface Commit {
  hash: string;
  subject: string;
  body: string;
  at: number;
  /** By path, relative to the repository: lines without their ends. */
  files: { path: string; added: string[]; removed: string[] }[];
}

/** A turn with the text of it that was taken, and the commits that are known to contain it. */
export interface TakenText {
  turn: Turn;
  /** Relative to the repository. */
  path: string;
  text: string;
  commits: readonly string[];
}

/** Less is found in any commit. */
const LEAST_CHARACTERS = 8;
const FIELD = '\x1f';
const RECORD = '\x1e';
/** For `git log`: header fields, then the patch. */
export const LOG_FORMAT = `--format=${RECORD}%H${FIELD}%s${FIELD}%b${FIELD}%ct${FIELD}`;

/** @param output of `git log --unified=0 --no-color -p` with LOG_FORMAT, any order */
export function parseLog(output: string): Commit[] {
  return output.split(RECORD).slice(1).map((record) => {
    const [hash = '', subject = '', body = '', seconds = '0', patch = ''] = record.split(FIELD);
    return { hash, subject, body, at: 1000 * Number(seconds), files: filesOf(patch) };
  });
}

function filesOf(patch: string): Commit['files'] {
  const files: Commit['files'] = [];
  let inHunk = false;
  for (const line of patch.split('\n')) {
    const file = files.at(-1);
    if (line.startsWith('diff --git ')) {
      files.push({ path: /^diff --git a\/.* b\/(.*)$/.exec(line)?.[1] ?? '', added: [], removed: [] });
      inHunk = false;
    } else if (line.startsWith('@@')) inHunk = true;
    else if (inHunk && line.startsWith('+')) file?.added.push(line.slice(1));
    else if (inHunk && line.startsWith('-')) file?.removed.push(line.slice(1));
  }
  return files.filter((file) => file.path !== '');
}

/** @param commit a new one; @param texts of the workspace, not older than the commit's reach */
export function commitEvidence(commit: Commit, texts: readonly TakenText[]): LateEvidence[] {
  const reverted = /This reverts commit ([0-9a-f]{7,40})/.exec(commit.body)?.[1];
  return texts.flatMap((taken): LateEvidence[] => {
    const file = commit.files.find(({ path }) => path === taken.path);
    if (file === undefined || taken.text.trim().length < LEAST_CHARACTERS || commit.at + 1000 < taken.turn.offeredAt) return [];
    const { id: turn } = taken.turn;
    const contained = taken.commits.find((hash) => reverted !== undefined && hash.startsWith(reverted));
    if (contained !== undefined && contains(file.removed, taken.text)) {
      return [{ kind: 'takenBack', turn, how: `commit ${commit.hash.slice(0, 9)} reverts ${contained.slice(0, 9)}, which contained it`, at: commit.at }];
    }
    const isNew = !taken.commits.includes(commit.hash);
    return isNew && contains(file.added, taken.text) ? [{ kind: 'commit', turn, hash: commit.hash, subject: commit.subject, at: commit.at }] : [];
  });
}

/** Every line of the text, without its indentation, is one of the lines or the end of one. */
function contains(lines: readonly string[], text: string): boolean {
  const parts = text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  return parts.length > 0 && parts.every((part) => lines.some((line) => line.trim().includes(part)));
}
