/**
 * A git repository → a stream. The history is followed by first parents, so a merge counts as the
 * one change it made to the branch. Renames are followed; the root commit (it has no parent to
 * check out) and files that are not a developer's own code (fileRules.ts) are left out.
 *
 * Every text that the hunks carry is compared with the blob git names; a file that differs (an
 * attribute rewrote it) is left out of that commit and starts anew when it is next touched.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { simpleGit } from 'simple-git';
import type { SimpleGit } from 'simple-git';
import { HindsightError } from '../../protocol/errors.ts';
import { isTyped, languageOf } from './fileRules.ts';
import { applyHunks } from './lines.ts';
import type { Hunk } from './lines.ts';
import { addsLines } from './stream.ts';
import type { ChangedFile, Stream, StreamCommit, Texts } from './stream.ts';

/** A changed file as git reports it. */
interface Entry {
  status: string;
  before: { blob: string; path: string };
  after: { blob: string; path: string };
  hunks: Hunk[];
}

/** @param commits  how many line-adding commits, counted from the newest
 *  @throws repositoryUnusable */
export async function streamOf(repository: string, commits: number): Promise<Stream> {
  const path = resolve(repository);
  const unusable = (problem: string): HindsightError => new HindsightError('repositoryUnusable', { path, problem });
  const git = await open(path, unusable);
  const history = (await git.raw(['rev-list', '--first-parent', '--parents', 'HEAD']).catch(() => '')).split('\n').filter((line) => line !== '');
  if (history.length === 0) throw unusable('it has no commits');
  const changes = await newest(git, history, commits);
  const stream = { name: await nameOf(git, path), origin: history[0]?.split(' ')[0] ?? '', commits: await withBases(git, changes) };
  // Its first commit is what the second one is measured after; one alone compares nothing.
  if (stream.commits.filter(addsLines).length < 2) throw unusable('fewer than two of its commits add lines of code');
  return stream;
}

async function open(path: string, unusable: (problem: string) => HindsightError): Promise<SimpleGit> {
  if (!existsSync(path)) throw unusable('there is no such folder');
  const git = simpleGit({ baseDir: path, config: ['core.quotePath=false'] });
  // A bare repository will do: nothing is ever checked out.
  if ((await git.raw(['rev-parse', '--git-dir']).catch(() => '')) === '') throw unusable('it is not a git repository');
  return git;
}

/** What its package calls itself; a folder can have any name. */
async function nameOf(git: SimpleGit, path: string): Promise<string> {
  const named = async (file: string, pattern: RegExp): Promise<string | undefined> => pattern.exec(await git.raw(['show', `HEAD:${file}`]).catch(() => ''))?.[1];
  const manifest = (await named('package.json', /"name":\s*"([^"]+)"/)) ?? (await named('pyproject.toml', /^name\s*=\s*"([^"]+)"/m));
  const root = (await git.raw(['rev-parse', '--show-toplevel']).catch(() => '')).trim();
  return manifest ?? basename(root || path.replace(/(\/?\.git)?$/, ''));
}

/** Walks back until enough commits add lines. @returns oldest first */
async function newest(git: SimpleGit, history: string[], wanted: number): Promise<{ commit: string; entries: Entry[] }[]> {
  const found: { commit: string; entries: Entry[] }[] = [];
  let adding = 0;
  for (const line of history) {
    const [commit, parent] = line.split(' ');
    if (!commit || !parent || adding === wanted) break;
    const entries = await entriesOf(git, parent, commit);
    found.push({ commit, entries });
    if (entries.some((entry) => entry.hunks.some((hunk) => hunk.added.some((text) => text.trim() !== '')))) adding += 1;
  }
  return found.reverse();
}

/** Gives every file its text where the stream does not carry it yet. */
async function withBases(git: SimpleGit, changes: { commit: string; entries: Entry[] }[]): Promise<StreamCommit[]> {
  const texts: Texts = new Map();
  const commits: StreamCommit[] = [];
  for (const { commit, entries } of changes) {
    const files: ChangedFile[] = [];
    const after: [string, string][] = [];
    for (const entry of entries) {
      const change = await changeOf(git, entry, texts);
      if (!change) continue;
      files.push(change.file);
      if (change.text !== null) after.push([change.file.path, change.text]);
    }
    for (const entry of entries) texts.delete(entry.before.path);
    for (const [path, text] of after) texts.set(path, text);
    if (files.length > 0) commits.push({ commit, files });
  }
  return commits;
}

