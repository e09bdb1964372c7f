/**
 * The editor of a replay: a language client with one window, over the same protocol as the real
 * one. It keeps documents, synchronises them, numbers and publishes signals, and asks for inline
 * completions. Time is the clock it is given.
 */
import type { MessageConnection } from 'vscode-jsonrpc';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { z } from 'zod';
import { ACCEPTED_COMMAND, adapterList, consentSet, trainingNow, trainingPause } from '../../protocol/editor.ts';
import { PROTOCOL } from '../../protocol/handshake.ts';
import type { EditorHello } from '../../protocol/handshake.ts';
import type { Result } from '../../protocol/message.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal, TextChange } from '../../protocol/signals.ts';
import { call } from '../../protocol/transport.ts';
import type { Clock } from '../clock.ts';

/** What an inline completion item says; `turn` is what the accept command names. */
export interface Suggestion {
  turn: string;
  text: string;
}

/** The part of LSP's answer that is used; a list and a bare array are both allowed. */
const item = z.object({ insertText: z.string(), command: z.object({ command: z.literal(ACCEPTED_COMMAND), arguments: z.tuple([z.string()]) }) });
const inlineCompletion = z.union([z.null(), z.array(item), z.object({ items: z.array(item) }).transform((list) => list.items)]);

/** Signals of one message, as many as the protocol takes. */
const BATCH = 1000;
/** A step of training with its gate takes minutes on a slow machine. */
const TRAINING_SECONDS = 3600;

export class ReplayEditor {
  readonly #connection: MessageConnection;
  readonly #clock: Clock;
  readonly #session: string;
  readonly #workspace: string;
  readonly #documents = new Map<string, TextDocument>();
  readonly #pending: Signal[] = [];
  #published = 0;

  constructor(connection: MessageConnection, window: { session: string; workspace: string; clock: Clock }) {
    this.#connection = connection;
    this.#session = window.session;
    this.#workspace = window.workspace;
    this.#clock = window.clock;
  }

  /** Shakes hands and records the consent of the simulated owner.
   *  @param learning  `on request`: background steps would end when the machine is done with them, and
   *                   the result would depend on its speed; `train` ends when all is learned */
  async start(learning: 'on request' | 'in background'): Promise<void> {
    const hello: EditorHello = { protocol: PROTOCOL, client: { name: 'replay', version: '1' }, session: this.#session, workspace: this.#workspace };
    await this.#connection.sendRequest('initialize', { processId: null, rootUri: this.#workspace, capabilities: {}, initializationOptions: hello });
    await this.#connection.sendNotification('initialized', {});
    await call(this.#connection, consentSet, { workspace: this.#workspace, state: 'granted' });
    if (learning === 'on request') await call(this.#connection, trainingPause, {});
    this.signal({ kind: 'session.started', at: this.#clock.now(), workspace: this.#workspace, editor: 'replay' });
    await this.publish();
  }

  async end(): Promise<void> {
    this.signal({ kind: 'session.ended', at: this.#clock.now() });
    await this.publish();
    await this.#connection.sendRequest('shutdown');
    await this.#connection.sendNotification('exit');
  }

  uriOf(path: string): string {
    return `${this.#workspace}/${path.split('/').map(encodeURIComponent).join('/')}`;
  }

  text(uri: string): string {
    return this.#document(uri).getText();
  }

  async open(uri: string, languageId: string, text: string): Promise<void> {
    const document = TextDocument.create(uri, languageId, 1, text);
    this.#documents.set(uri, document);
    await this.#connection.sendNotification('textDocument/didOpen', { textDocument: { uri, languageId, version: 1, text } });
    this.signal({ kind: 'document.opened', at: this.#clock.now(), uri, languageId, version: 1 });
  }

  async change(uri: string, change: TextChange): Promise<void> {
    const document = this.#document(uri);
    const version = document.version + 1;
    const range = { start: document.positionAt(change.offset), end: document.positionAt(change.offset + change.length) };
    const event = { range, text: change.text };
    TextDocument.update(document, [event], version);
    await this.#connection.sendNotification('textDocument/didChange', { textDocument: { uri, version }, contentChanges: [event] });
    this.signal({ kind: 'document.changed', at: this.#clock.now(), uri, version, changes: [change] });
  }

  async save(uri: string): Promise<void> {
    await this.#connection.sendNotification('textDocument/didSave', { textDocument: { uri } });
    this.signal({ kind: 'document.saved', at: this.#clock.now(), uri, version: this.#document(uri).version });
  }

  async close(uri: string): Promise<void> {
    await this.#connection.sendNotification('textDocument/didClose', { textDocument: { uri } });
    this.#documents.delete(uri);
    this.signal({ kind: 'document.closed', at: this.#clock.now(), uri });
  }

  /** What is offered at the cursor, after everything typed so far is known to the daemon. */
  async suggest(uri: string, offset: number): Promise<Suggestion | null> {
    await this.publish();
    const position = this.#document(uri).positionAt(offset);
    const answer = await this.#connection.sendRequest<unknown>('textDocument/inlineCompletion', { textDocument: { uri }, position, context: { triggerKind: 2 } });
    const [first] = inlineCompletion.parse(answer) ?? [];
    return first && first.insertText !== '' ? { turn: first.command.arguments[0], text: first.insertText } : null;
  }

  signal(signal: Signal): void {
    this.#pending.push(signal);
  }

  /** Hands over the signals since the last time; resolves when they are on disk and judged. */
  async publish(): Promise<void> {
    for (let signals = this.#pending.splice(0, BATCH); signals.length > 0; signals = this.#pending.splice(0, BATCH)) {
      const { acknowledged } = await call(this.#connection, signalPublish, { session: this.#session, first: this.#published, signals });
      this.#published = acknowledged + 1;
    }
  }

  /** Learns from everything that is ready, gate included. */
  async train(): Promise<Result<typeof trainingNow>> {
    return call(this.#connection, trainingNow, { workspace: this.#workspace }, { deadline: TRAINING_SECONDS });
  }

  async adapters(): Promise<Result<typeof adapterList>> {
    return call(this.#connection, adapterList, { workspace: this.#workspace });
  }

  #document(uri: string): TextDocument {
    const document = this.#documents.get(uri);
    if (!document) throw new Error(`${uri} is not open in the replay`);
    return document;
  }
}
