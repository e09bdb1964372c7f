/** The persona's window: a conversation over the same protocol as the editor's chat view. */
import { randomUUID } from 'node:crypto';
import type { MessageConnection } from 'vscode-jsonrpc';
import { chatEvent, chatRespond } from '../../protocol/agent.ts';
import { USUAL_CLASSES } from '../../protocol/consent.ts';
import { consentSet } from '../../protocol/editor.ts';
import { call, on } from '../../protocol/transport.ts';
import type { Clock } from '../clock.ts';
import { ReplayEditor } from '../replay/editor.ts';

/** A reply takes this long on a slow machine with a large model, at most. */
const REPLY_SECONDS = 900;

export interface Reply {
  turn: string | null;
  text: string;
}

export class Talk {
  readonly #connection: MessageConnection;
  readonly #editor: ReplayEditor;
  readonly #clock: Clock;
  readonly #workspace: string;
  #heard = { stream: '', text: '' };
  #history: { role: 'user' | 'assistant'; text: string }[] = [];
  #conversation = '';
  #previous: string | null = null;

  constructor(connection: MessageConnection, window: { session: string; workspace: string; clock: Clock }) {
    this.#connection = connection;
    this.#clock = window.clock;
    this.#workspace = window.workspace;
    this.#editor = new ReplayEditor(connection, window);
    on(connection, chatEvent, ({ stream, event }) => {
      if (stream === this.#heard.stream && event.kind === 'text') this.#heard.text += event.text;
    });
  }

  async start(): Promise<void> {
    await this.#editor.start('on request');
    await call(this.#connection, consentSet, { workspace: this.#workspace, state: 'granted', classes: [...USUAL_CLASSES, 'chat'] });
  }

  /** The next request begins a conversation of its own; it is what followed the last reply, all the same. */
  startAnew(): void {
    this.#conversation = `k-${randomUUID()}`;
    this.#history = [];
  }

  async say(prompt: string): Promise<Reply> {
    const stream = `s-${randomUUID()}`;
    this.#heard = { stream, text: '' };
    const { turn } = await call(
      this.#connection,
      chatRespond,
      { stream, conversation: this.#conversation, prompt, mode: 'talk', context: [], history: this.#history, previous: this.#previous, editorTools: [], allowedCommands: [] },
      { deadline: REPLY_SECONDS },
    );
    this.#previous = turn;
    const { text } = this.#heard;
    this.#history = [...this.#history, { role: 'user', text: prompt }, { role: 'assistant', text }];
    return { turn, text };
  }

  /** @param correction  null = it was helpful */
  async rate(turn: string, correction: string | null): Promise<void> {
    this.#editor.signal({ kind: 'chat.rated', at: this.#clock.now(), turn, rating: correction === null ? 'helpful' : 'wrong', correction });
    await this.#editor.publish();
  }

  async learn(): Promise<{ steps: number; promoted: number }> {
    return this.#editor.train();
  }

  async end(): Promise<void> {
    await this.#editor.end();
  }
}
