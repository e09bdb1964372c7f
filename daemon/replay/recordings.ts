/** A folder of recorded sessions → a stream: each stretch of editing without a long pause is one commit. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import { hunksBetween } from './diff.ts';
import { isTyped, languageOf } from './fileRules.ts';
import { readRecording } from './recording.ts';
import type { Recording, RecordedChange } from './recording.ts';
import { addsLines } from './stream.ts';
import type { ChangedFile, Stream, StreamCommit } from './stream.ts';

const PAUSE_MS = 60_000;

export interface RecordingFacts {
  file: string;
  changes: number;
  accepts: Recording['accepts'];
  /** Text of each document at the end, by its hash. */
  documents: { path: string; bytes: number; sha256: string }[];
}

/** @throws recordingCorrupt */
export function streamOfRecordings(folder: string): { stream: Stream; facts: RecordingFacts[] } {
  const path = resolve(folder);
  const corrupt = (problem: string): HindsightError => new HindsightError('recordingCorrupt', { path, problem });
  if (!existsSync(path)) throw corrupt('there is no such folder');
  const names = readdirSync(path).filter((name) => name.endsWith('.json')).sort();
  if (names.length === 0) throw corrupt('there is no .json file in it');
  const recordings = names.map((name) => ({ name, recording: readRecording(parse(join(path, name)), join(path, name)) }));
  const commits = recordings.flatMap(({ name, recording }) => commitsOf(name, recording));
  if (commits.filter(addsLines).length < 2) throw corrupt('fewer than two stretches of editing in it add lines of code');
  return {
    stream: { name: basename(path), origin: hash(names.join('\n')).slice(0, 12), commits },
    facts: recordings.map(({ name, recording }) => ({
      file: name,
      changes: recording.changes.length,
      accepts: recording.accepts,
      documents: [...recording.documents].map(([document, text]) => ({ path: document, bytes: Buffer.byteLength(text), sha256: hash(text) })),
    })),
  };
}

function commitsOf(name: string, { changes }: Recording): StreamCommit[] {
  const stretches: RecordedChange[][] = [];
  let last = -Infinity;
  for (const change of changes) {
    if (change.time - last > PAUSE_MS || stretches.length === 0) stretches.push([]);
    stretches.at(-1)?.push(change);
    last = change.time;
  }
  return stretches.map((stretch, at) => ({ commit: `${name}#${at + 1}`, files: filesOf(stretch) })).filter(addsLines);
}

/** Every file with its whole text: what happened to it between two stretches is not told as an edit. */
function filesOf(stretch: readonly RecordedChange[]): ChangedFile[] {
  const paths = [...new Set(stretch.map(({ path }) => path))].sort();
  return paths.flatMap((path) => {
    const own = stretch.filter((change) => change.path === path);
    const [base, after] = [own[0]?.before ?? '', own.at(-1)?.after ?? ''];
    if (languageOf(path) === null || base === after || !isTyped(base) || !isTyped(after)) return [];
    return [{ path, base, hunks: hunksBetween(base, after) }];
  });
}

function parse(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch {
    throw new HindsightError('recordingCorrupt', { path, problem: 'it is not JSON' });
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
