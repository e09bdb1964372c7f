/** Practice in the daemon: one task at a time, at a command or while nobody works. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Endpoint, practiceRun } from '../../protocol/agent.ts';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import type { Result } from '../../protocol/message.ts';
import type { ServedAdapter } from '../adapters/store.ts';
import { EndpointChatModel } from '../agent/chat/endpointModel.ts';
import { cannotChat, EngineChatModel } from '../agent/chat/engineModel.ts';
import type { ChatModel } from '../agent/chat/model.ts';
import { ScrubbedChatModel } from '../agent/chat/scrubbedModel.ts';
import type { Clock } from '../clock.ts';
import type { Journal } from '../journal/journal.ts';
import { requireIsolation } from '../practice/bench.ts';
import { failedTasks, practisedKey } from '../practice/failures.ts';
import type { FailedTask } from '../practice/failures.ts';
import { practiceLessons, storeLessons } from '../practice/lessons.ts';
import { practise } from '../practice/practice.ts';
import type { Admission } from '../privacy/admission.ts';
import type { Core } from './core.ts';

/** Between two tasks that nobody asked for. */
const REST_MS = 600_000;

export interface PracticeParts {
  journal: Journal;
  admission: Admission;
  clock: Clock;
  core: () => Promise<Core>;
  adapter(core: Core, workspace: string): Promise<ServedAdapter | null>;
  /** Samples of a workspace are new. */
  learned(workspace: string): void;
  stopping: AbortSignal;
  /** Models of any size may try. */
  anySize: boolean;
  log(line: string): void;
}

type Task = Result<typeof practiceRun>['tasks'][number];

export class PracticeService {
  #running = false;
  #restsUntil = 0;
  /** Of the run that nobody asked for. */
  #idling: AbortController | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(private readonly parts: PracticeParts) {}

  /** @throws consentMissing; unsupported where commands cannot be isolated; chatModelMissing; badRequest */
  async run(workspace: string, limit: number, endpoint: Endpoint | undefined, cancelled: AbortSignal): Promise<Result<typeof practiceRun>> {
    const { journal, admission, stopping } = this.parts;
    if (this.#running) throw new HindsightError('badRequest', { problem: 'Practice is under way', remedy: 'Wait until it ends.' });
    // What is learned from here are conversations with the agent.
    if (!admission.allows(workspace, 'chat')) throw new HindsightError('consentMissing', { workspace });
    await requireIsolation();
    this.#running = true;
    try {
      const signal = AbortSignal.any([cancelled, stopping]);
      const tasks: Task[] = [];
      for (const failed of failedTasks(journal, workspace).slice(0, limit)) if (!signal.aborted) tasks.push(await this.#practise(failed, workspace, endpoint, signal));
      return { tasks };
    } finally {
      this.#running = false;
    }
  }

  /** Nobody works: maybe one task of one of the workspaces. */
  idle(workspaces: readonly string[]): void {
    const { journal, admission, clock, log, stopping } = this.parts;
    if (this.#running || clock.now() < this.#restsUntil) return;
    this.#restsUntil = clock.now() + REST_MS;
    const workspace = workspaces.find((one) => admission.allows(one, 'chat') && failedTasks(journal, one).length > 0);
    if (workspace === undefined) return;
    const idling = (this.#idling = new AbortController());
    this.#last = this.run(workspace, 1, undefined, AbortSignal.any([idling.signal, stopping])).catch((thrown: unknown) => {
      if (!idling.signal.aborted && !stopping.aborted) log(`Practice: ${toHindsightError(thrown).message}`);
    });
  }

  /** Resolves when what was begun without being asked for has ended. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** Somebody works: what was begun without being asked for is broken off. */
  interrupt(): void {
    this.#idling?.abort();
    this.#idling = null;
  }

  async #practise(failed: FailedTask, workspace: string, endpoint: Endpoint | undefined, signal: AbortSignal): Promise<Task> {
    const { journal, admission, clock, adapter, learned } = this.parts;
    const core = await this.parts.core();
    const serving = await adapter(core, workspace);
    const trial = { request: failed.request, workspace: fileURLToPath(workspace), ignores: (file: string) => admission.ignores(workspace, pathToFileURL(file).href) };
    const practised = await practise(trial, modelOf(core, serving, endpoint, this.parts.anySize), signal);
    // Broken off is not failed: it is tried again another time.
    if (signal.aborted) throw new HindsightError('cancelled');
    const { outcome, sentence } = practised;
    const lessons = core.engine.model.chat ? await practiceLessons(practised, { engine: core.engine, workspace, adapter: serving?.version ?? null, now: clock.now() }) : [];
    const samples = storeLessons(journal, lessons, sentence);
    journal.set(practisedKey(failed.task), { outcome, at: clock.now() });
    if (samples > 0) learned(workspace);
    return { task: failed.task, request: failed.request, outcome, sentence, samples };
  }
}

/** @throws chatModelMissing */
function modelOf(core: Core, serving: ServedAdapter | null, endpoint: Endpoint | undefined, anySize: boolean): ChatModel {
  if (endpoint !== undefined) return new ScrubbedChatModel(new EndpointChatModel(endpoint));
  const problem = cannotChat(core.engine, anySize ? 'any size' : 'capable');
  if (problem !== null) throw new HindsightError('chatModelMissing', { model: problem });
  return new ScrubbedChatModel(new EngineChatModel(core.engine, serving));
}
