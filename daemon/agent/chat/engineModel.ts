/**
 * Chat on the engine, with the exact tokens. Text is sampled freely until the model opens a tool
 * call; what follows is sampled under the JSON schema of the tools there are, so that the call of a
 * weak model is well-formed too. The turn's response is all of it, in one piece.
 */
import { randomUUID } from 'node:crypto';
import { PRIORITY } from '../../../protocol/engine.ts';
import type { GenerateResult, Sampling } from '../../../protocol/engine.ts';
import type { ToolSpec } from '../../../protocol/agent.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ServedAdapter } from '../../adapters/store.ts';
import { callsSchema } from './callsSchema.ts';
import type { Answer, ChatModel, ChatRequest, Trace } from './model.ts';
import { CALL_OPENS, parseCall, plainMessages } from './toolText.ts';

const OUTPUT_TOKENS = 1024;
const CALL_TOKENS = 1024;
const DEADLINE_SECONDS = 600;

/** Smaller ones have a template at most by inheritance; no instruct model in use is below it. */
const CHAT_PARAMETERS = 50_000_000;

/** @returns the sentence for the user; null = it can chat */
export function cannotChat(engine: Engine, wanted: 'capable' | 'any size' = 'capable'): string | null {
  const { name, chat, parameters } = engine.model;
  if (!chat) return `The model ${name} has no chat template and`;
  return wanted === 'capable' && parameters < CHAT_PARAMETERS ? `The model ${name} is too small and` : null;
}

export class EngineChatModel implements ChatModel {
  readonly maxOutputTokens = OUTPUT_TOKENS;

  constructor(
    private readonly engine: Engine,
    private readonly adapter: ServedAdapter | null,
  ) {}

  get name(): string {
    return this.engine.model.name;
  }

  get maxInputTokens(): number {
    return Math.max(256, this.engine.model.maxPositions - OUTPUT_TOKENS - CALL_TOKENS);
  }

  async respond(request: ChatRequest): Promise<Answer> {
    const { engine } = this;
    const rendered = await engine.render({ messages: plainMessages(request.messages, request.tools), addGenerationPrompt: true });
    const promptIds = engine.model.bos === null ? rendered.ids : withBos(rendered.ids, engine.model.bos);
    const sampling: Sampling = { maxTokens: Math.min(request.maxTokens, OUTPUT_TOKENS), temperature: Math.max(0.6, request.temperature) };
    const free = await this.#generate(promptIds, request.tools.length > 0 ? { ...sampling, stop: [CALL_OPENS] } : sampling, request);
    const opened = free.finishReason === 'stop' && free.text.endsWith(CALL_OPENS);
    const constrained = opened ? await this.#call(promptIds, free, sampling, request.tools, request.signal) : null;
    return {
      text: (opened ? free.text.slice(0, -CALL_OPENS.length) : free.text).trim(),
      calls: constrained === null ? [] : [parseCall(constrained.text)],
      trace: this.#trace(promptIds, sampling, constrained === null ? [free] : [free, constrained]),
    };
  }

  #generate(prompt: number[], sampling: Sampling, { signal, onText }: Pick<ChatRequest, 'signal' | 'onText'>): Promise<GenerateResult> {
    const stream = `chat-${randomUUID()}`;
    const written = new HeldBack(onText);
    const off = this.engine.onToken(stream, (token) => written.write(token.text));
    return this.engine
      .generate({ prompt, sampling, adapter: this.adapter?.name ?? null, priority: PRIORITY.chat, stream }, { signal, deadline: DEADLINE_SECONDS })
      .then((result) => {
        written.end();
        return result;
      })
      .finally(off);
  }

  #call(prompt: readonly number[], free: GenerateResult, sampling: Sampling, tools: readonly ToolSpec[], signal: AbortSignal): Promise<GenerateResult> {
    const { stop: _, ...rest } = sampling;
    return this.engine.generate(
      { prompt: [...prompt, ...free.ids], sampling: { ...rest, maxTokens: CALL_TOKENS }, adapter: this.adapter?.name ?? null, priority: PRIORITY.chat, schema: callsSchema(tools) },
      { signal, deadline: DEADLINE_SECONDS },
    );
  }

  #trace(promptIds: number[], sampling: Sampling, parts: readonly GenerateResult[]): Trace {
    const last = parts.at(-1);
    let rawText = '';
    const offsets: number[] = [];
    for (const part of parts) {
      const from = Buffer.byteLength(rawText);
      offsets.push(...part.offsets.slice(0, -1).map((offset) => from + offset));
      rawText += part.text;
    }
    return {
      promptIds,
      responseIds: parts.flatMap((part) => part.ids),
      logprobs: parts.flatMap((part) => part.logprobs),
      rawText,
      offsets: [...offsets, Buffer.byteLength(rawText)],
      finishReason: last?.finishReason ?? 'stop',
      sampling,
      adapter: this.adapter?.version ?? null,
      fingerprint: this.engine.model.fingerprint,
    };
  }
}

/** Passes text on, except what may be the beginning of a call. */
class HeldBack {
  #held = '';
  #over = false;

  constructor(private readonly pass: (text: string) => void) {}

  write(text: string): void {
    if (this.#over) return;
    this.#held += text;
    const opens = this.#held.indexOf(CALL_OPENS);
    this.#over = opens >= 0;
    const keep = opens >= 0 ? this.#held.length - opens : overlap(this.#held, CALL_OPENS);
    this.#pass(this.#held.length - keep);
  }

  end(): void {
    if (!this.#over) this.#pass(this.#held.length);
  }

  #pass(count: number): void {
    if (count > 0) this.pass(this.#held.slice(0, count));
    this.#held = this.#held.slice(count);
  }
}

/** Length of the longest end of `text` that `word` begins with. */
function overlap(text: string, word: string): number {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length -= 1) if (word.startsWith(text.slice(-length))) return length;
  return 0;
}

/** Templates that write the token themselves must not get it twice. */
function withBos(ids: number[], bos: number): number[] {
  return ids[0] === bos ? ids : [bos, ...ids];
}
