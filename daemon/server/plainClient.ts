/**
 * An editor that speaks LSP and knows nothing of Hindsight, put in our terms: its `initialize` gets a
 * hello, its text synchronisation becomes signals, and the accept command becomes one, too. Pure: it
 * turns one message into those that follow from it, in their order.
 */
import { TextDocument } from 'vscode-languageserver-textdocument';
import { z } from 'zod';
import { ACCEPTED_COMMAND, consentSet } from '../../protocol/editor.ts';
import { editorHello, PROTOCOL } from '../../protocol/handshake.ts';
import type { EditorHello } from '../../protocol/handshake.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal } from '../../protocol/signals.ts';

/** A JSON-RPC message; what is not looked at goes through as it came. */
export interface Message {
  readonly jsonrpc: string;
  readonly id?: string | number | null;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
}

export interface Passed {
  readonly daemon: readonly Message[];
  readonly client: readonly Message[];
}

/** The owner's choice, for an editor without our question. */
export const LEARNING_COMMANDS = { 'hindsight.allowLearning': 'granted', 'hindsight.refuseLearning': 'refused' } as const;

const position = z.object({ line: z.int(), character: z.int() });
const uri = z.string();
const initialize = z.object({
  initializationOptions: z.unknown().optional(),
  rootUri: z.string().nullish(),
  workspaceFolders: z.array(z.object({ uri })).nullish(),
  clientInfo: z.object({ name: z.string(), version: z.string().optional() }).optional(),
});
const opened = z.object({ textDocument: z.object({ uri, languageId: z.string(), version: z.int(), text: z.string() }) });
const changed = z.object({
  textDocument: z.object({ uri, version: z.int() }),
  contentChanges: z.array(z.object({ text: z.string(), range: z.object({ start: position, end: position }).optional() })),
});
const named = z.object({ textDocument: z.object({ uri }) });
const command = z.object({ command: z.string(), arguments: z.array(z.unknown()).optional() });

/** Ids of requests that are ours and not the client's. */
const OWN = 'hindsight:';
const MOST_SIGNALS = 500;

export class PlainClient {
  readonly #documents = new Map<string, TextDocument>();
  #initialize: Message['id'];
  #hello: EditorHello | null = null;
  /** The client has said its own hello: it publishes its signals itself. */
  #speaksForItself = false;
  /** One batch is under way at a time: what is refused (there is no consent yet) is dropped, and has no number. */
  readonly #waiting: Signal[] = [];
  #underWay: Message['id'] = null;
  #next = 0;
  #requests = 0;

  /** @param session a new name of this run
   *  @param here the workspace of a client that names none */
  constructor(
    private readonly session: string,
    private readonly here: string,
    private readonly now: () => number,
  ) {}

