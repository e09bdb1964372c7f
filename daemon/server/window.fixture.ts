/** A window as the daemon sees one, in this process: a link on which the handshake has been made. */
import type { MessageConnection } from 'vscode-jsonrpc';
import { memoryLink } from '../replay/link.ts';
import { serveConnection } from './connection.ts';
import type { Daemon } from './daemon.ts';

export async function openWindow(daemon: Daemon, workspace: string): Promise<MessageConnection> {
  const { client, server } = memoryLink();
  serveConnection(daemon, server);
  client.listen();
  await client.sendRequest('initialize', { processId: null, rootUri: workspace, capabilities: {}, initializationOptions: { protocol: { min: 1, max: 1 }, client: { name: 'test', version: '1' }, session: 's', workspace } });
  await client.sendNotification('initialized', {});
  return client;
}
