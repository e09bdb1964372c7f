/**
 * The agent's requests of every client: finds the model that answers, lends tools their world (files
 * as the user sees them, the editor, a terminal, the user's consent), and records each action where
 * the owner agreed to it. What the tools may do is decided here and by the user, never by a model.
 */
import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as wire from '../../protocol/agent.ts';
import type { testsRead, testsRun } from '../../protocol/tests.ts';
import type { Endpoint } from '../../protocol/agent.ts';
import { HindsightError } from '../../protocol/errors.ts';
import type { Params, Result } from '../../protocol/message.ts';
import type { ServedAdapter } from '../adapters/store.ts';
import { cannotChat, EngineChatModel } from '../agent/chat/engineModel.ts';
import { EndpointChatModel } from '../agent/chat/endpointModel.ts';
import { ScrubbedChatModel } from '../agent/chat/scrubbedModel.ts';
import type { ChatMessage, ChatModel, Trace } from '../agent/chat/model.ts';
import { systemPrompt, userPrompt } from '../agent/chat/prompts.ts';
import { BrowserSession } from '../agent/browser/session.ts';
import { runTask } from '../agent/chat/task.ts';
import type { Step } from '../agent/chat/task.ts';
import { plainMessages } from '../agent/chat/toolText.ts';
import { codeOf, editMessages } from '../agent/edit/propose.ts';
import { isAllowed } from '../agent/terminal/allow.ts';
import { reportIn, runTests } from '../agent/tests/run.ts';
import { insideWorkspace } from '../agent/tools/paths.ts';
import { Toolbox } from '../agent/tools/toolbox.ts';
import type { ToolContext } from '../agent/tools/tool.ts';
import type { Clock } from '../clock.ts';
import type { Intake } from '../episodes/intake.ts';
import type { Journal } from '../journal/journal.ts';
import type { AgentAction, Modality, Observation, Turn } from '../journal/records.ts';
import { observed } from '../reward/verifiers.ts';
import { usableHint } from '../reward/votes.ts';
import { scrub, scrubAll, secretsIn } from '../privacy/secrets.ts';
import type { Core } from './core.ts';
import { pathIn } from './paths.ts';
import { Terminals } from './terminals.ts';
import type { Window } from './window.ts';

/** The user may be away from the keyboard; a tool waits no longer. */
const CONFIRM_SECONDS = 600;
const INVOKE_SECONDS = 120;
const APPLY_SECONDS = 30;
/** Characters of the file that an edit's prompt has before and after the selection. */
const SHOWN = 6000;
const EDIT_TEMPERATURE = 0.6;
/** Of a reply in a conversation without tools. */
const TALK_TOKENS = 256;
/** Corrections that stand before a conversation, and turns that are looked at to find them. */
const REMEMBERED = 5;
const REMEMBERED_TURNS = 200;
/** A run of the user's tests may take so long. */
const TESTS_MS = 30 * 60_000;
const LARGEST_REPORT = 16 * 1024 * 1024;
const BROWSER_TOOLS = 'browser_';

export interface AgentParts {
  journal: Journal;
  intake: Intake;
  clock: Clock;
  core: () => Promise<Core>;
  adapter(core: Core, workspace: string): Promise<ServedAdapter | null>;
  splitOf(uri: string, now: number): Turn['split'];
  changed(workspace: string): void;
  /** Earlier corrections of the user stand in front of a conversation. */
  memory: boolean;
  /** Models of any size may chat: a simulation asks for it. */
  anySize: boolean;
}

export class AgentService {
  readonly #terminals = new Terminals();
  readonly #tasks = new Map<Window, Set<AbortController>>();
  /** The last words of each conversation: the same again is a retry. */
  readonly #lastPrompts = new Map<string, string>();
  /** The last step of each conversation that came to no reply. */
  readonly #lastSteps = new Map<string, string>();

  constructor(private readonly parts: AgentParts) {}

