// Hindsight's model in the editor's model picker, for whoever uses language models there. No sign-in, no key.
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { agentModel, chatComplete, type Endpoint } from '../../protocol/agent.ts';
import { toHindsightError } from '../../protocol/errors.ts';
import type { Params, Result } from '../../protocol/message.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import type { OpenRequests } from './requests.ts';

export const VENDOR = 'hindsight';
const DEADLINE_SECONDS = 600;
const CHARS_PER_TOKEN = 3;

type WireMessage = Params<typeof chatComplete>['messages'][number];

export interface ModelPlace {
  readonly connection: DaemonConnection;
  readonly requests: OpenRequests;
  readonly endpoint: () => Promise<Endpoint | undefined>;
}

export class ModelProvider implements vscode.LanguageModelChatProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeLanguageModelChatInformation = this.#changed.event;
  readonly #registration = vscode.lm.registerLanguageModelChatProvider(VENDOR, this);

  constructor(private readonly place: ModelPlace) {}

  /** The daemon is there, or another endpoint is set. The editor resolves our model now, not at the first request, which would fail. */
  async refresh(): Promise<void> {
    this.#changed.fire();
    await vscode.lm.selectChatModels({ vendor: VENDOR });
  }

  /** There is always one: without any model the editor would not let the participant say what is missing. */
  async provideLanguageModelChatInformation(): Promise<vscode.LanguageModelChatInformation[]> {
    const { name, maxInputTokens, maxOutputTokens, problem } = await this.#answering();
    const tooltip = problem ?? vscode.l10n.t('Learns from what you do next, on this machine.');
    return [{ id: 'hindsight', name: name === null ? 'Hindsight' : `Hindsight (${name})`, family: name ?? 'hindsight', version: '1', maxInputTokens: maxInputTokens || 1024, maxOutputTokens: maxOutputTokens || 1024, tooltip, capabilities: { toolCalling: true } }];
  }

  async #answering(): Promise<Result<typeof agentModel>> {
    try {
      const endpoint = await this.place.endpoint();
      return await this.place.connection.request(agentModel, endpoint === undefined ? {} : { endpoint });
    } catch (error) {
      return { name: null, maxInputTokens: 0, maxOutputTokens: 0, problem: toHindsightError(error).message };
    }
  }

  async provideLanguageModelChatResponse(
    _model: vscode.LanguageModelChatInformation,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const stream = `m-${randomUUID()}`;
    const cancelled = new AbortController();
    const stopping = token.onCancellationRequested(() => cancelled.abort());
    const close = this.place.requests.open(stream, {
      text: (piece) => {
        if (piece.kind === 'text') progress.report(new vscode.LanguageModelTextPart(piece.text));
      },
    });
    try {
      const endpoint = await this.place.endpoint();
      const tools = (options.tools ?? []).map(({ name, description, inputSchema }) => ({ name, description, parameters: (inputSchema as Record<string, unknown> | undefined) ?? { type: 'object', properties: {} } }));
      const { calls } = await this.place.connection.request(chatComplete, { stream, messages: messages.flatMap(wireMessages), tools, ...(endpoint && { endpoint }) }, { deadline: DEADLINE_SECONDS, signal: cancelled.signal });
      for (const call of calls) if (call.arguments !== null) progress.report(new vscode.LanguageModelToolCallPart(call.id, call.tool, call.arguments));
    } finally {
      close();
      stopping.dispose();
    }
  }

  provideTokenCount(_model: vscode.LanguageModelChatInformation, text: string | vscode.LanguageModelChatRequestMessage): Promise<number> {
    const length = typeof text === 'string' ? text.length : wireMessages(text).reduce((sum, message) => sum + message.content.length, 0);
    return Promise.resolve(Math.ceil(length / CHARS_PER_TOKEN));
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }
}

/** One message of the editor may hold text, calls and results; results are messages of their own on the wire. */
function wireMessages({ role, content }: vscode.LanguageModelChatRequestMessage): WireMessage[] {
  const text = content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');
  const results = content.filter((part): part is vscode.LanguageModelToolResultPart => part instanceof vscode.LanguageModelToolResultPart);
  const calls = content.filter((part): part is vscode.LanguageModelToolCallPart => part instanceof vscode.LanguageModelToolCallPart);
  const told = results.map((part): WireMessage => ({ role: 'tool', callId: part.callId, content: part.content.map((each) => (each instanceof vscode.LanguageModelTextPart ? each.value : '')).join('') }));
  if (text === '' && calls.length === 0) return told;
  const own: WireMessage = {
    role: role === vscode.LanguageModelChatMessageRole.Assistant ? 'assistant' : 'user',
    content: text,
    ...(calls.length > 0 && { calls: calls.map((call) => ({ id: call.callId, tool: call.name, arguments: call.input as Record<string, unknown> })) }),
  };
  return [...told, own];
}
