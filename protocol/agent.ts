/**
 * The agent beyond ghost text: edits on request, chat with tools. A request that streams carries a
 * name (`stream`) which the notifications and the questions that belong to it repeat.
 */
import { z } from 'zod';
import { jsonSchema } from './jsonSchema.ts';
import { notification, request } from './message.ts';

const uri = z.string().min(1);
const workspace = uri;
const stream = z.string().min(1).max(128);
const empty = z.object({});

/** An OpenAI-compatible server to use in place of the loaded model: a user's setting, never a workspace's. */
export const endpoint = z.object({ url: z.url({ protocol: /^https?$/ }), model: z.string(), key: z.string().optional() });
export type Endpoint = z.output<typeof endpoint>;

const exampleEndpoint: Endpoint = { url: 'http://127.0.0.1:8080/v1', model: 'qwen3-coder' };

export const agentModel = request(
  'hindsight/agent/model',
  'editor→daemon',
  'Who would answer a chat: the endpoint where one is set, else the loaded model if it can chat. `problem` is the sentence for the user where nobody can.',
  z.object({ endpoint: endpoint.optional() }),
  z.object({ name: z.string().nullable(), maxInputTokens: z.int(), maxOutputTokens: z.int(), problem: z.string().nullable() }),
  { params: { endpoint: exampleEndpoint }, result: { name: 'qwen3-coder', maxInputTokens: 32_000, maxOutputTokens: 4096, problem: null } },
);

export const practiceRun = request(
  'hindsight/practice/run',
  'editor→daemon',
  'Tries the tasks again on which the agent gave up with red tests, newest first: in a throw-away git worktree, without network and git. What turns the tests green becomes samples.',
  z.object({ workspace, limit: z.int().positive(), endpoint: endpoint.optional() }),
  z.object({ tasks: z.array(z.object({ task: z.string(), request: z.string(), outcome: z.enum(['solved', 'solvedWithReflection', 'failed', 'passesAlready', 'noTests']), sentence: z.string(), samples: z.int() })) }),
  {
    params: { workspace: 'file:///p', limit: 1, endpoint: exampleEndpoint },
    result: { tasks: [{ task: 'k-1', request: 'make the test pass', outcome: 'solvedWithReflection', sentence: 'Solved after a reflection: All 3 tests pass.', samples: 4 }] },
  },
);

// ── edits ────────────────────────────────────────────────────────────────────────────────────────

export const editPropose = request(
  'hindsight/edit/propose',
  'editor→daemon',
  'What the agent would write in place of a selection. The editor applies it and reports what becomes of it with the signal `edit.reviewed`.',
  z.object({
    stream,
    uri,
    languageId: z.string(),
    version: z.int(),
    /** The whole document, and the selection in UTF-16 offsets. */
    text: z.string(),
    start: z.int().nonnegative(),
    end: z.int().nonnegative(),
    instruction: z.string().min(1),
    endpoint: endpoint.optional(),
  }),
  z.object({ turn: z.string(), replacement: z.string() }),
  {
    params: { stream: 'e-1', uri: 'file:///p/a.ts', languageId: 'typescript', version: 3, text: 'let a = 1;\n', start: 0, end: 10, instruction: 'make it a constant' },
    result: { turn: 't-12', replacement: 'const a = 1;' },
  },
);

export const editText = notification(
  'hindsight/edit/text',
  'daemon→editor',
  'The replacement as far as it is written.',
  z.object({ stream, text: z.string() }),
  { params: { stream: 'e-1', text: 'const a' } },
);

export const editApply = request(
  'hindsight/edit/apply',
  'daemon→editor',
  'Puts an edit of the agent into a file, under review, and saves it. Refused where the file no longer has the text that the edit was made for. `before` null = the file is to be made.',
  z.object({ stream, turn: z.string(), uri, before: z.string().nullable(), after: z.string() }),
  z.object({ applied: z.boolean(), problem: z.string().nullable() }),
  { params: { stream: 'c-1', turn: 't-13', uri: 'file:///p/a.ts', before: 'let a = 1;\n', after: 'const a = 1;\n' }, result: { applied: true, problem: null } },
);

// ── chat ─────────────────────────────────────────────────────────────────────────────────────────

export const CHAT_COMMANDS = ['edit', 'fix', 'test', 'explain'] as const;

export const toolSpec = z.object({ name: z.string().min(1), description: z.string(), parameters: jsonSchema });
export type ToolSpec = z.output<typeof toolSpec>;

export const toolCall = z.object({ id: z.string(), tool: z.string(), arguments: z.record(z.string(), z.unknown()).nullable() });

