// The agent's part of a window: edits under review, the chat participant, the model in the picker, its terminal and its buttons.
import * as vscode from 'vscode';
import { allowedForget, terminalInput } from '../protocol/agent.ts';
import type { ConsentChoice } from '../protocol/editor.ts';
import type { Signal } from '../protocol/signals.ts';
import { notify, type Link } from '../protocol/transport.ts';
import { Confirmations } from './chat/confirm.ts';
import { chosenEndpoint, setEndpointKey } from './chat/endpoint.ts';
import { ModelProvider } from './chat/modelProvider.ts';
import { registerParticipant } from './chat/participant.ts';
import { ratingActions } from './chat/ratings.ts';
import { OpenRequests } from './chat/requests.ts';
import { MirrorTerminal } from './chat/terminals.ts';
import type { NextEdits } from './completion/nextEdits.ts';
import type { DaemonConnection } from './connection/connection.ts';
import { HunkLenses, reviewActions } from './review/commands.ts';
import { editSelection } from './review/editCommand.ts';
import { Reviews } from './review/reviews.ts';
import { TestRuns } from './signals/testRuns.ts';
import type { OtherActions } from './views/commands.ts';

export interface AgentPlace {
  readonly context: vscode.ExtensionContext;
  readonly folder: vscode.WorkspaceFolder;
  readonly connection: DaemonConnection;
  readonly consent: () => ConsentChoice;
  readonly record: (signal: Signal) => void;
  readonly log: (line: string) => void;
}

export class AgentWindow implements vscode.Disposable {
  readonly actions: Omit<OtherActions, keyof NextEdits['actions']>;
  readonly #requests = new OpenRequests();
  readonly #reviews: Reviews;
  readonly #terminal: MirrorTerminal;
  readonly #models: ModelProvider;
  readonly #subscriptions: vscode.Disposable[];
  #link: Link | undefined;

  constructor(private readonly place: AgentPlace) {
    const { context, folder, connection, record, log } = place;
    const endpoint = (): ReturnType<typeof chosenEndpoint> => chosenEndpoint(context.secrets);
    this.#reviews = new Reviews({ folder, storage: (context.storageUri ?? context.globalStorageUri).fsPath, record, log });
    this.#terminal = new MirrorTerminal((terminal, keys) => {
      if (this.#link !== undefined) void notify(this.#link, terminalInput, { terminal, keys }).catch((error: unknown) => log(String(error)));
    });
    this.#models = new ModelProvider({ connection, requests: this.#requests, endpoint });
    const confirmations = new Confirmations();
    const chat = { folder, connection, endpoint, confirmations, reviews: this.#reviews, requests: this.#requests, terminal: this.#terminal, consent: place.consent };
    const tests = new TestRuns({ folder, connection, requests: this.#requests, terminal: this.#terminal, record });
    this.#subscriptions = [
      tests,
      this.#reviews,
      this.#terminal,
      this.#models,
      confirmations,
      new HunkLenses(this.#reviews, folder),
      registerParticipant(chat),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('hindsight.chat')) void this.connected().catch((error: unknown) => log(String(error)));
      }),
    ];
    this.actions = {
      ...reviewActions(this.#reviews),
      ...ratingActions(record),
      edit: () => editSelection({ connection, endpoint, reviews: this.#reviews, onText: (stream, edit) => this.#requests.open(stream, { edit }) }),
      setEndpointKey: () => setEndpointKey(context.secrets),
      runTests: () => tests.run(),
      forgetAllowed: () => connection.request(allowedForget, { workspace: folder.uri.toString() }),
    };
  }

  async open(): Promise<void> {
    await this.#reviews.restore();
  }

  /** Handlers of a new connection. */
  listen(link: Link): void {
    this.#link = link;
    this.#requests.listen(link);
  }

  async connected(): Promise<void> {
    await this.#models.refresh();
  }

  /** The edit of the agent, under review, that wrote a line; counted from 0. */
  turnAt(uri: vscode.Uri, line: number): string | null {
    const [hunk] = this.#reviews.hunksAt(uri, line, line + 1);
    return hunk === undefined ? null : (this.#reviews.turnsOf(uri, hunk)[0] ?? null);
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose();
  }
}