  /** A request of somebody's is under way. */
  get busy(): boolean {
    return [...this.#tasks.values()].some((tasks) => tasks.size > 0);
  }

  async model(endpoint: Endpoint | undefined): Promise<Result<typeof wire.agentModel>> {
    try {
      const { name, maxInputTokens, maxOutputTokens } = await this.#model(null, endpoint);
      return { name, maxInputTokens, maxOutputTokens, problem: null };
    } catch (thrown) {
      return { name: null, maxInputTokens: 0, maxOutputTokens: 0, problem: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  async propose(window: Window, params: Params<typeof wire.editPropose>, cancelled: AbortSignal): Promise<Result<typeof wire.editPropose>> {
    return this.#during(window, cancelled, async (signal) => {
      const { stream, uri, text, start, end, instruction, languageId } = params;
      const model = await this.#model(window, params.endpoint);
      const selected = text.slice(start, end);
      if ((await secretsIn(selected)).length > 0) {
        // The model would read a mask, and write it into the file.
        throw new HindsightError('badRequest', { problem: 'The selection holds what looks like a password or a key, which no model gets to read', remedy: 'Select less, or take it out of the code.' });
      }
      let written = '';
      const messages = editMessages({ path: pathIn(window.workspace, uri), languageId, before: text.slice(Math.max(0, start - SHOWN), start), selected, after: text.slice(end, end + SHOWN), instruction });
      const answer = await model.respond({
        messages,
        tools: [],
        maxTokens: model.maxOutputTokens,
        temperature: EDIT_TEMPERATURE,
        signal,
        onText: (piece) => {
          written += piece;
          window.notify(wire.editText, { stream, text: codeOf(written, selected, false) });
        },
      });
      const replacement = codeOf(answer.text, selected, true);
      if (replacement.trim() === '' && selected.trim() !== '') throw new HindsightError('badRequest', { problem: 'The model wrote no code for this', remedy: 'Say it in other words, or select less.' });
      const id = `t-${randomUUID()}`;
      const action: AgentAction = { task: `k-${randomUUID()}`, step: 0, request: instruction, calls: [], messages: plainMessages(messages, []) };
      const place = { uri, languageId, version: params.version, offset: start, before: text.slice(Math.max(0, start - 400), start), after: text.slice(end, end + 200) };
      if (this.parts.intake.admission.turn({ workspace: window.workspace, modality: 'edit', uri })) await this.#began(window, { id, modality: 'edit', action, trace: answer.trace, shownText: replacement }, place);
      return { turn: id, replacement };
    });
  }

  async respond(window: Window, params: Params<typeof wire.chatRespond>, cancelled: AbortSignal): Promise<Result<typeof wire.chatRespond>> {
    return this.#during(window, cancelled, async (signal) => {
      await this.#said(window, params);
      const { stream, prompt, context, history, editorTools } = params;
      const talk = params.mode === 'talk';
      const model = await this.#model(window, params.endpoint);
      const { admission } = this.parts.intake;
      let recorded = admission.allows(window.workspace, 'chat');
      const messages: ChatMessage[] = [
        ...this.#told(window.workspace, params),
        ...history.map(({ role, text }) => ({ role, content: text })),
        { role: 'user', content: userPrompt(prompt, context) },
      ];
      const browser = new BrowserSession();
      let last: Step | null = null;
      const end = await runTask({ request: prompt, messages }, {
        model,
        toolbox: talk ? new Toolbox([], []) : new Toolbox(editorTools),
        ...(talk && { maxTokens: TALK_TOKENS }),
        context: this.#toolContext(window, params, browser, signal),
        onText: (text) => window.notify(wire.chatEvent, { stream, event: { kind: 'text', text } }),
        onTool: (call, title, state) => window.notify(wire.chatEvent, { stream, event: { kind: 'tool', call: call.id, tool: call.tool, title, state } }),
        record: async (step) => {
          // What a page says is in the prompts of all that follows.
          if (step.action.calls.some(({ tool }) => tool.startsWith(BROWSER_TOOLS)) && !admission.allows(window.workspace, 'browser')) recorded = false;
          if (!recorded) return;
          last = step;
          await this.#began(window, { ...step, trace: step.answer.trace, shownText: step.answer.trace.rawText || '(nothing)' });
        },
        observed: async (step, observations) => {
          if (recorded) await this.#observed(window, step, observations);
        },
      }).finally(() => {
        if (last !== null && last.action.calls.length > 0) this.#unanswered(window, params.conversation, last);
        return browser.close();
      });
      return { ...end, recorded };
    });
  }

