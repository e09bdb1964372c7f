/** Both ends of a JSON-RPC link inside one process: the same framing as a socket, without one. */
import { PassThrough } from 'node:stream';
import type { MessageConnection } from 'vscode-jsonrpc';
import { streamLink } from '../../protocol/links.ts';

export function memoryLink(): { client: MessageConnection; server: MessageConnection } {
  const [up, down] = [new PassThrough(), new PassThrough()];
  return {
    client: streamLink(down, up),
    server: streamLink(up, down),
  };
}
