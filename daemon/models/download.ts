/** One file of a repository onto this disk: what is there already is not asked for again, and nothing
 *  is kept under its name whose hash is not the published one. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { HindsightError } from '../../protocol/errors.ts';

/** A file as the hub lists it. */
export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /** Of a large file; null for one that lies in git itself. */
  readonly sha256: string | null;
  /** Git's own name of the content: sha1 over `blob SIZE\0` and the bytes. */
  readonly gitOid: string;
}

/** Tries that bring nothing before it gives up. */
const IDLE_TRIES = 3;
const FIRST_PAUSE_MS = 500;
const IDLE_MS = 60_000;

/** Errors after which trying again is no use. */
export class Final extends Error {}

/** @param source opens the file's bytes, as a blob that reads only the slice that is asked for
 *  @param onBytes called with the number of bytes as they come, those that were there already first
 *  @throws downloadFailed, downloadCorrupt */
export async function download(repository: string, file: RemoteFile, folder: string, source: () => Promise<Blob>, onBytes: (bytes: number) => void): Promise<void> {
  const target = path.join(folder, file.path);
  if ((await hashProblem(target, file)) === null) return onBytes(file.size);
  // Named by its content: another revision's beginning is never continued.
  const part = path.join(folder, `${file.sha256 ?? file.gitOid}.part`);
  onBytes(Math.min(sizeOf(part), file.size));
  for (let idle = 0; sizeOf(part) < file.size; ) {
    const before = sizeOf(part);
    try {
      await receive(await source(), part, file.size, onBytes);
    } catch (thrown) {
      idle = sizeOf(part) > before ? 0 : idle + 1;
      const problem = thrown instanceof Error ? thrown.message : String(thrown);
      if (thrown instanceof Final || idle >= IDLE_TRIES) throw new HindsightError('downloadFailed', { file: file.path, repository, problem });
      await wait(FIRST_PAUSE_MS * 2 ** idle);
    }
  }
  const problem = await hashProblem(part, file);
  if (problem !== null) {
    await rm(part);
    throw new HindsightError('downloadCorrupt', { file: file.path, repository, problem });
  }
  await rename(part, target);
}

async function receive(source: Blob, part: string, size: number, onBytes: (bytes: number) => void): Promise<void> {
  const reader = source.slice(sizeOf(part), size).stream().getReader();
  const handle = await open(part, 'a');
  try {
    for (;;) {
      const { done, value } = await beforeIdle(reader.read());
      if (done) break;
      await handle.write(value);
      onBytes(value.length);
    }
    await handle.sync();
  } finally {
    await handle.close();
    reader.cancel().catch(() => undefined);
  }
  if (sizeOf(part) < size) throw new Error(`the connection ended ${size - sizeOf(part)} bytes early`);
}

async function beforeIdle<T>(read: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came for ${IDLE_MS / 1000} s`)), IDLE_MS);
  });
  return Promise.race([read, late]).finally(() => clearTimeout(timer));
}

/** @returns null where the file is there with the published content */
async function hashProblem(file: string, { size, sha256, gitOid }: RemoteFile): Promise<string | null> {
  const there = sizeOf(file);
  if (there !== size) return `it has ${there} bytes and not ${size}`;
  const hash = createHash(sha256 === null ? 'sha1' : 'sha256');
  if (sha256 === null) hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  const found = hash.digest('hex');
  return found === (sha256 ?? gitOid) ? null : `its hash is ${found.slice(0, 12)} and not ${(sha256 ?? gitOid).slice(0, 12)}`;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
