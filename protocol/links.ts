/**
 * A JSON-RPC link over a pair of byte streams (the per-user socket, the engine's pipe), with the
 * message size limit that the handshake announces. A message that is too large to send is answered
 * here, in the other side's name, with `messageTooLarge`; one that arrives is refused by its header,
 * before its body is kept, and the link ends: what follows it cannot be found.
 */
import { AbstractMessageReader, createMessageConnection, Message, ReadableStreamMessageReader, WriteableStreamMessageWriter } from 'vscode-jsonrpc';
import type { DataCallback, Disposable, MessageConnection, MessageReader, MessageWriter, RAL } from 'vscode-jsonrpc';
import 'vscode-jsonrpc/node';
import { HindsightError } from './errors.ts';
import { MAX_MESSAGE_BYTES } from './handshake.ts';
import { responseError } from './transport.ts';

/** The header of a message is two short lines. */
const MAX_HEADER_BYTES = 4096;

/** Reader and writer for libraries that make their own connection of them. */
export interface Ends {
  reader: MessageReader;
  writer: MessageWriter;
}

export function streamEnds(input: NodeJS.ReadableStream, output: NodeJS.WritableStream, limit: number = MAX_MESSAGE_BYTES): Ends {
  const reader = new LimitedReader(input, limit, (error) => {
    void writer.refuse(error).catch(() => undefined).then(() => end(input, output));
  });
  const writer: LimitedWriter = new LimitedWriter(output, limit, (answer) => reader.deliver(answer));
  return { reader, writer };
}

export function streamLink(input: NodeJS.ReadableStream, output: NodeJS.WritableStream, limit?: number): MessageConnection {
  const { reader, writer } = streamEnds(input, output, limit);
  return createMessageConnection(reader, writer);
}

/** What becomes of a message that may be too large: its bytes; or for a request the answer that it
 *  gets at once, for an answer the error that goes out in its place.
 *  @throws messageTooLarge for a notification: its sender is told */
export function fit(message: Message, limit: number): { bytes: Buffer } | { answer: Message } {
  const bytes = Buffer.from(JSON.stringify(message));
  if (bytes.length <= limit) return { bytes };
  const error = new HindsightError('messageTooLarge', { bytes: bytes.length, limit });
  if (Message.isResponse(message)) return { bytes: Buffer.from(JSON.stringify(refusal(message.id, error))) };
  if (Message.isRequest(message)) return { answer: refusal(message.id, error) };
  throw error;
}

/** @param id  null where it cannot be known which request is meant */
export function refusal(id: number | string | null, error: HindsightError): Message & { id: number | string | null } {
  return { jsonrpc: '2.0', id, error: responseError(error).toJson() } as Message & { id: number | string | null };
}

class LimitedReader extends ReadableStreamMessageReader {
  #deliver: DataCallback = () => undefined;

  constructor(stream: NodeJS.ReadableStream, limit: number, refuse: (error: HindsightError) => void) {
    super(guarded(stream, limit, refuse));
  }

  override listen(callback: DataCallback): Disposable {
    this.#deliver = callback;
    return super.listen(callback);
  }

  deliver(message: Message): void {
    setImmediate(() => this.#deliver(message));
  }
}

class LimitedWriter extends WriteableStreamMessageWriter {
  readonly #bytes: WeakMap<Message, Buffer>;

  constructor(stream: NodeJS.WritableStream, private readonly limit: number, private readonly answer: (message: Message) => void) {
    const bytes = new WeakMap<Message, Buffer>();
    super(writable(stream), { charset: 'utf-8', contentTypeEncoder: { name: 'application/json', encode: (message) => Promise.resolve(bytes.get(message) ?? Buffer.from(JSON.stringify(message))) } });
    this.#bytes = bytes;
  }

  override async write(message: Message): Promise<void> {
    const fitted = fit(message, this.limit);
    if ('answer' in fitted) return this.answer(fitted.answer);
    this.#bytes.set(message, fitted.bytes);
    return super.write(message);
  }

