/** Chat with an OpenAI-compatible server (`POST …/chat/completions`, streamed): llama.cpp, vLLM, Ollama, or a
 *  hosted one. Its tokens are unknown here, so its turns never train; what follows them is still judged. */
import { z } from 'zod';
import type { Endpoint } from '../../../protocol/agent.ts';
import { HindsightError } from '../../../protocol/errors.ts';
import type { ToolCall } from '../../journal/records.ts';
import type { Answer, ChatMessage, ChatModel, ChatRequest } from './model.ts';
import { parseCall, splitCalls } from './toolText.ts';

/** Between two pieces of an answer; the first one may wait for a model to load. */
const SILENCE_MS = 180_000;
const INPUT_TOKENS = 32_000;
const OUTPUT_TOKENS = 4096;

const chunk = z.object({
  choices: z.array(
    z.object({
      delta: z
        .object({
          content: z.string().nullish(),
          tool_calls: z.array(z.object({ index: z.int().optional(), id: z.string().nullish(), function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish() })).nullish(),
        })
        .nullish(),
      finish_reason: z.string().nullish(),
    }),
  ),
});

interface Received {
  text: string;
  calls: { id: string; name: string; arguments: string }[];
  finish: string;
}

export class EndpointChatModel implements ChatModel {
  readonly maxInputTokens = INPUT_TOKENS;
  readonly maxOutputTokens = OUTPUT_TOKENS;

  constructor(private readonly endpoint: Endpoint) {}

  get name(): string {
    return this.endpoint.model;
  }

  async respond(request: ChatRequest): Promise<Answer> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    try {
      const response = await this.#send(request, AbortSignal.any([request.signal, silence.signal]));
      const received = await receive(response, request.onText, heard);
      return this.#answer(received, request);
    } catch (thrown) {
      if (request.signal.aborted) throw new HindsightError('cancelled');
      if (silence.signal.aborted) throw this.#failed(`said nothing for ${SILENCE_MS / 1000} s`);
      if (thrown instanceof HindsightError) throw thrown;
      throw this.#failed(`cannot be used (${causeOf(thrown)})`);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send({ messages, tools, maxTokens, temperature }: ChatRequest, signal: AbortSignal): Promise<Response> {
    const { url, model, key } = this.endpoint;
    const body = {
      model,
      messages: messages.map(wireMessage),
      stream: true,
      temperature,
      max_tokens: Math.min(maxTokens, OUTPUT_TOKENS),
      ...(tools.length > 0 && { tools: tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } })) }),
    };
    const headers = { 'content-type': 'application/json', ...(key !== undefined && key !== '' && { authorization: `Bearer ${key}` }) };
    const response = await fetch(`${url.replace(/\/+$/, '')}/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body), signal, redirect: 'error' });
    if (!response.ok) throw this.#failed(`answered ${response.status}: ${(await response.text()).slice(0, 300)}`);
    return response;
  }

  #answer(received: Received, request: ChatRequest): Answer {
    // Servers without a parser for the model's calls pass them on as text.
    const inText = splitCalls(received.text);
    const calls = [...received.calls.map(toolCallOf), ...inText.calls];
    const rawText = [received.text, ...received.calls.map((call) => JSON.stringify(call))].filter((part) => part !== '').join('\n');
    return {
      text: inText.text,
      calls,
      trace: {
        promptIds: [], responseIds: [], logprobs: [], rawText, offsets: [0],
        finishReason: received.finish === 'length' ? 'length' : 'stop',
        sampling: { maxTokens: request.maxTokens, temperature: request.temperature },
        adapter: null,
        fingerprint: `endpoint:${this.endpoint.model}`,
      },
    };
  }

  #failed(problem: string): HindsightError {
    return new HindsightError('endpointFailed', { url: this.endpoint.url, problem });
  }
}

function wireMessage({ role, content, calls, callId }: ChatMessage): object {
  if (role === 'tool') return { role, content, tool_call_id: callId };
  if (calls === undefined || calls.length === 0) return { role, content };
  return { role, content, tool_calls: calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.tool, arguments: JSON.stringify(call.arguments ?? {}) } })) };
}

function toolCallOf({ id, name, arguments: written }: Received['calls'][number]): ToolCall {
  const call = parseCall(`{"name":${JSON.stringify(name)},"arguments":${written.trim() === '' ? '{}' : written}}`);
  return { ...call, tool: name, ...(id !== '' && { id }) };
}

/** Reads server-sent events to their end. */
async function receive(response: Response, onText: (text: string) => void, heard: () => void): Promise<Received> {
  const received: Received = { text: '', calls: [], finish: '' };
  for await (const data of events(response, heard)) {
    const parsed = chunk.safeParse(jsonOf(data));
    const choice = parsed.success ? parsed.data.choices[0] : undefined;
    if (choice === undefined) continue;
    if (choice.delta?.content) {
      received.text += choice.delta.content;
      onText(choice.delta.content);
    }
    for (const piece of choice.delta?.tool_calls ?? []) {
      const at = piece.index ?? Math.max(0, received.calls.length - 1);
      const call = (received.calls[at] ??= { id: '', name: '', arguments: '' });
      call.id ||= piece.id ?? '';
      call.name += piece.function?.name ?? '';
      call.arguments += piece.function?.arguments ?? '';
    }
    received.finish = choice.finish_reason ?? received.finish;
  }
  return { ...received, calls: received.calls.filter((call) => call !== undefined) };
}

async function* events(response: Response, heard: () => void): AsyncGenerator<string> {
  if (response.body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    heard();
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
  }
  if (rest.startsWith('data:')) yield rest.slice(5).trim();
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // `[DONE]`, a comment, a keep-alive.
    return null;
  }
}

function causeOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  if (cause instanceof Error && cause.message !== '') return cause.message;
  return thrown instanceof Error ? thrown.message : String(thrown);
}
