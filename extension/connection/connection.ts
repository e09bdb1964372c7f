// The window's connection to the daemon: always there, or on its way. One loop owns it from start to dispose.
import * as vscode from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import { HindsightError } from '../../protocol/errors.ts';
import type { RequestMessage, Result } from '../../protocol/message.ts';
import { call, type CallOptions, type Link } from '../../protocol/transport.ts';
import type { z } from 'zod';
import { Backoff, RECONNECT } from './backoff.ts';
import type { ClientOrder, LiveClient } from './client.ts';
import { openDaemon, type DaemonProgram } from './open.ts';

export interface ConnectionOrder extends Omit<ClientOrder, 'prepare'> {
  /** The daemon's folder. */
  readonly home: string;
  readonly program: DaemonProgram;
  /** Registers handlers of the daemon's notifications on every new connection. */
  readonly listen: (link: Link) => void;
}

/** What a new connection begins with. */
export interface Greeting {
  readonly session: string;
  readonly acknowledged: number;
}

export class DaemonConnection implements vscode.Disposable {
  readonly #connected = new vscode.EventEmitter<Greeting>();
  readonly #disconnected = new vscode.EventEmitter<void>();
  readonly onConnected = this.#connected.event;
  readonly onDisconnected = this.#disconnected.event;
  readonly #stopping = new AbortController();
  #live: LiveClient | undefined;
  #loop: Promise<void> | undefined;
  #lastFailure = '';

  constructor(private readonly order: ConnectionOrder) {}

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Why there is no connection now, in one sentence; empty while there is one. */
  get failure(): string {
    return this.#lastFailure;
  }

  /** @throws HindsightError `daemonAbsent` while there is no connection, and what the daemon answers */
  async request<M extends RequestMessage>(message: M, params: z.input<M['params']>, options?: CallOptions): Promise<Result<M>> {
    if (this.#live === undefined) throw new HindsightError('daemonAbsent');
    return call(linkOf(this.#live.client), message, params, options);
  }

  /** Closes the connection, and opens it again with what is to be said now. */
  reconnect(): void {
    this.#live?.stop();
  }

  /** Ends the connection; the daemon goes on for other windows. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#live?.stop();
    await this.#loop;
  }

  dispose(): void {
    void this.stop();
    this.#connected.dispose();
    this.#disconnected.dispose();
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(RECONNECT);
    while (!this.#stopping.signal.aborted) {
      const since = Date.now();
      let heldMs = 0;
      try {
        await this.#connectOnce();
        heldMs = Date.now() - since;
      } catch (error) {
        this.#sayFailure(error);
      }
      await pause(backoff.afterEnd(heldMs), this.#stopping.signal);
    }
  }

  /** Resolves when the connection has ended again. */
  async #connectOnce(): Promise<void> {
    const { order } = this;
    const socket = await openDaemon(order.home, order.program, this.#stopping.signal, (line) => order.log.info(line));
    // Only now: the language client takes as long to load as all the rest, and activation does not need it.
    const { startClient } = await import('./client.ts');
    const live = await startClient(socket, { ...order, prepare: (client) => order.listen(linkOf(client)) });
    if (this.#stopping.signal.aborted) return live.stop();
    this.#live = live;
    this.#lastFailure = '';
    order.log.info(`connected to the daemon ${live.hello.daemon.version} (process ${live.hello.daemon.pid})`);
    this.#connected.fire({ session: live.session, acknowledged: live.hello.acknowledged });
    await live.ended;
    this.#live = undefined;
    if (this.#stopping.signal.aborted) return;
    order.log.info('the connection to the daemon has ended');
    this.#disconnected.fire();
  }

  /** The log is for reading: the same failure is said once, however often it is met. */
  #sayFailure(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#stopping.signal.aborted || text === this.#lastFailure) return;
    this.#lastFailure = text;
    this.order.log.error(text);
    this.#disconnected.fire();
  }
}

/** The language client has the protocol's own link in it, under wider overloads. */
function linkOf(client: LanguageClient): Link {
  return client as unknown as Link;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