  async complete(window: Window, params: Params<typeof wire.chatComplete>, cancelled: AbortSignal): Promise<Result<typeof wire.chatComplete>> {
    return this.#during(window, cancelled, async (signal) => {
      const model = await this.#model(window, params.endpoint);
      const messages = params.messages.map(({ role, content, calls, callId }): ChatMessage => ({ role, content, ...(calls && { calls }), ...(callId !== undefined && { callId }) }));
      const onText = (text: string): void => window.notify(wire.chatEvent, { stream: params.stream, event: { kind: 'text', text } });
      const { text, calls } = await model.respond({ messages: [{ role: 'system', content: 'You are a coding assistant.' }, ...messages], tools: params.tools, maxTokens: model.maxOutputTokens, temperature: EDIT_TEMPERATURE, signal, onText });
      return { text, calls };
    });
  }

  /** The user's own run: by their command, in a terminal that they see. */
  async runTests(window: Window, { stream, files }: Params<typeof testsRun>, cancelled: AbortSignal): Promise<Result<typeof testsRun>> {
    const folder = fileURLToPath(window.workspace);
    const nothing = (problem: string): Result<typeof testsRun> => ({ command: null, report: null, durationMs: 0, problem });
    return this.#during(window, cancelled, async (signal) => {
      for (const file of files) await insideWorkspace(folder, file);
      const run = await runTests(folder, files, (command, cap) =>
        this.#terminals.run({ command, cwd: folder, deadlineMs: TESTS_MS, cap, signal }, (data) => window.notify(wire.terminalData, { stream, ...data })),
      );
      if (run === null) return nothing('Nothing in this folder says how it is tested. Hindsight knows vitest, jest, mocha, node --test, pytest, go, cargo, and an npm script named "test".');
      const { command, report, outcome } = run;
      const problem = report !== null ? null : outcome.ended === 'deadline' ? `The tests did not end within ${TESTS_MS / 60_000} minutes.` : outcome.ended === 'stopped' ? 'The tests were stopped.' : 'The tests wrote no report; the terminal says why.';
      return { command, report, durationMs: outcome.durationMs, problem };
    });
  }

  /** What another run has reported, in a file of the workspace. */
  async readReport(window: Window, { uri }: Params<typeof testsRead>): Promise<Result<typeof testsRead>> {
    const file = await insideWorkspace(fileURLToPath(window.workspace), fileURLToPath(uri));
    const { size } = await stat(file);
    return { report: size > LARGEST_REPORT ? null : reportIn(await readFile(file, 'utf8')) };
  }

  forgetAllowed(workspace: string): Record<string, never> {
    this.parts.journal.set(allowedKey(workspace), []);
    return {};
  }

  /** The words of conversations are kept to know a retry; nothing of them is left. */
  forgetWords(): void {
    this.#lastPrompts.clear();
  }

  press(terminal: string, keys: string): void {
    this.#terminals.press(terminal, keys);
  }

  /** A window is gone: nobody reads its answers or sees its terminals any more. */
  leave(window: Window): void {
    for (const task of this.#tasks.get(window) ?? []) task.abort();
    this.#tasks.delete(window);
  }

  // ── inside ─────────────────────────────────────────────────────────────────────────────────

  /** @throws chatModelMissing, and what the engine could not start for */
  async #model(window: Window | null, endpoint: Endpoint | undefined): Promise<ChatModel> {
    if (endpoint !== undefined) return new ScrubbedChatModel(new EndpointChatModel(endpoint));
    const core = await this.parts.core();
    const problem = cannotChat(core.engine, this.parts.anySize ? 'any size' : 'capable');
    if (problem !== null) throw new HindsightError('chatModelMissing', { model: problem });
    return new ScrubbedChatModel(new EngineChatModel(core.engine, window === null ? null : await this.parts.adapter(core, window.workspace)));
  }

  async #during<T>(window: Window, cancelled: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const task = new AbortController();
    const tasks = this.#tasks.get(window) ?? new Set();
    this.#tasks.set(window, tasks.add(task));
    try {
      return await work(AbortSignal.any([cancelled, task.signal]));
    } finally {
      tasks.delete(task);
    }
  }

  #toolContext(window: Window, { stream, allowedCommands }: Params<typeof wire.chatRespond>, browser: BrowserSession, signal: AbortSignal): Omit<ToolContext, 'turn'> {
    const { journal } = this.parts;
    const { workspace } = window;
    const folder = fileURLToPath(workspace);
    const allowed = (): string[] => (journal.get(allowedKey(workspace)) as string[] | undefined) ?? [];
    return {
      folder,
      signal,
      browser,
      readText: (path) => {
        if (this.parts.intake.admission.ignores(workspace, pathToFileURL(path).href)) throw new HindsightError('badRequest', { problem: `${relative(folder, path)} is one of the files that are not read or recorded here`, remedy: 'Go on without it.' });
        return textOf(window, path);
      },
      async applyEdit({ turn, path, before, after }) {
        const { applied, problem } = await window.ask(wire.editApply, { stream, turn, uri: pathToFileURL(path).href, before, after }, { signal, deadline: APPLY_SECONDS });
        return applied ? null : (problem ?? 'The editor did not apply it.');
      },
      async confirm({ tool, title, detail, remember }) {
        const { answer } = await window.ask(wire.toolConfirm, { stream, tool, title, detail, remember }, { signal, deadline: CONFIRM_SECONDS });
        if (answer === 'always' && remember !== null) journal.set(allowedKey(workspace), [...new Set([...allowed(), remember])]);
        return answer !== 'no';
      },
      isAllowed: (command) => isAllowed(command, [...allowedCommands, ...allowed()]),
      terminal: (order) => this.#terminals.run({ ...order, signal }, (data) => window.notify(wire.terminalData, { stream, ...data })),
      invokeEditor: (tool, input) => window.ask(wire.toolInvoke, { stream, tool, input }, { signal, deadline: INVOKE_SECONDS }),
      task: { lastTests: null, editedFiles: new Set(), testFiles: null },
    };
  }

  async #began(window: Window, made: { id: string; modality: Modality; action: AgentAction; trace: Trace; shownText: string }, at: Partial<Turn> = {}): Promise<void> {
    const now = this.parts.clock.now();
    const { id, modality } = made;
    const { trace, shownText } = await withoutSecrets(made);
    // What has no tokens never trains: nobody needs to know what it read.
    const { messages, ...said } = made.action;
    const { action, place } = await scrubAll({ action: trace.promptIds.length === 0 || messages === undefined ? said : { ...said, messages }, place: at });
    const uri = place.uri ?? '';
    const turn: Turn = {
      id, modality, action, ...trace, shownText,
      session: window.session,
      workspace: window.workspace,
      role: 'main',
      split: this.parts.splitOf(uri || action.task, now),
      block: uri || action.task,
      offeredAt: now,
      uri,
      languageId: '',
      version: 0,
      offset: 0,
      promptMode: 'prefix',
      before: '',
      after: '',
      ...place,
    };
    this.parts.intake.act(window.session, (actions) => actions.began(turn));
    this.parts.changed(window.workspace);
  }

  async #observed(window: Window, step: Step, seen: readonly Observation[]): Promise<void> {
    const observations = await scrubAll(seen);
    const edited = observations.some((one) => one.kind === 'result' && one.tool === 'edit_file' && !one.failed);
    this.parts.intake.act(window.session, (actions) => actions.observed(step.id, observations, edited ? 'under review' : 'none', this.parts.clock.now()));
    this.parts.changed(window.workspace);
  }

  /** What stands before a conversation: the agent's instructions, and what its user corrected before. */
  #told(workspace: string, { mode, command }: Params<typeof wire.chatRespond>): ChatMessage[] {
    const notes = this.parts.memory ? remembered(this.parts.journal, workspace) : [];
    const wishes = notes.length === 0 ? [] : [`What this user asked for before:\n${notes.map((note) => `- ${note}`).join('\n')}`];
    const content = [...(mode === 'talk' ? [] : [systemPrompt(command)]), ...wishes].join('\n\n');
    return content === '' ? [] : [{ role: 'system', content }];
  }

  /** The task came to no reply: it was stopped, or took too many steps. */
  #unanswered(window: Window, conversation: string, { id, action }: Step): void {
    this.#lastSteps.set(conversation, id);
    this.parts.intake.act(window.session, (actions) => actions.ended(window.session, action.task, this.parts.clock.now()));
  }

  /** The user's words are what follows the reply before them, or the step at which it was stopped. */
  async #said(window: Window, params: Params<typeof wire.chatRespond>): Promise<void> {
    const { conversation, prompt } = params;
    const previous = params.previous ?? this.#lastSteps.get(conversation) ?? null;
    this.#lastSteps.delete(conversation);
    const retry = this.#lastPrompts.get(conversation) === prompt;
    this.#lastPrompts.set(conversation, prompt);
    if (previous === null || !this.parts.intake.admission.allows(window.workspace, 'chat')) return;
    const words = await scrub(prompt);
    this.parts.intake.act(window.session, (actions) => actions.said(previous, words, retry, this.parts.clock.now()));
  }
}

