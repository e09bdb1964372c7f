/**
 * A daemon as a process: listens, serves whoever connects, and ends when it is idle and alone, when
 * asked by `hindsight stop`, or on a signal of the system.
 */
import type { Socket } from 'node:net';
import { streamLink } from '../../protocol/links.ts';
import { serveConnection } from './connection.ts';
import { Daemon } from './daemon.ts';
import type { DaemonOptions } from './daemon.ts';
import { listen } from './socket.ts';

export interface ServeOptions extends DaemonOptions {
  /** Idle and alone for so long, it ends. */
  graceSeconds: number;
}

/** Serves until it is over.
 *  @returns at once, `false`, when another daemon has this home
 *  @throws socketOccupied, journalNewer, journalCorrupt */
export async function serve(options: ServeOptions, onListening: (path: string) => void): Promise<boolean> {
  const clients = new Set<Socket>();
  // Who connects before the journal is open is served right after.
  let accept: (socket: Socket) => void = () => undefined;
  const listening = await listen(options.home, (socket) => {
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    socket.on('error', () => socket.destroy());
    accept(socket);
  });
  if (listening === null) return false;
  let daemon: Daemon;
  try {
    daemon = await Daemon.start(options);
  } catch (thrown) {
    await listening.close();
    throw thrown;
  }
  accept = (socket) => serveConnection(daemon, streamLink(socket, socket));
  for (const socket of clients) accept(socket);
  onListening(listening.path);
  await over(daemon, options.graceSeconds);
  for (const socket of clients) socket.end();
  await daemon.stop();
  for (const socket of clients) socket.destroy();
  await listening.close();
  return true;
}

/** Resolves when the daemon should end. */
function over(daemon: Daemon, graceSeconds: number): Promise<void> {
  return new Promise((resolve) => {
    let idleSince = Date.now();
    const poll = setInterval(() => {
      if (!daemon.idle) idleSince = Date.now();
      else if (Date.now() - idleSince >= graceSeconds * 1000) end();
    }, Math.min(1000, 250 * graceSeconds + 50));
    const end = (): void => {
      clearInterval(poll);
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, end);
      daemon.stopping.removeEventListener('abort', end);
      resolve();
    };
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, end);
    daemon.stopping.addEventListener('abort', end);
  });
}
