// The streams that are open with the daemon, by their names: what comes for one goes to who asked for it, and nothing for a
// name that is not open does anything.
import { handle, on, type Link } from '../../protocol/transport.ts';
import { chatEvent, editApply, editText, terminalData, toolConfirm, toolInvoke } from '../../protocol/agent.ts';
import type { Params } from '../../protocol/message.ts';
import type { Answer, Question } from './confirm.ts';
import type { ToolAnswer } from './editorTools.ts';
import type { Mirrored } from './terminals.ts';

export type ChatPiece = Params<typeof chatEvent>['event'];

/** What a request of the user can be asked and told while it is answered. */
export interface OpenRequest {
  text?(piece: ChatPiece): void;
  edit?(text: string): void;
  confirm?(question: Question): Promise<Answer>;
  invoke?(tool: string, input: Record<string, unknown>): Promise<ToolAnswer>;
  apply?(edit: Params<typeof editApply>): Promise<string | null>;
  terminal?(data: Mirrored): void;
}

export class OpenRequests {
  readonly #open = new Map<string, OpenRequest>();

  /** @returns closes it */
  open(stream: string, request: OpenRequest): () => void {
    this.#open.set(stream, request);
    return () => void this.#open.delete(stream);
  }

  listen(link: Link): void {
    on(link, chatEvent, ({ stream, event }) => this.#open.get(stream)?.text?.(event));
    on(link, editText, ({ stream, text }) => this.#open.get(stream)?.edit?.(text));
    on(link, terminalData, ({ stream, ...data }) => this.#open.get(stream)?.terminal?.(data));
    handle(link, toolConfirm, async ({ stream, ...question }) => ({ answer: (await this.#open.get(stream)?.confirm?.(question)) ?? 'no' }));
    handle(link, toolInvoke, async ({ stream, tool, input }) => (await this.#open.get(stream)?.invoke?.(tool, input)) ?? { text: 'The request has ended.', failed: true });
    handle(link, editApply, async (edit) => {
      const apply = this.#open.get(edit.stream)?.apply;
      const problem = apply === undefined ? 'The request has ended.' : await apply(edit);
      return { applied: problem === null, problem };
    });
  }
}
