/** `hindsight lsp`: the daemon as a language server on stdin and stdout, for editors other than VS Code. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { hindsightHome, socketPath } from '../../protocol/address.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { streamEnds } from '../../protocol/links.ts';
import { PlainClient } from '../server/plainClient.ts';
import type { Message, Passed } from '../server/plainClient.ts';
import { tryConnect } from '../server/socket.ts';
import { workspaceUri } from './client.ts';

const START_SECONDS = 20;
const POLL_MS = 100;

export function registerLsp(program: Command): void {
  program
    .command('lsp')
    .description('speak LSP on stdin and stdout, for editors other than VS Code; starts the daemon where none runs')
    .action(async () => bridge(await daemonSocket()));
}

/** @throws deadline where a daemon that was started does not listen */
async function daemonSocket(): Promise<Socket> {
  const path = socketPath(hindsightHome());
  const running = await tryConnect(path);
  if (running !== null) return running;
  // It outlives this editor, as the one that a window starts does.
  spawn(process.execPath, [process.argv[1] ?? __filename, 'serve'], { detached: true, stdio: 'ignore' }).unref();
  for (const deadline = Date.now() + START_SECONDS * 1000; Date.now() < deadline; await wait(POLL_MS)) {
    const socket = await tryConnect(path);
    if (socket !== null) return socket;
  }
  throw new HindsightError('deadline', { what: 'The start of the daemon', seconds: START_SECONDS });
}

/** Passes messages both ways until one side ends.
 *  @throws linkClosed where it was the daemon's, so that the editor sees a server that ended */
async function bridge(socket: Socket): Promise<void> {
  const plain = new PlainClient(`lsp-${randomUUID()}`, workspaceUri(), Date.now);
  const client = streamEnds(process.stdin, process.stdout);
  const daemon = streamEnds(socket, socket);
  let leaving = false;
  const pass = ({ daemon: toDaemon, client: toClient }: Passed): void => {
    // A writer keeps the order; what fails is followed by a close.
    for (const message of toDaemon) daemon.writer.write(message).catch(() => undefined);
    for (const message of toClient) client.writer.write(message).catch(() => undefined);
  };
  client.reader.listen((message) => {
    leaving ||= (message as Message).method === 'exit';
    pass(plain.fromClient(message as Message));
  });
  daemon.reader.listen((message) => pass(plain.fromDaemon(message as Message)));
  process.stdin.once('end', () => {
    leaving = true;
    socket.end();
  });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  process.stdin.destroy();
  if (!leaving) throw new HindsightError('linkClosed', { what: 'the editor' });
}
