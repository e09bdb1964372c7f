/** A command's own link to the daemon of this user. */
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import type { MessageConnection } from 'vscode-jsonrpc/node';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import { daemonHello, PROTOCOL } from '../../protocol/handshake.ts';
import type { DaemonHello, EditorHello } from '../../protocol/handshake.ts';
import { streamLink } from '../../protocol/links.ts';
import { hindsightHome, socketPath } from '../../protocol/address.ts';
import { tryConnect } from '../server/socket.ts';
import { VERSION } from '../version.ts';

export interface DaemonLink {
  link: MessageConnection;
  hello: DaemonHello;
  /** Resolves once the daemon has ended the link. */
  closed: Promise<void>;
}

const HELLO_SECONDS = 10;

/** Runs `work` with a link to the daemon.
 *  @throws daemonAbsent, protocolMismatch, socketOccupied where something else listens */
export async function withDaemon<T>(workspace: string, work: (daemon: DaemonLink) => Promise<T>): Promise<T> {
  const daemon = await connectDaemon(workspace);
  if (daemon === null) throw new HindsightError('daemonAbsent');
  try {
    return await work(daemon);
  } finally {
    daemon.link.dispose();
  }
}

/** @returns null when no daemon runs */
export async function connectDaemon(workspace: string): Promise<DaemonLink | null> {
  const path = socketPath(hindsightHome());
  const socket = await tryConnect(path);
  if (socket === null) return null;
  const link = streamLink(socket, socket);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  link.onDispose(() => socket.destroy());
  link.onError(() => undefined);
  // Whoever waits for an answer learns that none comes.
  link.onClose(() => link.dispose());
  link.listen();
  try {
    return { link, hello: await greet(link, workspace, path), closed };
  } catch (thrown) {
    link.dispose();
    throw toHindsightError(thrown);
  }
}

async function greet(link: MessageConnection, workspace: string, path: string): Promise<DaemonHello> {
  const hello: EditorHello = { protocol: PROTOCOL, client: { name: 'hindsight command line', version: VERSION }, session: `cli-${randomUUID()}`, workspace };
  const stranger = new HindsightError('socketOccupied', { path });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(stranger), HELLO_SECONDS * 1000);
  });
  try {
    const answer = await Promise.race([link.sendRequest<unknown>('initialize', { processId: null, rootUri: workspace, capabilities: {}, initializationOptions: hello }), late]);
    const parsed = daemonHello.safeParse((answer as { capabilities?: { experimental?: { hindsight?: unknown } } } | null)?.capabilities?.experimental?.hindsight);
    if (!parsed.success) throw stranger;
    return parsed.data;
  } finally {
    clearTimeout(timer);
  }
}

/** The workspace a command is about: a folder, or a URI as it is. */
export function workspaceUri(folder: string = process.cwd()): string {
  return folder.includes('://') ? folder : pathToFileURL(folder).href;
}
