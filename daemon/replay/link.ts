/** Both ends of a JSON-RPC link inside one process: the same framing as a socket, without one. */
import { PassThrough } from 'node:stream';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import type { MessageConnection } from 'vscode-jsonrpc';

export function memoryLink(): { client: MessageConnection; server: MessageConnection } {
  const [up, down] = [new PassThrough(), new PassThrough()];
  return {
    client: createMessageConnection(new StreamMessageReader(down), new StreamMessageWriter(up)),
    server: createMessageConnection(new StreamMessageReader(up), new StreamMessageWriter(down)),
  };
}
