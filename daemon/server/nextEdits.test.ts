import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { nextEditOffered, statusGet } from '../../protocol/editor.ts';
import type { Params } from '../../protocol/message.ts';
import { call, on } from '../../protocol/transport.ts';
import { memoryLink } from '../replay/link.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { serveConnection } from './connection.ts';
import { Daemon } from './daemon.ts';

const WORKSPACE = 'file:///p';
const URI = 'file:///p/a.ts';
const TEXT = 'const total = 1;\nprint(total);\nreturn total;\n';
let home: string;
let clock: VirtualClock;
let daemon: Daemon;

// No model is needed to see a pattern: there is none in this home.
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-nextedit-'));
  clock = new VirtualClock(1_790_000_000_000);
  daemon = await Daemon.start({ home, modelDir: join(home, 'no model'), clock });
});
afterEach(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

async function openWindow(hello: { nextEdits?: boolean }): Promise<{ told: Params<typeof nextEditOffered>[]; write: (version: number, text: string, waits?: number) => Promise<void> }> {
  const { client, server } = memoryLink();
  serveConnection(daemon, server);
  const link: MessageConnection = client;
  link.listen();
  await link.sendRequest('initialize', { processId: null, rootUri: WORKSPACE, capabilities: {}, initializationOptions: { protocol: { min: 1, max: 1 }, client: { name: 'test', version: '1' }, session: 's', workspace: WORKSPACE, ...hello } });
  await link.sendNotification('initialized', {});
  await link.sendNotification('textDocument/didOpen', { textDocument: { uri: URI, languageId: 'typescript', version: 1, text: TEXT } });
  const told: Params<typeof nextEditOffered>[] = [];
  on(link, nextEditOffered, (offer) => told.push(offer));
  const write = async (version: number, text: string, waits = 600): Promise<void> => {
    await link.sendNotification('textDocument/didChange', { textDocument: { uri: URI, version }, contentChanges: [{ text }] });
    for (let trip = 0; trip < 2; trip++) {
      await call(link, statusGet, { workspace: WORKSPACE });
      if (trip === 0) clock.advance(waits);
    }
  };
  return { told, write };
}

it('a window is told of the next place once its user pauses, and of the one after it when the change is made there', async () => {
  const { told, write } = await openWindow({ nextEdits: true });
  await write(2, TEXT.replace('const total', 'const s'), 100);
  expect(told).toEqual([]);
  const renamed = TEXT.replace('const total', 'const sum');
  await write(3, renamed);
  expect(told).toEqual([{ uri: URI, version: 3, offset: renamed.indexOf('total'), length: 5, text: 'sum' }]);
  await write(4, renamed.replace('total', 'sum'));
  expect(told[1]).toMatchObject({ version: 4, offset: renamed.lastIndexOf('total') - 2 });
  await write(5, renamed.replaceAll('total', 'sum'));
  expect(told).toHaveLength(2);
});

it('an editor that did not ask for it is not told', async () => {
  const { told, write } = await openWindow({});
  await write(2, TEXT.replace('const total', 'const sum'));
  expect(told).toEqual([]);
});
