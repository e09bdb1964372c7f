/**
 * A git history as a developer's stream: first-parent order, for every commit the files it changed
 * and their hunks, in path order and from top to bottom. A stream is self-contained: the text of a
 * file is stored where it first appears, and from then on carried by applying the hunks.
 *
 * On disk: JSON lines, gzip. The first line is the header, every further line one commit. Nothing
 * in it depends on a model or a tokenizer.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';
import { languageOf } from './fileRules.ts';
import { applyHunks, partsOf } from './lines.ts';

const hunk = z.object({ line: z.int().nonnegative(), removed: z.int().nonnegative(), added: z.array(z.string()) });

const changedFile = z.object({
  path: z.string().min(1),
  /** Name before a rename. */
  from: z.string().min(1).optional(),
  /** Text before this commit; absent where the stream already knows it. '' for a new file. */
  base: z.string().optional(),
  deleted: z.literal(true).optional(),
  hunks: z.array(hunk),
});
export type ChangedFile = z.output<typeof changedFile>;

const commit = z.object({ commit: z.string().min(1), files: z.array(changedFile) });
export type StreamCommit = z.output<typeof commit>;

const header = z.object({
  format: z.literal('hindsight-stream'),
  version: z.literal(1),
  name: z.string().min(1),
  /** Newest commit of the history it was made from. */
  origin: z.string().min(1),
  commits: z.int().nonnegative(),
});

export interface Stream {
  name: string;
  origin: string;
  commits: StreamCommit[];
}

/** Texts of the files that the stream has shown so far. */
export type Texts = Map<string, string>;

/** Text of a file before a commit. @throws streamCorrupt where the stream never gave it */
export function textBefore(file: ChangedFile, texts: Texts): string {
  const text = file.base ?? texts.get(file.from ?? file.path);
  if (text === undefined) throw new HindsightError('streamCorrupt', { path: file.path, problem: 'its text is missing' });
  return text;
}

/** Applies a commit to the texts. @throws streamCorrupt where a hunk does not fit */
export function applyCommit(texts: Texts, { commit, files }: StreamCommit): void {
  const after = files.map((file) => {
    const text = file.deleted ? null : applyHunks(textBefore(file, texts), file.hunks);
    if (text === null && !file.deleted) throw new HindsightError('streamCorrupt', { path: file.path, problem: `a hunk of commit ${commit} lies outside the file` });
    return { file, text };
  });
  for (const { file } of after) texts.delete(file.from ?? file.path);
  for (const { file, text } of after) if (text !== null) texts.set(file.path, text);
}

/** Whether a commit adds at least one line that a developer typed. */
export function addsLines({ files }: StreamCommit): boolean {
  return files.some((file) => languageOf(file.path) !== null && file.hunks.some((h) => h.added.some((line) => partsOf(line).body !== '')));
}

/** The part of a stream from its n-th last line-adding commit on, self-contained again. */
export function lastCommits(stream: Stream, n: number): Stream {
  const adding = stream.commits.flatMap((c, index) => (addsLines(c) ? [index] : []));
  const start = adding[Math.max(0, adding.length - n)] ?? 0;
  const texts: Texts = new Map();
  const known = new Set<string>();
  const commits: StreamCommit[] = [];
  stream.commits.forEach((c, index) => {
    if (index >= start) {
      commits.push({ commit: c.commit, files: c.files.map((file) => (known.has(file.from ?? file.path) || file.deleted ? file : { ...file, base: textBefore(file, texts) })) });
      for (const file of c.files) {
        known.delete(file.from ?? file.path);
        if (!file.deleted) known.add(file.path);
      }
    }
    applyCommit(texts, c);
  });
  return { ...stream, commits };
}

export function encodeStream(stream: Stream): Buffer {
  const head: z.input<typeof header> = { format: 'hindsight-stream', version: 1, name: stream.name, origin: stream.origin, commits: stream.commits.length };
  return gzipSync([head, ...stream.commits].map((line) => `${JSON.stringify(line)}\n`).join(''), { level: 9 });
}

/** @throws streamCorrupt with what is wrong, by line */
export function decodeStream(bytes: Uint8Array, path: string): Stream {
  const corrupt = (problem: string): HindsightError => new HindsightError('streamCorrupt', { path, problem });
  const lines = unzip(bytes, corrupt).split('\n').filter((line) => line !== '');
  const head = header.safeParse(parse(lines[0] ?? ''));
  if (!head.success) throw corrupt('its first line is not the header of a Hindsight stream');
  const commits = lines.slice(1).map((line, index) => {
    const parsed = commit.safeParse(parse(line));
    if (!parsed.success) throw corrupt(`line ${index + 2} is not a commit`);
    return parsed.data;
  });
  if (commits.length !== head.data.commits) throw corrupt(`it has ${commits.length} of ${head.data.commits} commits`);
  const stream = { name: head.data.name, origin: head.data.origin, commits };
  const texts: Texts = new Map();
  for (const c of commits) {
    try {
      applyCommit(texts, c);
    } catch (thrown) {
      throw thrown instanceof HindsightError ? corrupt(`${String(thrown.details['path'])}: ${String(thrown.details['problem'])}`) : thrown;
    }
  }
  if (!commits.some(addsLines)) throw corrupt('no commit of it adds a line of code');
  return stream;
}

export async function readStream(path: string): Promise<Stream> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new HindsightError('streamCorrupt', { path, problem: error.code === 'ENOENT' ? 'there is no such file' : error.message });
  });
  return decodeStream(bytes, path);
}

export async function writeStream(path: string, stream: Stream): Promise<void> {
  await writeFile(path, encodeStream(stream));
}

function unzip(bytes: Uint8Array, corrupt: (problem: string) => HindsightError): string {
  try {
    return gunzipSync(bytes).toString('utf8');
  } catch {
    throw corrupt('it is not a whole gzip file');
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return null;
  }
}
