/**
 * Files of one tenant, named by their sha256: adapters on their way in and out. What has arrived of a
 * file stays when the link is lost, and the next try goes on from there. A name that is a hash leaves
 * no room for paths.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, fstatSync, linkSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CHUNK_BYTES } from '../../../protocol/engine.ts';
import { HindsightError } from '../../../protocol/errors.ts';

const PART = '.part';

export class FileStore {
  /** Announced sizes of what is on its way. */
  readonly #announced = new Map<string, number>();
  /** Files of the engine itself that may be read, by their hash. */
  readonly #shared = new Map<string, string>();

  constructor(
    private readonly dir: string,
    private readonly limitBytes: number,
  ) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** @returns bytes that are there already
   *  @throws quotaExceeded */
  open(sha256: string, bytes: number): number {
    const whole = this.#size(sha256);
    if (whole !== null) {
      if (whole !== bytes) throw new HindsightError('transferBroken', { problem: `the file of this hash has ${whole} bytes, not ${bytes}` });
      this.#touch(sha256);
      return whole;
    }
    const part = this.#size(sha256 + PART) ?? 0;
    this.#makeRoom(bytes - part, sha256);
    this.#announced.set(sha256, bytes);
    closeSync(openSync(join(this.dir, sha256 + PART), 'a', 0o600));
    return part;
  }

  /** Appends a chunk. @returns bytes that are there now
   *  @throws transferBroken for a gap, or with the last byte where the hash is another */
  async write(sha256: string, offset: number, data: Buffer): Promise<number> {
    const whole = this.#size(sha256);
    if (whole !== null) return whole;
    const path = join(this.dir, sha256 + PART);
    const part = this.#size(sha256 + PART);
    const bytes = this.#announced.get(sha256);
    if (part === null || bytes === undefined) throw new HindsightError('transferBroken', { problem: 'it was not announced with `file/open`' });
    if (offset > part) throw new HindsightError('transferBroken', { problem: `bytes ${part} to ${offset} are missing` });
    // A chunk that was sent again because its answer was lost.
    const fresh = data.subarray(part - offset);
    if (part + fresh.length > bytes) throw new HindsightError('transferBroken', { problem: `it is longer than the ${bytes} bytes that were announced` });
    const file = openSync(path, 'r+');
    try {
      writeSync(file, fresh, 0, fresh.length, part);
    } finally {
      closeSync(file);
    }
    if (part + fresh.length === bytes) await this.#finish(sha256);
    return part + fresh.length;
  }

  /** @throws adapterMissing where there is no such file */
  read(sha256: string, offset: number): Buffer {
    const path = this.#shared.get(sha256) ?? join(this.dir, sha256);
    if (!existsSync(path)) throw missing(sha256);
    const file = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(Math.max(0, Math.min(CHUNK_BYTES, fstatSync(file).size - offset)));
      readSync(file, buffer, 0, buffer.length, offset);
      return buffer;
    } finally {
      closeSync(file);
    }
  }

  /** Takes a file of this machine in, under its hash. */
  async add(path: string): Promise<{ sha256: string; bytes: number }> {
    const sha256 = await hashOf(path);
    const bytes = statSync(path).size;
    if (this.#size(sha256) === null) {
      this.#makeRoom(bytes, sha256);
      linkSync(path, join(this.dir, sha256));
    }
    this.#touch(sha256);
    return { sha256, bytes };
  }

  /** Lets a file of the engine be read, where it is. @returns its bytes */
  share(sha256: string, path: string): number {
    this.#shared.set(sha256, path);
    return statSync(path).size;
  }

  /** Puts a file at a path; the bytes exist once, and stay there when the store lets go of them.
   *  @throws adapterMissing */
  link(sha256: string, path: string): void {
    if (this.#size(sha256) === null) throw missing(sha256);
    linkSync(join(this.dir, sha256), path);
    this.#touch(sha256);
  }

  async #finish(sha256: string): Promise<void> {
    const path = join(this.dir, sha256 + PART);
    this.#announced.delete(sha256);
    const found = await hashOf(path);
    if (found !== sha256) {
      rmSync(path, { force: true });
      throw new HindsightError('transferBroken', { problem: 'its hash is not the one that was announced' });
    }
    renameSync(path, join(this.dir, sha256));
  }

  /** The least recently used files go first; the one that is asked for stays. */
  #makeRoom(bytes: number, keep: string): void {
    const files = readdirSync(this.dir).map((name) => ({ name, ...this.#stat(name) }));
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { name, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total + bytes <= this.limitBytes) return;
      if (name.startsWith(keep)) continue;
      rmSync(join(this.dir, name), { force: true });
      total -= size;
    }
    if (total + bytes > this.limitBytes) throw new HindsightError('quotaExceeded', { problem: `a file of ${bytes} bytes is over its ${this.limitBytes}` });
  }

  #stat(name: string): { size: number; mtimeMs: number } {
    const stat = statSync(join(this.dir, name), { throwIfNoEntry: false });
    return { size: stat?.size ?? 0, mtimeMs: stat?.mtimeMs ?? 0 };
  }

  #size(name: string): number | null {
    return existsSync(join(this.dir, name)) ? this.#stat(name).size : null;
  }

  #touch(name: string): void {
    const now = new Date();
    utimesSync(join(this.dir, name), now, now);
  }
}

function missing(sha256: string): HindsightError {
  return new HindsightError('adapterMissing', { adapter: `file ${sha256.slice(0, 12)}…` });
}

/** In pieces: the loop stays free for others meanwhile. */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
