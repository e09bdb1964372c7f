/** Ghost text: what is asked at a cursor, of which engine, with what around it, and whether it is shown. What
 *  holds between two requests while a person types is typing.ts's matter; a replay's developer is answered
 *  anew at each request, so that its figures do not depend on the machine's speed. */
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PRIORITY } from '../../protocol/engine.ts';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import type { ServedAdapter } from '../adapters/store.ts';
import { complete, promptOf } from '../agent/completion/complete.ts';
import type { CompletionRequest as PromptRequest } from '../agent/completion/complete.ts';
import { HoldBack } from '../agent/completion/holdBack.ts';
import { importSnippets, recentSnippets } from '../agent/completion/related.ts';
import type { Snippet } from '../agent/completion/snippet.ts';
import { RecallIndex } from '../agent/completion/recall.ts';
import type { Recalled } from '../agent/completion/recall.ts';
import { commonLength } from '../agent/completion/standing.ts';
import type { Clock } from '../clock.ts';
import type { Intake } from '../episodes/intake.ts';
import { isOffer } from '../episodes/turns.ts';
import { blockOf as halfHourOf, splitOf } from '../gate/holdout.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { readChoice } from '../learn/choices.ts';
import { METHODS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { ContextScrubber } from '../privacy/context.ts';
import { scrub } from '../privacy/secrets.ts';
import type { Attachment } from './attachment.ts';
import { PASSING } from './core.ts';
import type { Core } from './core.ts';
import { WorkspaceMemory } from './memory.ts';
import { NewestOnly } from './newest.ts';
import { pathIn } from './paths.ts';
import { Typing } from './typing.ts';
import type { ChangedDocument, Offer } from './typing.ts';
import type { Window } from './window.ts';

/** Several lines are waited for so long; then the first one is offered alone. */
const LATE_MS = 300;
/** An attached engine that does not have the serving version yet is given so long; then the local one serves. */
const REMOTE_ADAPTER_MS = 1500;
/** Snippets of related files, and files whose latest change is remembered. */
const RELATED = 4;
const EDITED = 4;
const LARGEST_FILE = 200_000;
/** Latest answers whose time says whether training gets in their way. */
const ANSWERS = 15;

export interface CompletionRequest {
  window: Window;
  uri: string;
  languageId: string;
  version: number;
  text: string;
  /** UTF-16 offset of the cursor. */
  offset: number;
  trigger: 'typing' | 'invoked';
  signal: AbortSignal;
}

/** Who types; see the head of this file. */
export type Typist = 'person' | 'replay';

/** How a request differs from one that a person waits for. */
type Foresight = Pick<PromptRequest, 'priority' | 'goesOn'>;

export type Place = Pick<CompletionRequest, 'uri' | 'text' | 'offset'>;

type Surroundings = Pick<PromptRequest, 'path' | 'text' | 'offset' | 'openFiles' | 'memory' | 'related'>;

export interface CompletionParts {
  journal: Journal;
  intake: Intake;
  settings: LearnSettings;
  clock: Clock;
  core: () => Promise<Core>;
  attachment: Attachment;
  adapter: (core: Core, workspace: string) => Promise<ServedAdapter | null>;
  /** @returns null when no window works in the workspace */
  openFiles: (workspace: string) => ReturnType<Window['openFiles']> | null;
  changed: (workspace: string) => void;
  stopping: AbortSignal;
  typist: Typist;
  lateMs?: number;
  /** A file that is not open; absent = from the disk. */
  readFile?: (uri: string) => string | null;
  /** What the holdout is drawn on; the default is a file's half hour. */
  blockOf?: (offer: { uri: string; at: number }) => string;
}

export class CompletionService {
  readonly #newest: NewestOnly;
  readonly #scrubber = new ContextScrubber();
  readonly #memory: WorkspaceMemory;
  readonly #recalls = new Map<string, RecallIndex>();
  readonly #holdBack: HoldBack;
  /** What each workspace's window wishes; absent = as the settings say. */
  readonly #holding = new Map<string, boolean>();
  /** By workspace, the latest first; empty where related files are not asked for. */
  readonly #edits = new Map<string, { uri: string; text: string; offset: number }[]>();
  readonly #offers = new Map<string, number>();
  /** null where nobody types. */
  readonly #typing: Typing | null;
  #typedAt: number | null = null;
  #answerMs: readonly number[] = [];

  constructor(private readonly parts: CompletionParts) {
    this.#newest = new NewestOnly(parts.clock);
    this.#memory = new WorkspaceMemory(parts.journal);
    this.#holdBack = new HoldBack(parts.journal);
    this.#typing = parts.typist === 'replay' ? null : new Typing({
      clock: parts.clock,
      changed: parts.changed,
      compute: (place) => this.#anywhere({ ...place, trigger: 'typing', priority: PRIORITY.ahead }, place.signal),
    });
  }

  /** Milliseconds since somebody typed; infinite before the first request. */
  get quietMs(): number {
    return this.#typedAt === null ? Infinity : this.parts.clock.now() - this.#typedAt;
  }

  /** Median of the latest answers, in milliseconds; null before the first. */
  get answerMs(): number | null {
    return this.#answerMs.toSorted((a, b) => a - b)[Math.floor(this.#answerMs.length / 2)] ?? null;
  }

  /** Suggestions offered to a workspace since the daemon started. */
  offers(workspace: string): number {
    return this.#offers.get(workspace) ?? 0;
  }

  /** What the agent would write at the cursor; stored, where the owner consents, before it is shown.
   *  @returns null when there is nothing to show */
  async inline(request: CompletionRequest): Promise<Offer | null> {
    const { window, uri, text, offset, trigger, signal } = request;
    const { clock, intake, changed } = this.parts;
    const key = keyOf(window.session, uri);
    this.#typedAt = clock.now();
    const delay = trigger === 'typing' && this.#typing !== null ? this.#typing.delayMs(window.workspace) : 0;
    // Left alone, a person who asked for one still types through it.
    const standing = this.#typing?.standing(key, text, offset, delay === null) ?? null;
    if (standing !== null) {
      this.#newest.stop(key);
      return standing;
    }
    if (delay === null) return null;
    const ahead = this.#typing?.takeAhead(key, text, offset) ?? null;
    const computed = await this.#newest.run(key, ahead === null ? delay : 0, signal, async (either) => {
      if (ahead === null) return this.#anywhere(request, either);
      either.addEventListener('abort', ahead.cancel, { once: true });
      return (await ahead.answer) ?? (either.aborted ? null : this.#anywhere(request, either));
    });
    if (computed === null || computed.finishReason === 'cancelled') return null;
    const answer = ahead === null ? computed : { ...computed, offeredAt: clock.now(), version: request.version };
    const turn = this.#holds(answer.workspace) ? this.#holdBack.weigh(answer) : answer;
    this.#typing?.offered(key, turn, text);
    const stored = intake.offer(turn);
    if (stored && isOffer(turn)) this.#offers.set(turn.workspace, this.offers(turn.workspace) + 1);
    changed(turn.workspace);
    return turn.shownText === '' ? null : { turn: turn.id, text: turn.shownText };
  }

  /** A document was changed in a window. */
  changed(window: Window, document: ChangedDocument): void {
    if (this.parts.settings.relatedFiles) this.#noteEdit(window.workspace, document);
    this.#typing?.changed(keyOf(window.session, document.uri), window, document);
  }

  /** A document was closed in a window. */
  left({ session }: Window, uri: string): void {
    this.#typing?.drop(keyOf(session, uri));
  }

  /** A window is gone. */
  leave({ session }: Window): void {
    this.#typing?.drop(keyOf(session, ''));
  }

  /** An owner chose anew what is recorded: what was offered before is no turn to go on with. */
  withdraw(): void {
    this.#typing?.drop('');
  }

  /** Until when nothing comes by itself, because much was turned down; null = it does. */
  quietUntil(workspace: string): number | null {
    return this.#typing?.quietUntil(workspace) ?? null;
  }

  /** Whether the wait for the next key follows what becomes of suggestions. */
  setAdaptive(workspace: string, on: boolean): void {
    this.#typing?.setAdaptive(workspace, on);
  }

  /** The prompt that a completion at a cursor has. Nothing is generated or stored: the replay measures
   *  the developer's text with it, also where nobody asked for a completion. */
  async promptAt(workspace: string, place: Place): Promise<{ promptIds: number[]; healed: string }> {
    const core = this.parts.attachment.serving(workspace) ?? (await this.parts.core());
    if (this.parts.openFiles(workspace) === null) throw new HindsightError('badRequest', { problem: `No window works in ${workspace}`, remedy: 'Connect one first.' });
    const { ids, healed } = await promptOf(await this.surroundings(workspace, place), core);
    return { promptIds: ids, healed };
  }

  /** What a prompt is made of: without the secrets in it, because a prompt is stored and learned from. */
  async surroundings(workspace: string, place: Place, openFiles = this.parts.openFiles(workspace) ?? []): Promise<Surroundings> {
    const { uri, text, offset } = await this.#scrubber.document(place);
    const others = await this.#scrubber.files(openFiles.filter((file) => file.uri !== uri && !this.parts.intake.admission.ignores(workspace, file.uri)));
    const memory = METHODS[this.parts.settings.method].memory ? this.#memory.search(workspace, text.slice(0, offset), text.slice(offset)) : [];
    const related = this.parts.settings.relatedFiles ? { related: await this.#related(workspace, { uri, text, offset }, openFiles) } : {};
    return { ...related, path: pathIn(workspace, uri), text, offset, openFiles: others.map((file) => ({ path: pathIn(workspace, file.uri), text: file.text })), memory };
  }

  /** A window came. */
  joined(workspace: string): void {
    if (this.#holds(workspace)) this.#holdBack.watch(workspace);
  }

  /** A turn closed. */
  closed(turn: Turn, next: NextState): void {
    this.#memory.add(turn, next);
    this.#holdBack.closed(turn, next);
    this.#typing?.closed(keyOf(turn.session, turn.uri), turn.id);
  }

  /** Whether suggestions that the user would hardly take are held back. */
  setHoldBack(workspace: string, on: boolean): void {
    this.#holding.set(workspace, on);
  }

  holdBackSentence(workspace: string): string {
    return this.#holdBack.sentence(workspace, this.#holds(workspace));
  }

  /** Something was taken out of the journal: what was read of it is read anew. */
  forget(workspace: string): void {
    this.#memory.forget(workspace);
    this.#recalls.delete(workspace);
    this.#edits.delete(workspace);
    this.#holdBack.forget(workspace);
  }

  forgetAll(): void {
    this.#memory.forgetAll();
    this.#holdBack.forgetAll();
    this.#recalls.clear();
    this.#edits.clear();
    this.#scrubber.clear();
    this.#typing?.drop('');
  }

  #holds(workspace: string): boolean {
    return this.#holding.get(workspace) || this.parts.settings.holdBack;
  }

  /** On the attached engine while its link is up; the local one serves when that is lost on the way. */
  async #anywhere(request: CompletionRequest & Foresight, signal: AbortSignal): Promise<Turn | null> {
    const remote = this.parts.attachment.serving(request.window.workspace);
    if (remote !== null) {
      try {
        return await this.#on(remote, request, AbortSignal.any([signal, this.parts.stopping]), REMOTE_ADAPTER_MS);
      } catch (thrown) {
        if (!PASSING.includes(toHindsightError(thrown).errorName)) throw thrown;
      }
    }
    const core = await until(this.parts.core(), signal);
    return core === null || core.engine.down ? null : this.#on(core, request, signal);
  }

  async #on(core: Core, request: CompletionRequest & Foresight, signal: AbortSignal, adapterMs?: number): Promise<Turn | null> {
    const { journal, intake, settings, clock } = this.parts;
    const { window, uri, languageId, version, priority, goesOn } = request;
    const { session, workspace } = window;
    const now = clock.now();
    const block = this.parts.blockOf?.({ uri, at: now }) ?? halfHourOf(uri, now);
    const adapter = await soon(this.parts.adapter(core, workspace), adapterMs);
    const split = splitOf(block, settings.holdoutShare);
    const asked = performance.now();
    const around = await this.surroundings(workspace, request, window.openFiles());
    const recall = METHODS[settings.method].recall ? { recalled: intake.admission.ignores(workspace, uri) ? null : this.#recall(workspace, around), choice: readChoice(journal, workspace) } : null;
    const foresight = { ...(priority !== undefined && { priority }), ...(goesOn !== undefined && { goesOn }) };
    const deps = this.#typing === null ? core : { ...core, lateMs: this.parts.lateMs ?? LATE_MS };
    const turn = await complete({ ...around, ...foresight, recall, workspace, session, uri, languageId, version, signal, now, block, adapter, split }, deps);
    this.#answerMs = [...this.#answerMs.slice(1 - ANSWERS), performance.now() - asked];
    return turn;
  }

  #noteEdit(workspace: string, { uri, text }: ChangedDocument): void {
    const edits = this.#edits.get(workspace) ?? [];
    const before = edits.find((edit) => edit.uri === uri)?.text ?? text;
    this.#edits.set(workspace, [{ uri, text, offset: commonLength(before, text) }, ...edits.filter((edit) => edit.uri !== uri)].slice(0, EDITED));
  }

  /** What the file imports, and where others were changed last; read only where something may be recorded. */
  async #related(workspace: string, { uri, text, offset }: Place, openFiles: readonly { uri: string; text: string }[]): Promise<Snippet[]> {
    const path = pathIn(workspace, uri);
    const read = (other: string): string | null => {
      const there = `${workspace}/${other.split('/').map(encodeURIComponent).join('/')}`;
      if (this.parts.intake.admission.ignores(workspace, there)) return null;
      return openFiles.find((file) => file.uri === there)?.text ?? (this.parts.readFile ?? fileText)(there);
    };
    const edits = (this.#edits.get(workspace) ?? []).filter((edit) => !this.parts.intake.admission.ignores(workspace, edit.uri)).map((edit) => ({ ...edit, path: pathIn(workspace, edit.uri) }));
    const found = [...importSnippets(path, text.slice(0, offset), read), ...recentSnippets(path, edits)].slice(0, RELATED);
    return Promise.all(found.map(async (snippet) => ({ ...snippet, text: await scrub(snippet.text) })));
  }

  /** What stands at a like place of the workspace, as far as the daemon has seen it. */
  #recall(workspace: string, { path, text, offset, openFiles }: Surroundings): Recalled | null {
    const index = this.#recalls.get(workspace) ?? new RecallIndex();
    this.#recalls.set(workspace, index);
    for (const file of [...openFiles, { path, text }]) index.see(file.path, file.text);
    return index.recall(path, text.slice(0, offset), text.slice(offset));
  }
}

function keyOf(session: string, uri: string): string {
  return `${session} ${uri}`;
}

/** @returns null where there is no such file, or none of a size that code has */
function fileText(uri: string): string | null {
  if (!uri.startsWith('file:')) return null;
  const path = fileURLToPath(uri);
  const facts = statSync(path, { throwIfNoEntry: false });
  return facts?.isFile() && facts.size <= LARGEST_FILE ? readFileSync(path, 'utf8') : null;
}

/** @throws engineUnavailable when it takes longer */
async function soon<T>(promise: Promise<T>, milliseconds: number | undefined): Promise<T> {
  if (milliseconds === undefined) return promise;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new HindsightError('engineUnavailable', { reason: 'it does not have the version yet' })), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** @returns null when it was aborted first */
async function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return null;
  let stop: () => void = () => undefined;
  const aborted = new Promise<null>((resolve) => {
    stop = () => resolve(null);
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
