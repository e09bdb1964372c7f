/** What leaves this machine for an attached engine, counted on the wire: real daemon, real engine, a proxy between. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { socketPath } from '../../protocol/address.ts';
import { consentSet, statusGet } from '../../protocol/editor.ts';
import { PROTOCOL } from '../../protocol/handshake.ts';
import { streamLink } from '../../protocol/links.ts';
import { formatPairing } from '../../protocol/pairing.ts';
import { engineAttach, engineDetach } from '../../protocol/remote.ts';
import { call } from '../../protocol/transport.ts';
import { startListening } from '../engine/remote/listening.fixture.ts';
import type { ListeningEngine } from '../engine/remote/listening.fixture.ts';
import { tryConnect } from './socket.ts';

/** Token ids of a prompt take more than this, a heartbeat far less. */
const PROMPT_BYTES = 300;
const TEXT = Array.from({ length: 40 }, (_, i) => `export function made${i}(left: number): number {\n  return left + ${i};\n}\n`).join('');

let home: string;
let engine: ListeningEngine;
let daemon: ChildProcess;
let proxy: Server;
let sent = 0;
/** Pieces of the stream that could hold a prompt. */
let prompts = 0;
const links: MessageConnection[] = [];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-attachment-'));
  engine = await startListening();
  proxy = createServer((socket) => {
    const up = connect(engine.pairing.port, engine.pairing.host);
    socket.on('data', (chunk: Buffer) => {
      if (chunk.length > PROMPT_BYTES) prompts++;
      sent += chunk.length;
      up.write(chunk);
    });
    up.pipe(socket);
    for (const one of [socket, up]) one.on('error', () => undefined).on('close', () => (socket.destroy(), up.destroy()));
  });
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
  daemon = spawn(process.execPath, [resolve('dist/hindsight.js'), 'serve', '--idle', '60', '--threads', '1', '--when', 'always'], { env: { ...process.env, HINDSIGHT_HOME: home }, stdio: 'ignore' });
});
afterAll(async () => {
  for (const link of links) link.dispose();
  daemon.kill('SIGKILL');
  proxy.close();
  await engine.stop();
  rmSync(home, { recursive: true, force: true });
});

/** A window on a workspace, with a file open in it. */
async function open(workspace: string): Promise<MessageConnection> {
  let socket: Socket | null = null;
  for (let attempt = 0; socket === null && attempt < 300; attempt++) socket = await tryConnect(socketPath(home)).then(async (one) => one ?? pause(100, null));
  if (socket === null) throw new Error('the daemon does not listen');
  const link = streamLink(socket, socket);
  link.onError(() => undefined);
  link.listen();
  links.push(link);
  await link.sendRequest('initialize', { processId: null, rootUri: workspace, capabilities: {}, initializationOptions: { protocol: PROTOCOL, client: { name: 'test', version: '1' }, session: workspace, workspace } });
  await link.sendNotification('textDocument/didOpen', { textDocument: { uri: `${workspace}/a.ts`, languageId: 'typescript', version: 1, text: TEXT } });
  return link;
}

/** What leaves for the engine, beyond heartbeats, while a window asks for three completions. */
async function promptsOf(link: MessageConnection, workspace: string): Promise<number> {
  const before = prompts;
  for (const line of [3, 30, 60]) await link.sendRequest('textDocument/inlineCompletion', { textDocument: { uri: `${workspace}/a.ts` }, position: { line: line + 1, character: 2 }, context: { triggerKind: 0 } });
  return prompts - before;
}

it('token ids of the attached and consented workspace travel, and nothing of any other', async () => {
  const [mine, other] = ['file:///mine', 'file:///other'];
  const [here, there] = [await open(mine), await open(other)];
  await expect.poll(() => call(here, statusGet, { workspace: mine }).then(({ state }) => state), { timeout: 60_000 }).toBe('serving');
  for (const [link, workspace] of [[here, mine], [there, other]] as const) await call(link, consentSet, { workspace, state: 'granted' });
  expect(sent).toBe(0);
  const { port } = proxy.address() as { port: number };
  await call(here, engineAttach, { pairing: formatPairing({ ...engine.pairing, host: '127.0.0.1', port }), workspace: mine }, { deadline: 120 });
  expect((await call(here, statusGet, { workspace: mine })).remote?.link).toBe('up');
  expect(await promptsOf(here, mine), 'attached').toBeGreaterThanOrEqual(3);
  expect((await call(there, statusGet, { workspace: other })).remote, 'another workspace').toBeNull();
  expect(await promptsOf(there, other), 'another workspace').toBe(0);
  await call(here, consentSet, { workspace: mine, state: 'refused' });
  expect(await promptsOf(here, mine), 'consent taken back').toBe(0);
  await call(here, consentSet, { workspace: mine, state: 'granted' });
  expect(await promptsOf(here, mine), 'consent given again').toBeGreaterThanOrEqual(3);
  // The other one's owner agrees to send to another engine: nothing of this workspace follows there.
  await call(there, engineAttach, { pairing: formatPairing({ ...engine.token('second'), host: '127.0.0.1', port }), workspace: other }, { deadline: 120 });
  expect((await call(here, statusGet, { workspace: mine })).remote, 'attached elsewhere before').toBeNull();
  expect(await promptsOf(here, mine), 'attached elsewhere before').toBe(0);
  expect(await promptsOf(there, other), 'attached now').toBeGreaterThanOrEqual(3);
  await call(here, engineDetach, {});
  expect(await promptsOf(there, other), 'detached').toBe(0);
});