export const chatRespond = request(
  'hindsight/chat/respond',
  'editor→daemon',
  'Answers a request of the user with the agent’s tools. The answer is streamed; the result comes at its end. `turn` is that of the last reply: what the user says next is its next state.',
  z.object({
    stream,
    /** All requests of one chat have the same. */
    conversation: z.string().min(1),
    prompt: z.string(),
    command: z.enum(CHAT_COMMANDS).optional(),
    /** `talk`: a conversation without tools and without the agent's instructions. */
    mode: z.enum(['agent', 'talk']).optional(),
    /** What the user attached or selected. */
    context: z.array(z.object({ title: z.string(), text: z.string() })),
    history: z.array(z.object({ role: z.enum(['user', 'assistant']), text: z.string() })),
    /** Turn of the last reply of this chat. */
    previous: z.string().nullable(),
    /** Tools of the editor and of its MCP servers. */
    editorTools: z.array(toolSpec),
    /** Commands that the user's settings let run without asking. */
    allowedCommands: z.array(z.string()),
    endpoint: endpoint.optional(),
  }),
  z.object({ turn: z.string().nullable(), recorded: z.boolean(), steps: z.int(), ended: z.enum(['reply', 'steps', 'stopped']) }),
  {
    params: { stream: 'c-1', conversation: 'k-1', prompt: 'make the test pass', command: 'fix', context: [], history: [], previous: null, editorTools: [], allowedCommands: ['npm test'] },
    result: { turn: 't-20', recorded: true, steps: 4, ended: 'reply' },
  },
);

export const chatEvent = notification(
  'hindsight/chat/event',
  'daemon→editor',
  'A piece of the answer, or what a tool does.',
  z.object({
    stream,
    event: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('text'), text: z.string() }),
      z.object({ kind: z.literal('tool'), call: z.string(), tool: z.string(), title: z.string(), state: z.enum(['running', 'done', 'failed', 'refused']) }),
    ]),
  }),
  { params: { stream: 'c-1', event: { kind: 'tool', call: 'k', tool: 'run_command', title: 'npm test', state: 'running' } } },
);

export const chatComplete = request(
  'hindsight/chat/complete',
  'editor→daemon',
  'One response of the model to messages, for other users of the model picker. Text is streamed by `chat/event`; the calls of tools are the caller’s to run. Nothing of it is recorded.',
  z.object({
    stream,
    messages: z.array(z.object({ role: z.enum(['user', 'assistant', 'tool']), content: z.string(), calls: z.array(toolCall).optional(), callId: z.string().optional() })),
    tools: z.array(toolSpec),
    endpoint: endpoint.optional(),
  }),
  z.object({ text: z.string(), calls: z.array(toolCall) }),
  { params: { stream: 'm-1', messages: [{ role: 'user', content: 'hi' }], tools: [] }, result: { text: 'Hello.', calls: [] } },
);

// ── what tools need of the editor ────────────────────────────────────────────────────────────────

export const toolConfirm = request(
  'hindsight/tool/confirm',
  'daemon→editor',
  'Asks the user whether a tool may do what it is about to do. Only an answer to this request lets it: nothing that a model writes does. `remember` is what "always" would allow from now on in this workspace; null = it can only be allowed once.',
  z.object({ stream, tool: z.string(), title: z.string(), detail: z.string(), remember: z.string().nullable() }),
  z.object({ answer: z.enum(['once', 'always', 'no']) }),
  { params: { stream: 'c-1', tool: 'run_command', title: 'Run in the terminal', detail: 'npm test', remember: 'npm test' }, result: { answer: 'once' } },
);

export const toolInvoke = request(
  'hindsight/tool/invoke',
  'daemon→editor',
  'Runs a tool that only the editor has: `diagnostics`, or one of `editorTools`.',
  z.object({ stream, tool: z.string(), input: z.record(z.string(), z.unknown()) }),
  z.object({ text: z.string(), failed: z.boolean() }),
  { params: { stream: 'c-1', tool: 'diagnostics', input: { path: 'a.ts' } }, result: { text: 'No problems.', failed: false } },
);

export const terminalData = notification(
  'hindsight/terminal/data',
  'daemon→editor',
  'What a terminal of the agent shows, to be mirrored. `ended` has the exit code in words, once.',
  z.object({ stream, terminal: z.string(), command: z.string(), data: z.string(), ended: z.string().nullable() }),
  { params: { stream: 'c-1', terminal: 'p-1', command: 'npm test', data: 'ok\r\n', ended: null } },
);

export const terminalInput = notification(
  'hindsight/terminal/input',
  'editor→daemon',
  'Keys that the user pressed in a mirrored terminal.',
  z.object({ terminal: z.string(), keys: z.string() }),
  { params: { terminal: 'p-1', keys: '\x03' } },
);

export const allowedForget = request(
  'hindsight/terminal/forgetAllowed',
  'editor→daemon',
  'Takes back every "always" that this workspace gave to the agent’s tools.',
  z.object({ workspace }),
  empty,
  { params: { workspace: 'file:///p' }, result: {} },
);

export const agentMessages = [
  agentModel, editPropose, editText, editApply, chatRespond, chatEvent, chatComplete,
  toolConfirm, toolInvoke, terminalData, terminalInput, allowedForget,
] as const;