/** What a model says may be a secret too: one that it made up, or was told elsewhere. Tokens would spell it, so none are kept. */
async function withoutSecrets({ trace, shownText }: { trace: Trace; shownText: string }): Promise<{ trace: Trace; shownText: string }> {
  const [rawText, shown] = await Promise.all([scrub(trace.rawText), scrub(shownText)]);
  if (rawText === trace.rawText && shown === shownText) return { trace, shownText };
  return { trace: { ...trace, rawText, promptIds: [], responseIds: [], logprobs: [], offsets: [0] }, shownText: shown };
}

/** The latest corrections that were given with a rating, the newest first, each once: what a message
 *  corrects is often about one file alone. */
function remembered(journal: Journal, workspace: string): string[] {
  const replies = journal.turnsOf({ workspace, role: 'main', open: false, limit: REMEMBERED_TURNS }).filter(({ modality }) => modality === 'chat');
  const corrections = replies.flatMap(({ id }) => observed(journal.nextState(id) ?? { observations: [] }, 'rating').flatMap(({ correction }) => usableHint(correction) ?? []));
  return [...new Set(corrections)].slice(0, REMEMBERED);
}

/** As the user sees it: what is typed and not saved counts. */
async function textOf(window: Window, path: string): Promise<string | null> {
  const open = window.openFiles().find(({ uri }) => uri.startsWith('file:') && fileURLToPath(uri) === path);
  if (open !== undefined) return open.text;
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (['ENOENT', 'EISDIR', 'ENOTDIR'].includes((thrown as NodeJS.ErrnoException).code ?? '')) return null;
    throw thrown;
  }
}

const allowedKey = (workspace: string): string => `tools.allowed ${workspace}`;
