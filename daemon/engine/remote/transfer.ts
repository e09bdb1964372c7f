/** Files to and from a listening engine, in chunks, by their hash: what has arrived stays, whatever
 *  becomes of the link. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { CHUNK_BYTES, fileOpen, fileRead, fileWrite } from '../../../protocol/engine.ts';
import type { StoredFile } from '../../../protocol/engine.ts';
import { HindsightError } from '../../../protocol/errors.ts';
import type { RemoteLink } from './link.ts';

/** Seconds for one chunk, reconnecting included. */
const CHUNK_SECONDS = 120;

/** @returns its sha256, when the engine has all of it */
export async function sendFile(link: RemoteLink, path: string): Promise<string> {
  const bytes = statSync(path).size;
  const sha256 = await hashFile(path);
  let { offset } = await link.insist(fileOpen, { sha256, bytes }, { deadline: CHUNK_SECONDS }, 'pure');
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    while (offset < bytes) {
      const length = readSync(file, buffer, 0, buffer.length, offset);
      if (length === 0) throw new HindsightError('transferBroken', { problem: `${path} became shorter` });
      ({ offset } = await link.insist(fileWrite, { sha256, offset, data: buffer.toString('base64', 0, length) }, { deadline: CHUNK_SECONDS }, 'pure'));
    }
    return sha256;
  } finally {
    closeSync(file);
  }
}

/** Writes a file of the engine to `path`. @throws transferBroken where its hash is another */
export async function fetchFile(link: RemoteLink, { bytes, sha256 }: StoredFile, path: string): Promise<void> {
  const hash = createHash('sha256');
  const file = openSync(path, 'w', 0o600);
  try {
    for (let offset = 0; offset < bytes; ) {
      const chunk = Buffer.from((await link.insist(fileRead, { sha256, offset }, { deadline: CHUNK_SECONDS }, 'pure')).data, 'base64');
      if (chunk.length === 0 || offset + chunk.length > bytes) throw new HindsightError('transferBroken', { problem: 'it does not have the size that was said' });
      writeSync(file, chunk);
      hash.update(chunk);
      offset += chunk.length;
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  if (hash.digest('hex') !== sha256) throw new HindsightError('transferBroken', { problem: 'its hash is not the one that was said' });
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path);
  for await (const chunk of file.createReadStream({ highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
