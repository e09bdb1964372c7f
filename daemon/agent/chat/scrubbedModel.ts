/** A chat model that never reads a secret: neither does what is recorded of its turns, nor an endpoint. */
import { scrub } from '../../privacy/secrets.ts';
import type { Answer, ChatMessage, ChatModel, ChatRequest } from './model.ts';

export class ScrubbedChatModel implements ChatModel {
  /** A task sends its messages again with every step. */
  readonly #known = new Map<string, string>();

  constructor(private readonly model: ChatModel) {}

  get name(): string {
    return this.model.name;
  }

  get maxInputTokens(): number {
    return this.model.maxInputTokens;
  }

  get maxOutputTokens(): number {
    return this.model.maxOutputTokens;
  }

  async respond(request: ChatRequest): Promise<Answer> {
    const messages: ChatMessage[] = [];
    for (const message of request.messages) messages.push({ ...message, content: await this.#scrubbed(message.content) });
    return this.model.respond({ ...request, messages });
  }

  async #scrubbed(text: string): Promise<string> {
    const clean = this.#known.get(text) ?? (await scrub(text));
    this.#known.set(text, clean);
    return clean;
  }
}
