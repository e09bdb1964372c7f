/**
 * The per-user socket. One daemon serves a home: whoever holds the lock. The lock is the operating
 * system's (SQLite's exclusive lock on a file of its own), so it is gone with its process, however
 * that ended, and two starts at once cannot both win.
 */
import { lstatSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import Libsql from 'libsql';
import { HindsightError } from '../../protocol/errors.ts';
import { socketPath } from '../../protocol/address.ts';
import { makeHome } from './home.ts';

/** Bytes of a path that fit into a socket's address on every system. */
const LONGEST_PATH = 100;

export interface Listening {
  path: string;
  /** Ends listening and lets the next daemon begin. */
  close(): Promise<void>;
}

/** Listens for clients of this home.
 *  @returns null when another daemon has it: connect to that one
 *  @throws socketOccupied, badRequest for a home whose path is too long */
export async function listen(home: string, onClient: (socket: Socket) => void): Promise<Listening | null> {
  const path = socketPath(home);
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new HindsightError('badRequest', { problem: `${path} is too long for a socket's address`, remedy: `Set HINDSIGHT_HOME to a folder of at most ${LONGEST_PATH - 12} characters.` });
  }
  makeHome(home);
  const release = lock(lockPath(home));
  if (release === null) return null;
  try {
    if (process.platform !== 'win32') await clearStale(path);
    const server = await bind(path, onClient);
    return {
      path,
      async close() {
        await new Promise<void>((resolve) => server.close(() => resolve()));
        release();
      },
    };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

/** Whether no daemon has this home, not even one that is about to end. */
export function isFree(home: string): boolean {
  const release = lock(lockPath(home));
  release?.();
  return release !== null;
}

const lockPath = (home: string): string => join(home, 'daemon.lock');

/** @returns releases the lock; null when another process has it */
function lock(path: string): (() => void) | null {
  const database = new Libsql(path);
  try {
    database.pragma('busy_timeout = 0');
    database.exec('begin exclusive');
    return () => {
      database.exec('rollback');
      database.close();
    };
  } catch (thrown) {
    database.close();
    if (isBusy(thrown)) return null;
    throw new HindsightError('socketOccupied', { path });
  }
}

function isBusy(thrown: unknown): boolean {
  return thrown instanceof Error && /locked|busy/i.test(thrown.message);
}

/** What is left of a daemon that was killed is removed; what is anything else is not ours to remove.
 *  We hold the lock, so nobody who answers here is a daemon. */
async function clearStale(path: string): Promise<void> {
  const kind = lstatSync(path, { throwIfNoEntry: false });
  if (kind === undefined) return;
  if (!kind.isSocket()) throw new HindsightError('socketOccupied', { path });
  const client = await tryConnect(path);
  if (client !== null) {
    client.destroy();
    throw new HindsightError('socketOccupied', { path });
  }
  rmSync(path, { force: true });
}

function bind(path: string, onClient: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onClient);
  // The socket is born with these rights: nobody else can connect, not even for a moment.
  const before = process.umask(0o177);
  return new Promise<Server>((resolve, reject) => {
    server.once('error', () => reject(new HindsightError('socketOccupied', { path })));
    server.listen(path, () => resolve(server));
  }).finally(() => process.umask(before));
}

/** @returns null when nobody listens there */
export function tryConnect(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy();
      // A reset: whoever listened ended before it took the connection.
      if (['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ECONNRESET'].includes(error.code ?? '')) resolve(null);
      else reject(error);
    });
  });
}
