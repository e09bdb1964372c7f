/**
 * The daemon's link to a listening engine, over cuts. It connects again with backoff; a call that is
 * safe to repeat waits for that, within its own deadline, and is sent again under the key of its
 * first time, so that the engine does it once. A call that is not, fails at once.
 */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import type { MessageConnection } from 'vscode-jsonrpc';
import type { WebSocket } from 'ws';
import * as wire from '../../../protocol/engine.ts';
import { HindsightError, toHindsightError } from '../../../protocol/errors.ts';
import { agree, PROTOCOL } from '../../../protocol/handshake.ts';
import type { RequestMessage, Result } from '../../../protocol/message.ts';
import type { Pairing } from '../../../protocol/pairing.ts';
import { call } from '../../../protocol/transport.ts';
import type { CallOptions } from '../../../protocol/transport.ts';
import { webSocketLink } from '../webSocket.ts';
import { connectPinned } from './connect.ts';

export interface RemoteLinkOptions {
  pairing: Pairing;
  /** Names this daemon to the engine, the same for all its life. */
  client: string;
  /** Said on every new link after `hello`, before anything else. */
  prepare: (link: MessageConnection, hello: Hello) => Promise<void>;
  listen: (link: MessageConnection) => void;
  heartbeatSeconds?: number;
  log?: (line: string) => void;
}

export type Hello = Result<typeof wire.engineHello>;

interface Live {
  link: MessageConnection;
  socket: WebSocket;
  hello: Hello;
}

const BACKOFF = { first: 200, last: 10_000 } as const;
const HELLO_SECONDS = 15;
const HEARTBEAT_SECONDS = 2;
/** Heartbeats without a sign of life, after which a link is dead: a chunk on a slow line may take a while. */
const MISSED = 3;
/** What no new try can mend. */
const FINAL = ['certificateChanged', 'tokenRefused', 'protocolMismatch'];

export class RemoteLink {
  #live: Live | null = null;
  #reason = 'it is not connected yet';
  #boot: string | null = null;
  #latency: number | null = null;
  #waiters = new Set<() => void>();
  #calls = 0;
  readonly #key = randomUUID().slice(0, 8);
  readonly #closing = new AbortController();
  readonly #changed = new Set<() => void>();
  readonly #restarted = new Set<() => void>();

  private constructor(private readonly options: RemoteLinkOptions) {}

  /** @throws what the first connection fails with; later ones are tried again */
  static async open(options: RemoteLinkOptions, signal: AbortSignal = new AbortController().signal): Promise<{ link: RemoteLink; hello: Hello }> {
    const link = new RemoteLink(options);
    const live = await link.#connect(AbortSignal.any([signal, link.#closing.signal]));
    link.#hold(live);
    return { link, hello: live.hello };
  }

  get up(): boolean {
    return this.#live !== null;
  }

  /** Why it is down, in words. */
  get reason(): string {
    return this.#reason;
  }

  /** Milliseconds there and back, of the last heartbeat; null = not measured yet. */
  get latencyMs(): number | null {
    return this.#latency;
  }

  /** Up or down. */
  onChange(listener: () => void): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  /** The engine was started anew: it holds nothing of ours any more. */
  onRestart(listener: () => void): () => void {
    this.#restarted.add(listener);
    return () => this.#restarted.delete(listener);
  }

  /** A call that is not repeated. @throws engineUnavailable when the link is down or goes down */
  async ask<M extends RequestMessage>(message: M, params: z.input<M['params']>, options: CallOptions): Promise<Result<M>> {
    const live = this.#live;
    if (live === null) throw this.#unavailable();
    try {
      return await call(live.link, message, params, options);
    } catch (thrown) {
      const error = toHindsightError(thrown);
      throw error.errorName === 'linkClosed' ? this.#unavailable() : error;
    }
  }

  /** A call that outlives the link: one whose params can have `once` is done once.
   *  @throws engineUnavailable where the engine was started anew meanwhile, or this was closed */
  async insist<M extends RequestMessage>(message: M, params: z.input<M['params']>, { deadline = 60, signal }: CallOptions, change: 'once' | 'pure'): Promise<Result<M>> {
    const until = performance.now() + deadline * 1000;
    const keyed = change === 'once' ? { ...(params as object), once: `${this.#key}-${++this.#calls}` } : params;
    let boot: string | null = null;
    for (;;) {
      const live = await this.#ready(message.method, until, deadline, signal);
      // What it depends on went with the engine that had it.
      if (boot !== null && boot !== live.hello.boot) throw new HindsightError('engineUnavailable', { reason: 'it was started anew' });
      boot = live.hello.boot;
      try {
        return await call(live.link, message, keyed as z.input<M['params']>, { deadline: Math.max(0.001, (until - performance.now()) / 1000), ...(signal && { signal }) });
      } catch (thrown) {
        const error = toHindsightError(thrown);
        if (error.errorName === 'deadline') throw new HindsightError('deadline', { what: message.method, seconds: deadline });
        if (error.errorName !== 'linkClosed') throw error;
      }
    }
  }