  /** Says why the link ends. */
  refuse(error: HindsightError): Promise<void> {
    return this.write(refusal(null, error));
  }
}

function writable(stream: NodeJS.WritableStream): RAL.WritableStream {
  return {
    onClose: (listener) => listen(stream, 'close', listener),
    onEnd: (listener) => listen(stream, 'end', listener),
    onError: (listener) => listen(stream, 'error', listener),
    write: (data: Uint8Array | string, encoding?: BufferEncoding) =>
      new Promise<void>((resolve, reject) => {
        const done = (error?: Error | null): void => (error ? reject(error) : resolve());
        if (typeof data === 'string') stream.write(data, encoding ?? 'utf8', done);
        else stream.write(data, done);
      }),
    end: () => stream.end(),
  };
}

function listen(stream: NodeJS.EventEmitter, event: string, listener: (...values: never[]) => void): Disposable {
  stream.on(event, listener as (...values: unknown[]) => void);
  return { dispose: () => void stream.off(event, listener as (...values: unknown[]) => void) };
}

function guarded(stream: NodeJS.ReadableStream, limit: number, refuse: (error: HindsightError) => void): RAL.ReadableStream {
  const frames = new FrameSizes(limit);
  return {
    onData: (listener) =>
      listen(stream, 'data', (chunk: Uint8Array) => {
        if (frames.refused) return;
        const error = frames.pass(chunk);
        if (error === null) listener(chunk);
        else refuse(error);
      }),
    onClose: (listener) => listen(stream, 'close', listener),
    onEnd: (listener) => listen(stream, 'end', listener),
    onError: (listener) => listen(stream, 'error', listener),
  };
}

/** Follows the frames of a byte stream ("Content-Length: n", an empty line, n bytes) without keeping them. */
export class FrameSizes {
  #header = '';
  #body = 0;
  /** Nothing after a refused frame can be understood. */
  refused = false;

  constructor(private readonly limit: number) {}

  /** @returns why the stream may not go on, or null */
  pass(chunk: Uint8Array): HindsightError | null {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body > 0) {
        const step = Math.min(this.#body, chunk.length - at);
        this.#body -= step;
        at += step;
        continue;
      }
      const before = this.#header.length;
      // One byte is one character here, so that positions are bytes.
      this.#header += Buffer.from(chunk.buffer, chunk.byteOffset + at, Math.min(MAX_HEADER_BYTES, chunk.length - at)).toString('latin1');
      const end = this.#header.indexOf('\r\n\r\n', Math.max(0, before - 3));
      if (end < 0) {
        if (this.#header.length >= MAX_HEADER_BYTES) return this.#refuse(new HindsightError('malformedMessage', { problem: `a message begins with ${MAX_HEADER_BYTES} bytes that are no header` }));
        at = chunk.length;
        continue;
      }
      const length = /^content-length:\s*(\d+)\s*$/im.exec(this.#header.slice(0, end))?.[1];
      if (length === undefined) return this.#refuse(new HindsightError('malformedMessage', { problem: 'a message has no length' }));
      if (Number(length) > this.limit) return this.#refuse(new HindsightError('messageTooLarge', { bytes: Number(length), limit: this.limit }));
      at += end + 4 - before;
      this.#header = '';
      this.#body = Number(length);
    }
    return null;
  }

  #refuse(error: HindsightError): HindsightError {
    this.refused = true;
    return error;
  }
}

function end(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): void {
  output.end(() => {
    if ('destroy' in input && typeof input.destroy === 'function') (input.destroy as () => void).call(input);
  });
}

/** Reader of messages that come whole, from a transport with frames of its own. */
export abstract class WholeMessageReader extends AbstractMessageReader implements MessageReader {
  #callback: DataCallback | null = null;
  #early: Message[] = [];

  listen(callback: DataCallback): Disposable {
    this.#callback = callback;
    for (const message of this.#early.splice(0)) callback(message);
    return { dispose: () => (this.#callback = null) };
  }

  deliver(message: Message): void {
    if (this.#callback === null) this.#early.push(message);
    else this.#callback(message);
  }
}
