/** JSON-RPC over a WebSocket: one text frame a message, both ends. Frames that are no message, and
 *  more than a peer can take, end the link with a sentence; the process never pays for them. */
import { AbstractMessageWriter, createMessageConnection } from 'vscode-jsonrpc';
import type { Message, MessageConnection, MessageWriter } from 'vscode-jsonrpc';
import type { RawData, WebSocket } from 'ws';
import { HindsightError } from '../../protocol/errors.ts';
import { fit, refusal, WholeMessageReader } from '../../protocol/links.ts';

/** Bytes that wait for a peer that does not read; more, and the link ends. */
const UNREAD_BYTES = 32 * 1024 * 1024;
/** WebSocket close codes: the protocol was violated; try again later. */
const POLICY = 1008;

export function webSocketLink(socket: WebSocket, limit: number): MessageConnection {
  const reader = new SocketReader(socket);
  return createMessageConnection(reader, new SocketWriter(socket, limit, (answer) => setImmediate(() => reader.deliver(answer))));
}

/** Says why, then ends the link; a peer that does not close its side is cut off. */
export function refuseSocket(socket: WebSocket, error: HindsightError): void {
  if (socket.readyState === socket.OPEN) {
    socket.send(JSON.stringify(refusal(null, error)));
    // A close reason has room for 123 bytes.
    socket.close(POLICY, error.errorName);
  }
  setTimeout(() => socket.terminate(), 1000).unref();
}

class SocketReader extends WholeMessageReader {
  constructor(socket: WebSocket) {
    super();
    socket.on('message', (data, binary) => this.#take(socket, data, binary));
    socket.on('close', () => this.fireClose());
    // A socket that fails closes next; the connection does not need to hear of it twice.
    socket.on('error', () => undefined);
  }

  #take(socket: WebSocket, data: RawData, binary: boolean): void {
    const message = binary ? null : parse(data);
    const malformed = (): void => refuseSocket(socket, new HindsightError('malformedMessage', { problem: 'a frame is not a JSON-RPC message' }));
    if (message === null) return malformed();
    try {
      this.deliver(message);
    } catch {
      // The library takes the params of its own messages for granted, e.g. those of a cancellation.
      malformed();
    }
  }
}

class SocketWriter extends AbstractMessageWriter implements MessageWriter {
  constructor(private readonly socket: WebSocket, private readonly limit: number, private readonly answer: (message: Message) => void) {
    super();
    socket.on('close', () => this.fireClose());
  }

  async write(message: Message): Promise<void> {
    const fitted = fit(message, this.limit);
    if ('answer' in fitted) return this.answer(fitted.answer);
    const { socket } = this;
    if (socket.readyState !== socket.OPEN) throw new Error('the socket is closed');
    if (socket.bufferedAmount > UNREAD_BYTES) {
      socket.terminate();
      throw new Error('the other side does not read');
    }
    await new Promise<void>((resolve, reject) => socket.send(fitted.bytes.toString('utf8'), (error) => (error ? reject(error) : resolve())));
  }

  end(): void {
    this.socket.close();
  }
}

/** @returns null for what is no message of JSON-RPC */
function parse(data: RawData): Message | null {
  try {
    const value: unknown = JSON.parse((Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as ArrayBuffer)).toString('utf8'));
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}

function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null || (value as { jsonrpc?: unknown }).jsonrpc !== '2.0') return false;
  const { id, method, result, error } = value as Record<string, unknown>;
  if (id !== undefined && id !== null && typeof id !== 'number' && typeof id !== 'string') return false;
  if (method === undefined) return id !== undefined && (result !== undefined || error !== undefined);
  return typeof method === 'string' && id !== null;
}