  close(): void {
    this.#closing.abort();
    this.#reason = 'it was detached';
    this.#live?.socket.close();
    this.#live?.link.dispose();
    this.#live = null;
    this.#wake();
  }

  #unavailable(): HindsightError {
    return new HindsightError('engineUnavailable', { reason: this.#reason });
  }

  /** The link when it is up.
   *  @throws deadline, cancelled, engineUnavailable when it was closed or never comes back */
  async #ready(what: string, until: number, seconds: number, signal: AbortSignal | undefined): Promise<Live> {
    while (this.#live === null) {
      if (this.#closing.signal.aborted) throw this.#unavailable();
      if (signal?.aborted) throw new HindsightError('cancelled');
      const left = until - performance.now();
      if (left <= 0) throw new HindsightError('deadline', { what, seconds });
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(done);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, left);
        this.#waiters.add(done);
        signal?.addEventListener('abort', done);
      });
    }
    return this.#live;
  }

  async #connect(signal: AbortSignal): Promise<Live> {
    const socket = await connectPinned(this.options.pairing, signal);
    const link = webSocketLink(socket, wire.REMOTE_MESSAGE_BYTES);
    link.onError(() => undefined);
    this.options.listen(link);
    link.listen();
    try {
      const hello = await call(link, wire.engineHello, { protocol: PROTOCOL, client: this.options.client }, { deadline: HELLO_SECONDS, signal });
      agree(PROTOCOL, { min: hello.protocol, max: hello.protocol }, { ours: 'the daemon', theirs: 'the engine' });
      await this.options.prepare(link, hello);
      if (socket.readyState !== socket.OPEN) throw new HindsightError('linkClosed', { what: 'hello' });
      return { link, socket, hello };
    } catch (thrown) {
      socket.terminate();
      link.dispose();
      throw thrown;
    }
  }

  #hold(live: Live): void {
    const { socket, hello } = live;
    this.#live = live;
    const anew = this.#boot !== null && this.#boot !== hello.boot;
    this.#boot = hello.boot;
    const stop = this.#beat(socket);
    socket.once('close', () => {
      stop();
      live.link.dispose();
      if (this.#live !== live) return;
      this.#live = null;
      this.#latency = null;
      this.#reason = 'the link to it was lost';
      this.options.log?.('The link to the remote engine was lost; it is opened again.');
      this.#tell();
      void this.#reconnect();
    });
    if (anew) for (const listener of this.#restarted) listener();
    this.#wake();
    this.#tell();
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      const wait = Math.min(BACKOFF.first * 2 ** Math.min(failures, 10), BACKOFF.last);
      await pause(wait / 2 + (wait / 2) * Math.random(), signal);
      if (signal.aborted) return;
      try {
        return this.#hold(await this.#connect(signal));
      } catch (thrown) {
        const error = toHindsightError(thrown);
        if (signal.aborted) return;
        if (this.#reason !== error.message) this.options.log?.(error.message);
        this.#reason = error.message;
        if (!FINAL.includes(error.errorName)) continue;
        // Nobody waits for what cannot come.
        this.#closing.abort();
        this.#wake();
        this.#tell();
      }
    }
  }

  /** A ping tells a dead link from a quiet one, and how far away the engine is. */
  #beat(socket: WebSocket): () => void {
    let sentAt = performance.now();
    let missed = 0;
    const ping = (): void => {
      if (missed++ >= MISSED) return socket.terminate();
      sentAt = performance.now();
      socket.ping();
    };
    socket.on('pong', () => {
      missed = 0;
      const known = this.#latency !== null;
      this.#latency = performance.now() - sentAt;
      if (!known) this.#tell();
    });
    socket.on('message', () => (missed = 0));
    const timer = setInterval(ping, (this.options.heartbeatSeconds ?? HEARTBEAT_SECONDS) * 1000);
    ping();
    return () => clearInterval(timer);
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  #tell(): void {
    for (const listener of this.#changed) listener();
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
