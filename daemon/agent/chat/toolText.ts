/**
 * Tool calls as text, in the form that open-weights models were trained on (Hermes, Qwen):
 * `<tool_call>` JSON `</tool_call>`, and `<tool_response>` in a user's message. With it any chat
 * template will do, and a turn's tokens hold the whole of what the model did.
 */
import { randomUUID } from 'node:crypto';
import type { ToolSpec } from '../../../protocol/agent.ts';
import type { ToolCall } from '../../journal/records.ts';
import type { ChatMessage } from './model.ts';

export const CALL_OPENS = '<tool_call>';
export const CALL_CLOSES = '</tool_call>';

/** Messages with the calls and their results written out, for a template that knows roles and text only. */
export function plainMessages(messages: readonly ChatMessage[], tools: readonly ToolSpec[]): { role: string; content: string }[] {
  const plain: { role: string; content: string }[] = [];
  const say = (role: string, content: string): void => {
    const last = plain.at(-1);
    // Templates want user and assistant in turn.
    if (last?.role === role) last.content += `\n${content}`;
    else plain.push({ role, content });
  };
  for (const message of messages) {
    if (message.role === 'system') say('system', message.content + toolsText(tools));
    else if (message.role === 'tool') say('user', `<tool_response>\n${defused(message.content)}\n</tool_response>`);
    else say(message.role, [spelled(message.content), ...(message.calls ?? []).map(callText)].filter((part) => part !== '').join('\n'));
  }
  return plain;
}

export function callText(call: Pick<ToolCall, 'tool' | 'arguments'>): string {
  return `${CALL_OPENS}\n${JSON.stringify({ name: call.tool, arguments: call.arguments ?? {} })}\n${CALL_CLOSES}`;
}

/** The call that a JSON text makes; one of no tool, or of no JSON, has no arguments. */
export function parseCall(json: string): ToolCall {
  const id = `call-${randomUUID()}`;
  try {
    const value: unknown = JSON.parse(json);
    if (isRecord(value) && typeof value['name'] === 'string') {
      const written = value['arguments'] ?? {};
      return { id, tool: value['name'], arguments: isRecord(written) ? written : null };
    }
  } catch {
    // Told by the missing arguments.
  }
  return { id, tool: '', arguments: null };
}

/** The calls in a model's text, and the text without them. */
export function splitCalls(text: string): { text: string; calls: ToolCall[] } {
  const calls: ToolCall[] = [];
  const rest = text.replace(/<tool_call>([\s\S]*?)(?:<\/tool_call>|$)/g, (_, json: string) => {
    calls.push(parseCall(json.trim()));
    return '';
  });
  return { text: rest.trim(), calls };
}

function toolsText(tools: readonly ToolSpec[]): string {
  if (tools.length === 0) return '';
  const listed = tools.map(({ name, description, parameters }) => JSON.stringify({ type: 'function', function: { name, description, parameters } }));
  return `\n\n# Tools\n\nYou may call one tool at a time. Its signature is within <tools></tools>:\n<tools>\n${listed.join('\n')}\n</tools>\n\nA call is a JSON object within tags:\n${CALL_OPENS}\n{"name": "…", "arguments": {…}}\n${CALL_CLOSES}`;
}

/** A file or a web page must not be able to speak as a tool, or to end its own result. */
function defused(text: string): string {
  return spelled(text.replace(/<(\/?)(tool_call|tool_response|tools)>/g, '<$1$2 >'));
}

/** The rendered text is read with the model's control tokens: their spelling in a message is no such token. */
function spelled(text: string): string {
  return text.replace(/<\|(\w+)\|>/g, '< |$1|>');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