async function changeOf(git: SimpleGit, entry: Entry, texts: Texts): Promise<{ file: ChangedFile; text: string | null } | null> {
  const { status, before, after, hunks } = entry;
  // What stood under the name of a new file was not a developer's code any more.
  const known = status === 'A' ? undefined : texts.get(before.path);
  if (status === 'D') return known === undefined ? null : { file: { path: before.path, deleted: true, hunks: [] }, text: null };
  const path = after.path;
  const renamed = status === 'R' && known !== undefined ? { from: before.path } : {};
  const base = known ?? (status === 'A' ? '' : await blobText(git, before.blob));
  const text = base === null ? null : applyHunks(base, hunks);
  if (base === null || text === null || !isTyped(base) || !isTyped(text) || blobName(text, after.blob.length) !== after.blob) return null;
  if (base === text && !('from' in renamed)) return null;
  return { file: { path, ...renamed, ...(known === undefined ? { base } : {}), hunks }, text };
}

/** @returns null where the blob is not UTF-8 text */
async function blobText(git: SimpleGit, blob: string): Promise<string | null> {
  const bytes = (await git.binaryCatFile(['blob', blob])) as Buffer;
  const text = bytes.toString('utf8');
  return Buffer.compare(Buffer.from(text), bytes) === 0 ? text : null;
}

function blobName(text: string, length: number): string {
  const bytes = Buffer.from(text);
  return createHash(length === 64 ? 'sha256' : 'sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

/** Changed code files of one commit against its first parent, in path order. */
async function entriesOf(git: SimpleGit, parent: string, commit: string): Promise<Entry[]> {
  const out = await git.raw(['diff-tree', '-r', '-M', '-z', '--no-abbrev', '--no-ext-diff', '--no-textconv', '--no-color', '--diff-algorithm=histogram', '-U0', '--patch-with-raw', parent, commit]);
  const border = out.indexOf('\0\0');
  const fields = (border < 0 ? out : out.slice(0, border)).split('\0').filter((field) => field !== '');
  const patches = (border < 0 ? '' : out.slice(border + 2)).split(/^(?=diff --git )/m);
  const entries: Entry[] = [];
  for (let at = 0, patch = 0; at < fields.length; ) {
    const [, , beforeBlob = '', afterBlob = '', status = ''] = fields[at++]?.split(' ') ?? [];
    const beforePath = fields[at++] ?? '';
    const afterPath = /^[RC]/.test(status) ? (fields[at++] ?? '') : beforePath;
    const text = patches[patch++] ?? '';
    if (status === 'T') patch += 1; // a file became a link or the reverse: two patches, no developer's edit
    else if (languageOf(afterPath) !== null) {
      entries.push({ status: status.slice(0, 1), before: { blob: beforeBlob, path: beforePath }, after: { blob: afterBlob, path: afterPath }, hunks: hunksOf(text) });
    }
  }
  return entries.sort((a, b) => (a.after.path < b.after.path ? -1 : a.after.path > b.after.path ? 1 : 0));
}

/** Hunks of one file's patch, made with no context lines. */
export function hunksOf(patch: string): Hunk[] {
  const hunks: Hunk[] = [];
  let hunk: Hunk | undefined;
  let last: 'added' | 'removed' | undefined;
  for (const line of patch.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const head = /^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (head) {
      // Without added lines git names the line before the gap.
      hunk = { line: Number(head[2]) - (head[3] === '0' ? 0 : 1), removed: Number(head[1] ?? 1), added: [] };
      hunks.push(hunk);
    } else if (hunk && line.startsWith('+')) {
      hunk.added.push(line.slice(1));
      last = 'added';
    } else if (hunk && line.startsWith('-')) {
      last = 'removed';
    } else if (hunk && line.startsWith('\\') && last === 'added') {
      hunk.added.push((hunk.added.pop() ?? '').replace(/\n$/, ''));
    }
  }
  return hunks;
}
