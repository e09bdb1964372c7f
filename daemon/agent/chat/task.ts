/**
 * The agent loop: the model answers, its calls run, their results are the next thing it reads, until
 * it replies. Each answer is one turn; what its calls gave is that turn's next state. Everything
 * outside is passed in.
 */
import { randomUUID } from 'node:crypto';
import type { AgentAction, Modality, Observation, ToolCall } from '../../journal/records.ts';
import type { Ran, Toolbox } from '../tools/toolbox.ts';
import type { ToolContext } from '../tools/tool.ts';
import { plainMessages } from './toolText.ts';
import type { Answer, ChatMessage, ChatModel } from './model.ts';

const MAX_STEPS = 30;
const TEMPERATURE = 0.6;
/** A token of code is about so many characters. */
const CHARS_PER_TOKEN = 3;

export interface Task {
  request: string;
  messages: ChatMessage[];
}

/** A turn to be recorded, as far as the loop knows it. */
export interface Step {
  id: string;
  modality: Modality;
  action: AgentAction;
  answer: Answer;
}

export interface TaskParts {
  model: ChatModel;
  toolbox: Toolbox;
  context: Omit<ToolContext, 'turn'>;
  /** Of one answer; absent = as many as the model can. */
  maxTokens?: number;
  onText(text: string): void;
  onTool(call: ToolCall, title: string, state: Ran['state'] | 'running'): void;
  /** Before its calls run. */
  record(step: Step): Promise<void>;
  observed(step: Step, observations: Observation[]): Promise<void>;
}

export interface TaskEnd {
  /** Of the reply; null where there was none. */
  turn: string | null;
  steps: number;
  ended: 'reply' | 'steps' | 'stopped';
}

/** @throws what the model throws; `cancelled` is an end, not an error */
export async function runTask(task: Task, parts: TaskParts): Promise<TaskEnd> {
  const { model, toolbox, context } = parts;
  const id = `k-${randomUUID()}`;
  for (let number = 0; number < MAX_STEPS; number += 1) {
    if (context.signal.aborted) return { turn: null, steps: number, ended: 'stopped' };
    const messages = fitted(task.messages, model.maxInputTokens * CHARS_PER_TOKEN);
    const answer = await model.respond({ messages, tools: toolbox.specs, maxTokens: parts.maxTokens ?? model.maxOutputTokens, temperature: TEMPERATURE, signal: context.signal, onText: parts.onText });
    const step: Step = { id: `t-${randomUUID()}`, modality: modalityOf(answer.calls), action: { task: id, step: number, request: task.request, calls: answer.calls, messages: plainMessages(messages, toolbox.specs) }, answer };
    await parts.record(step);
    task.messages.push({ role: 'assistant', content: answer.text, calls: answer.calls });
    if (answer.calls.length === 0) return { turn: step.id, steps: number + 1, ended: 'reply' };
    await parts.observed(step, await runCalls(answer.calls, task, { ...context, turn: step.id }, parts));
  }
  return { turn: null, steps: MAX_STEPS, ended: 'steps' };
}

async function runCalls(calls: readonly ToolCall[], task: Task, context: ToolContext, { toolbox, onTool }: TaskParts): Promise<Observation[]> {
  const observations: Observation[] = [];
  for (const call of calls) {
    const title = toolbox.title(call);
    onTool(call, title, 'running');
    const ran = await toolbox.run(call, context);
    onTool(call, ran.summary === '' ? title : `${title}: ${ran.summary}`, ran.state);
    observations.push(...ran.observations);
    task.messages.push({ role: 'tool', content: ran.text, callId: call.id });
  }
  return observations;
}

const MODALITIES: Readonly<Record<string, Modality>> = { edit_file: 'edit', run_command: 'terminal' };

function modalityOf(calls: readonly ToolCall[]): Modality {
  const [first] = calls;
  if (first === undefined) return 'chat';
  return MODALITIES[first.tool] ?? (first.tool.startsWith('browser_') ? 'browser' : 'tool');
}

const LEFT_OUT = '[left out: it is long ago]';

/** Messages within a budget of characters: the oldest results go first, then the oldest exchanges; the first
 *  two (what the agent is told, what it was asked) and the last four stay. */
export function fitted(messages: readonly ChatMessage[], budget: number): ChatMessage[] {
  const kept = messages.map((message) => ({ ...message }));
  const size = (): number => kept.reduce((sum, message) => sum + message.content.length + JSON.stringify(message.calls ?? []).length, 0);
  for (const message of kept.slice(2, -4)) {
    if (size() <= budget) return kept;
    if (message.role === 'tool') message.content = LEFT_OUT;
  }
  while (size() > budget && kept.length > 6) {
    // A result never stands without its call.
    const end = kept.findIndex((message, at) => at > 2 && message.role !== 'tool');
    if (end < 0 || kept.length - (end - 2) < 4) break;
    kept.splice(2, end - 2);
  }
  return kept;
}