  fromClient(message: Message): Passed {
    if (this.#speaksForItself) return { daemon: [message], client: [] };
    if (message.method === 'initialize') return this.#greet(message);
    if (message.method === 'workspace/executeCommand') return this.#execute(message);
    return { daemon: [message, ...this.#publish(this.#signalsOf(message))], client: [] };
  }

  fromDaemon(message: Message): Passed {
    const through = { daemon: [], client: [message] };
    if (this.#speaksForItself) return through;
    if (typeof message.id === 'string' && message.id.startsWith(OWN) && message.method === undefined) return { daemon: this.#answered(message), client: [] };
    if (message.id === undefined && message.method?.startsWith('hindsight/')) return { daemon: [], client: [] };
    if (message.id !== this.#initialize || message.method !== undefined) return through;
    const answer = z.object({ capabilities: z.looseObject({}) }).loose().safeParse(message.result);
    if (!answer.success || this.#hello === null) return through;
    const commands = [ACCEPTED_COMMAND, ...Object.keys(LEARNING_COMMANDS)];
    const result = { ...answer.data, capabilities: { ...answer.data.capabilities, executeCommandProvider: { commands } } };
    const { workspace, client } = this.#hello;
    return { daemon: this.#publish([{ kind: 'session.started', at: this.now(), workspace, editor: client.name }]), client: [{ ...message, result }] };
  }

  #greet(message: Message): Passed {
    const params = initialize.safeParse(message.params);
    if (!params.success || editorHello.safeParse(params.data.initializationOptions).success) {
      this.#speaksForItself = true;
      return { daemon: [message], client: [] };
    }
    const { workspaceFolders, rootUri, clientInfo } = params.data;
    this.#initialize = message.id;
    this.#hello = { protocol: PROTOCOL, client: { name: clientInfo?.name ?? 'an editor', version: clientInfo?.version ?? '' }, session: this.session, workspace: workspaceFolders?.[0]?.uri ?? rootUri ?? this.here };
    return { daemon: [{ ...message, params: { ...(message.params as object), initializationOptions: this.#hello } }], client: [] };
  }

  #execute(message: Message): Passed {
    const order = command.safeParse(message.params);
    const answer: Message = { jsonrpc: '2.0', id: message.id ?? null, result: null };
    if (order.success && order.data.command === ACCEPTED_COMMAND && typeof order.data.arguments?.[0] === 'string') {
      return { daemon: this.#publish([{ kind: 'suggestion.accepted', at: this.now(), turn: order.data.arguments[0] }]), client: [answer] };
    }
    const state = Object.entries(LEARNING_COMMANDS).find(([name]) => order.success && name === order.data.command)?.[1];
    if (state === undefined || this.#hello === null) return { daemon: [message], client: [] };
    return { daemon: [this.#request(consentSet.method, { workspace: this.#hello.workspace, state })], client: [answer] };
  }

  #signalsOf({ method, params }: Message): Signal[] {
    const at = this.now();
    if (method === 'textDocument/didOpen') {
      const read = opened.safeParse(params);
      if (!read.success) return [];
      const { uri: name, languageId, version, text } = read.data.textDocument;
      this.#documents.set(name, TextDocument.create(name, languageId, version, text));
      return [{ kind: 'document.opened', at, uri: name, languageId, version }];
    }
    if (method === 'textDocument/didChange') return this.#changes(params, at);
    const read = named.safeParse(params);
    const document = read.success ? this.#documents.get(read.data.textDocument.uri) : undefined;
    if (document === undefined) return [];
    if (method === 'textDocument/didSave') return [{ kind: 'document.saved', at, uri: document.uri, version: document.version }];
    if (method !== 'textDocument/didClose') return [];
    this.#documents.delete(document.uri);
    return [{ kind: 'document.closed', at, uri: document.uri }];
  }

  #changes(params: unknown, at: number): Signal[] {
    const read = changed.safeParse(params);
    const document = read.success ? this.#documents.get(read.data.textDocument.uri) : undefined;
    if (!read.success || document === undefined) return [];
    const { version } = read.data.textDocument;
    // Each range is in the text that the changes before it have made.
    const changes = read.data.contentChanges.map(({ text, range }) => {
      const start = range === undefined ? 0 : document.offsetAt(range.start);
      const end = range === undefined ? document.getText().length : document.offsetAt(range.end);
      TextDocument.update(document, [range === undefined ? { text } : { text, range }], version);
      return { offset: start, length: end - start, text };
    });
    return changes.length === 0 ? [] : [{ kind: 'document.changed', at, uri: document.uri, version, changes }];
  }

  #publish(signals: readonly Signal[]): Message[] {
    this.#waiting.push(...signals);
    if (this.#underWay !== null || this.#waiting.length === 0) return [];
    const request = this.#request(signalPublish.method, { session: this.session, first: this.#next, signals: this.#waiting.splice(0, MOST_SIGNALS) });
    this.#underWay = request.id;
    return [request];
  }

  /** The answer to a request of ours: the next batch may go. */
  #answered({ id, result }: Message): Message[] {
    if (id !== this.#underWay) return [];
    this.#underWay = null;
    const read = signalPublish.result.safeParse(result);
    if (read.success) this.#next = read.data.acknowledged + 1;
    return this.#publish([]);
  }

  #request(method: string, params: object): Message {
    this.#requests += 1;
    return { jsonrpc: '2.0', id: `${OWN}${this.#requests}`, method, params };
  }
}
