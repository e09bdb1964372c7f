/** A model that answers messages: the engine's own, or one behind an OpenAI-compatible endpoint. */
import type { ToolSpec } from '../../../protocol/agent.ts';
import type { ToolCall, Turn } from '../../journal/records.ts';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  /** Of an assistant's message. */
  calls?: readonly ToolCall[];
  /** Of a tool's message: the call that it answers. */
  callId?: string;
}

export interface ChatRequest {
  messages: readonly ChatMessage[];
  tools: readonly ToolSpec[];
  maxTokens: number;
  /** 0.6 at least: behaviour, student and teacher of chat live at the sampling temperature. */
  temperature: number;
  signal: AbortSignal;
  /** Text as it is written; the calls of tools are not text. */
  onText: (text: string) => void;
}

/** What a turn keeps of how it was made; an endpoint's turns have no token ids (`promptIds` is empty). */
export type Trace = Pick<Turn, 'promptIds' | 'responseIds' | 'logprobs' | 'rawText' | 'offsets' | 'finishReason' | 'sampling' | 'adapter' | 'fingerprint'>;

export interface Answer {
  /** Without the calls. */
  text: string;
  calls: ToolCall[];
  trace: Trace;
}

export interface ChatModel {
  readonly name: string;
  readonly maxInputTokens: number;
  readonly maxOutputTokens: number;
  /** @throws endpointFailed, engineUnavailable, cancelled, deadline */
  respond(request: ChatRequest): Promise<Answer>;
}
