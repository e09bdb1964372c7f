/**
 * The daemon: puts the stations together, and is what every client's link talks to. It is there as
 * soon as its journal is open; the engine loads behind it, and signals are taken meanwhile.
 * Architecture invariant: serving never waits for learning, and capture never waits for the engine.
 */
import { adapterPublished, learningProgress, statusChanged } from '../../protocol/editor.ts';
import type { SignalClass } from '../../protocol/consent.ts';
import type { AdapterSummary, ConsentChoice, ConsentState, Status } from '../../protocol/editor.ts';
import { toHindsightError } from '../../protocol/errors.ts';
import type { HindsightError } from '../../protocol/errors.ts';
import type { ServedAdapter } from '../adapters/store.ts';
import { systemClock } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { CommitWatch } from '../episodes/commits.ts';
import { restartDelay } from '../engine/client.ts';
import { Intake } from '../episodes/intake.ts';
import type { Batch } from '../episodes/intake.ts';
import { blockOf, splitOf } from '../gate/holdout.ts';
import type { Alarm } from '../gate/monitor.ts';
import { Journal } from '../journal/journal.ts';
import { reasonToWait } from '../learn/conditions.ts';
import type { MachineFacts } from '../learn/conditions.ts';
import { DEFAULT_SETTINGS, METHODS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { PolarityClassifier } from '../reward/classifier/polarity.ts';
import { Prm } from '../reward/prm.ts';
import type { Voter } from '../reward/judge.ts';
import { cannotJudge, EndpointVoter, EngineVoter } from '../reward/voters.ts';
import type { Endpoint } from '../../protocol/agent.ts';
import { AgentService } from './agent.ts';
import { Attachment } from './attachment.ts';
import type { Signal } from '../../protocol/signals.ts';
import type { Retraction } from '../privacy/signals.ts';
import { DataService } from './data.ts';
import { LearningService } from './learning.ts';
import { CompletionService } from './completion.ts';
import type { Typist } from './completion.ts';
import { PASSING, startCore } from './core.ts';
import type { Core, EngineChoice } from './core.ts';
import { journalPath, makeHome } from './home.ts';
import { learningPage } from './learningPage.ts';
import { NextEdits } from './nextEdits.ts';
import { PracticeService } from './practice.ts';
import { statusOf } from './status.ts';
import type { Window } from './window.ts';

const TICK_MS = 1000;
/** Ticks between two looks for new commits. */
const COMMIT_TICKS = 10;
/** A status is sent at most so often. */
const STATUS_MS = 300;
/** Nobody has worked for so long: practice may begin. */
const IDLE_MS = 600_000;
/** Signals that come without anybody at the keyboard. */
const BY_THEMSELVES: readonly Signal['kind'][] = ['diagnostics.settled', 'branch.switched', 'commit.made', 'session.ended'];

export interface DaemonOptions extends EngineChoice {
  home: string;
  settings?: LearnSettings;
  clock?: Clock;
  /** What the holdout is drawn on; the default is a file's half hour. */
  blockOf?: (offer: { uri: string; at: number }) => string;
  /** Absent: a person. */
  typist?: Typist;
  /** Several lines are waited for so long, for a person. */
  lateMs?: number;
  /** A file of a workspace that is not open, for prompts; absent: from the disk. */
  readFile?: (uri: string) => string | null;
  /** Let a model of any size chat; shipped daemons refuse what is too small to. */
  chatAnySize?: boolean;
  /** Who judges turns that nothing else says anything of; without it the loaded model, if it can. */
  judge?: Endpoint;
  /** What this machine can spare; absent: background training never waits for it. */
  machine?: () => Pick<MachineFacts, 'onBattery' | 'loadPerCore'>;
  log?: (line: string) => void;
}

export class Daemon {
  readonly #windows = new Set<Window>();
  readonly #intake: Intake;
  readonly #commits: CommitWatch;
  readonly #classifier = new PolarityClassifier();
  readonly #prm: Prm;
  #ticks = 0;
  #core: Promise<Core>;
  #ready: Core | null = null;
  #failure: HindsightError | null = null;
  readonly #remarks = new Map<string, string>();
  readonly #sent = new Map<string, string>();
  readonly #unsent = new Set<string>();
  #cancelTick: () => void = () => undefined;
  /** When somebody worked last, or this daemon started. */
  #workedAt: number;
  readonly #stopping = new AbortController();

  /** The engine on another machine, if one is attached. */
  readonly attachment: Attachment;

  /** Ghost text. */
  readonly completion: CompletionService;

  /** Where a change could be made next. */
  readonly nextEdits: NextEdits;

  /** Edits on request, and chat with tools. */
  readonly agent: AgentService;

  /** Failed tasks, tried again. */
  readonly practice: PracticeService;

  /** What is recorded, in its owner's hand. */
  readonly data: DataService;

  readonly learning: LearningService;

  private constructor(
    readonly journal: Journal,
    private readonly options: DaemonOptions,
    private readonly settings: LearnSettings,
    private readonly clock: Clock,
  ) {
    this.#workedAt = clock.now();
    this.#intake = new Intake(journal, settings, clock, {
      onSamples: (workspace) => (this.attachment.training(workspace) ?? this.#ready)?.trainer.poke(workspace),
      onClosed: (turn, next) => this.completion.closed(turn, next),
      onQueued: () => this.#prm.poke(),
      onDrop: (workspace, alarm) => void this.#takeBack(workspace, alarm),
    });
    this.#commits = new CommitWatch(journal, this.#intake, (line) => options.log?.(line));
    this.#prm = new Prm({
      journal,
      classifier: this.#classifier,
      voter: () => this.#voter(),
      clock,
      record: (turn, next, verdict, hints) => this.#intake.modelVerdict(turn, next, verdict, hints),
      log: (line) => options.log?.(line),
    });
    this.attachment = new Attachment({
      journal,
      home: options.home,
      local: () => this.#core.catch(() => null),
      coreOf: (engine) => this.#coreOver({ ...options, engine }, (workspace) => this.attachment.training(workspace)?.engine === engine),
      changed: () => this.#touchAll(),
      log: options.log ?? (() => undefined),
    });
    this.#core = this.#startCore();
    this.nextEdits = new NextEdits(clock);
    this.completion = new CompletionService({
      journal,
      intake: this.#intake,
      settings,
      clock,
      core: () => this.#core,
      attachment: this.attachment,
      adapter: (core, workspace) => this.#serving(core, workspace),
      openFiles: (workspace) => [...this.#windows].find((one) => one.workspace === workspace)?.openFiles() ?? null,
      changed: (workspace) => this.#active(workspace),
      stopping: this.#stopping.signal,
      typist: options.typist ?? 'person',
      ...(options.lateMs !== undefined && { lateMs: options.lateMs }),
      ...(options.readFile !== undefined && { readFile: options.readFile }),
      ...(options.blockOf !== undefined && { blockOf: options.blockOf }),
    });
    this.agent = new AgentService({
      journal,
      intake: this.#intake,
      clock,
      core: () => this.#core,
      adapter: (core, workspace) => this.#serving(core, workspace),
      splitOf: (uri, now) => splitOf(blockOf(uri, now), settings.holdoutShare),
      changed: (workspace) => this.#active(workspace),
      memory: METHODS[settings.method].memory,
      anySize: options.chatAnySize === true,
    });
    this.practice = new PracticeService({
      journal,
      admission: this.#intake.admission,
      clock,
      core: () => this.#core,
      adapter: (core, workspace) => this.#serving(core, workspace),
      learned: (workspace) => (this.attachment.training(workspace) ?? this.#ready)?.trainer.poke(workspace),
      stopping: this.#stopping.signal,
      anySize: options.chatAnySize === true,
      log: (line) => options.log?.(line),
    });
    this.data = new DataService({
      journal,
      intake: this.#intake,
      clock,
      home: options.home,
      cores: async () => [await this.#core.catch(() => null), this.attachment.attached].filter((core) => core !== null),
      dropMemory: () => this.#dropMemory(),
    });
    this.learning = new LearningService({
      journal,
      core: () => this.#core,
      surroundings: (workspace, place) => this.completion.surroundings(workspace, place),
    });
    this.attachment.restore();
    this.#tick();
  }

  /** Resolves when it can take signals; `ready` when it can complete and learn.
   *  @throws journalNewer, journalCorrupt */
  static start(options: DaemonOptions): Promise<Daemon> {
    makeHome(options.home);
    const journal = Journal.open(journalPath(options.home));
    return Promise.resolve(new Daemon(journal, options, options.settings ?? DEFAULT_SETTINGS, options.clock ?? systemClock));
  }

  /** @throws what the engine could not start for */
  get ready(): Promise<void> {
    return this.#core.then(() => undefined);
  }

  /** Aborted once the daemon is asked to end; `stop` does it. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Nobody is connected, and nothing is being learned. */
  get idle(): boolean {
    return this.#windows.size === 0 && !this.#stepping();
  }

  requestStop(): void {
    this.#stopping.abort();
  }

  /** Writes everything down and ends. A step in progress is taken back; its samples stay ready. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelTick();
    await this.attachment.end();
    const core = await this.#core.catch(() => null);
    await core?.trainer.close();
    await this.#prm.close();
    await this.#classifier.close();
    if (this.options.engine === undefined) await core?.engine.close();
    this.journal.close();
  }

  // ── clients ────────────────────────────────────────────────────────────────────────────────

  join(window: Window): void {
    this.#windows.add(window);
    this.completion.joined(window.workspace);
    this.#sent.delete(window.workspace);
    this.#touch(window.workspace);
  }

  leave(window: Window): void {
    this.#windows.delete(window);
    this.agent.leave(window);
    this.completion.leave(window);
    this.nextEdits.leave(window);
    if (!this.#stopping.signal.aborted) this.#intake.disconnected(window.session);
  }

  /** @param retractions  parts of secrets that are on disk from before they were known as such
   *  @returns the largest number of the session that is on disk */
  publish(batch: Batch, retractions: readonly Retraction[] = []): number {
    const acknowledged = this.#intake.publish(batch);
    if (batch.signals.some(({ kind }) => !BY_THEMSELVES.includes(kind))) this.#worked();
    this.#intake.retract(batch.session, retractions);
    if (retractions.length > 0) this.completion.forget(batch.workspace);
    if (batch.signals.some(({ kind }) => kind === 'commit.made')) void this.#commits.look(batch.workspace);
    this.#touch(batch.workspace);
    return acknowledged;
  }

  /** A document came into view. */
  opened(window: Window, document: { uri: string; version: number; text: string }): void {
    if (!this.#stopping.signal.aborted) this.#intake.opened(window.session, window.workspace, document);
  }

  setConsent(workspace: string, state: Exclude<ConsentState, 'unknown'>, classes?: readonly SignalClass[]): ConsentChoice {
    this.journal.setConsent(workspace, state, classes);
    this.#intake.withdraw(workspace);
    this.completion.withdraw();
    this.#touch(workspace);
    return this.journal.consent(workspace);
  }

  /** The user's own patterns of files of which nothing is recorded. */
  setIgnored(workspace: string, globs: readonly string[]): void {
    this.#intake.admission.setIgnored(workspace, globs);
  }

  /** A version that cannot be put on the engine does not stop the agent: the base model answers. */
  async #serving(core: Core, workspace: string): Promise<ServedAdapter | null> {
    try {
      return await core.adapters.ensureServing(workspace);
    } catch (thrown) {
      const error = toHindsightError(thrown);
      if (PASSING.includes(error.errorName)) throw error;
      this.#remark(workspace, error.message);
      return null;
    }
  }

  // ── learning ───────────────────────────────────────────────────────────────────────────────

  status(workspace: string): Status {
    const core = this.attachment.serving(workspace) ?? this.#ready;
    const local = this.#failure ?? (this.#ready === null ? 'starting' : this.#ready.engine.down ? 'down' : 'up');
    return statusOf({
      engine: core !== null && core !== this.#ready ? 'up' : local,
      model: core?.engine.model ?? null,
      adapter: core === null ? this.journal.serving(workspace) : (core.adapters.serving(workspace)?.version ?? null),
      remote: this.attachment.status(workspace),
      pipe: this.journal.pipeCounts(workspace),
      paused: this.#ready?.trainer.paused ?? false,
      waiting: this.#ready?.trainer.waiting ?? null,
      stepping: this.#stepping(workspace),
      offers: this.completion.offers(workspace),
      quietUntil: this.completion.quietUntil(workspace),
      lessons: this.#intake.lessons(workspace),
      remark: this.#remarks.get(workspace) ?? null,
    });
  }

  /** The status with where each turn is in the pipe, and what models were asked: for a person who looks. */
  detailedStatus(workspace: string): Status {
    return { ...this.status(workspace), stages: this.journal.stages(workspace, this.clock.now()), prm: this.#prm.metrics(), holdBack: this.completion.holdBackSentence(workspace) };
  }

  async pause(): Promise<Record<string, never>> {
    (await this.#core).trainer.pause();
    this.attachment.pause(true);
    this.#touchAll();
    return {};
  }

  async resume(): Promise<Record<string, never>> {
    (await this.#core).trainer.resume();
    this.attachment.pause(false);
    this.#touchAll();
    return {};
  }

  async trainNow(workspace: string): Promise<{ steps: number; promoted: number }> {
    const done = await (this.attachment.training(workspace) ?? (await this.#core)).trainer.drain(workspace);
    this.#touch(workspace);
    return done;
  }

  adapters(workspace: string): { serving: number | null; adapters: AdapterSummary[] } {
    const adapters = this.journal.adapters(workspace).map(({ version, parent, state, createdAt, samples, reason }) => ({ version, parent, state, createdAt, samples, reason }));
    return { serving: this.journal.serving(workspace), adapters };
  }

  async rollback(workspace: string, to?: number | null): Promise<number | null> {
    const serving = await (this.attachment.serving(workspace) ?? (await this.#core)).adapters.rollback(workspace, to);
    this.#touch(workspace);
    return serving;
  }

  learningPage(workspace: string): string {
    return learningPage(this.journal, workspace, this.status(workspace));
  }

  // ── inside ─────────────────────────────────────────────────────────────────────────────────

  /** A failure is in the status, and whoever waits for the core gets it, too. What may pass is tried again: a
   *  daemon whose engine was killed, or was slow to start on a busy machine, is not without one for good. */
  #startCore(failures = 0): Promise<Core> {
    const core = this.#openCore();
    core.catch((thrown: unknown) => {
      const error = toHindsightError(thrown);
      const again = PASSING.includes(error.errorName) && !this.#stopping.signal.aborted;
      this.options.log?.(again ? `${error.message} It is started again in ${restartDelay(failures + 1)} ms.` : error.message);
      if (!again) return;
      this.clock.after(restartDelay(failures + 1), () => {
        if (!this.#stopping.signal.aborted) this.#core = this.#startCore(failures + 1);
      });
    });
    return core;
  }

  async #openCore(): Promise<Core> {
    try {
      this.#ready = await this.#coreOver(this.options, (workspace) => this.attachment.training(workspace) === null);
      this.#failure = null;
      this.#ready.engine.onRestart(() => this.#touchAll());
      if (!this.#stopping.signal.aborted) this.#ready.trainer.recover();
      return this.#ready;
    } catch (thrown) {
      this.#failure = toHindsightError(thrown);
      throw this.#failure;
    } finally {
      this.#touchAll();
    }
  }

  /** What was promoted lately does worse than what was before it. */
  async #takeBack(workspace: string, { to, reason }: Alarm): Promise<void> {
    const before = this.journal.serving(workspace);
    const core = this.#ready;
    if (core === null || before === null || before === to) return;
    try {
      const serving = await core.adapters.quarantine(workspace, to, reason, this.clock.now());
      this.#remark(workspace, `Version ${before} was taken back, ${serving === null ? 'the base model' : `version ${serving}`} serves again. ${reason}`);
    } catch (thrown) {
      // The engine is down: the next outcome raises the alarm again.
      this.#remark(workspace, toHindsightError(thrown).message);
    }
  }

  /** @param mine  which workspaces its trainer trains */
  #coreOver(choice: EngineChoice, mine: (workspace: string) => boolean): Promise<Core> {
    const { home, log = () => undefined } = this.options;
    const { journal, settings, clock } = this;
    return startCore(choice, { home, journal, settings, clock, log, mine }, {
      onProgress: (workspace, phase, done, of) => {
        this.#tell(workspace, (window) => window.notify(learningProgress, { workspace, phase, done, of }));
        this.#touch(workspace);
      },
      onPublished: (workspace, version, reason) => {
        log(`Version ${version} serves ${workspace}: ${reason}`);
        this.#push(workspace);
        this.#tell(workspace, (window) => window.notify(adapterPublished, { workspace, version, reason }));
        this.#touch(workspace);
      },
      onError: (workspace, error) => this.#remark(workspace, error.message),
      onWarning: (workspace, sentence) => this.#remark(workspace, sentence),
      // A remote engine's training takes nothing from this machine.
      ...(choice.engine === undefined && { waits: (training: boolean, heldSeconds: number) => this.#reasonToWait(training, heldSeconds) }),
    });
  }

  /** Where one engine trains and another serves: the new version is there before it is asked for. */
  #push(workspace: string): void {
    for (const core of [this.attachment.serving(workspace), this.#ready]) {
      if (core !== null) core.adapters.ensureServing(workspace).catch((thrown: unknown) => this.options.log?.(toHindsightError(thrown).message));
    }
  }

  #voter(): Voter | null | 'later' {
    if (this.options.judge !== undefined) return new EndpointVoter(this.options.judge);
    if (this.#ready === null) return this.#failure === null ? 'later' : null;
    return cannotJudge(this.#ready.engine) === null ? new EngineVoter(this.#ready.engine) : null;
  }

  #tick(): void {
    this.#cancelTick = this.clock.after(TICK_MS, () => {
      this.#intake.quiet();
      this.#prm.poke();
      if (this.settings.practice) this.#practiseWhenIdle();
      if (this.#ticks++ % COMMIT_TICKS === 0) for (const workspace of new Set([...this.#windows].map((window) => window.workspace))) void this.#commits.look(workspace);
      // A step's end is nobody's event; its windows see it within a tick.
      for (const window of this.#windows) if (this.#showsStepping(window.workspace)) this.#touch(window.workspace);
      this.#tick();
    });
  }

  /** While windows are open and nobody types, and the machine could train. */
  #practiseWhenIdle(): void {
    const quietMs = Math.min(this.completion.quietMs, this.clock.now() - this.#workedAt);
    if (quietMs < IDLE_MS || this.agent.busy || this.#stepping() || this.#reasonToWait(false, 0) !== null) return;
    this.practice.idle([...new Set([...this.#windows].map((window) => window.workspace))]);
  }

  /** One engine serves and trains, so they always share its device. */
  #reasonToWait(training: boolean, heldSeconds: number): string | null {
    if (this.options.machine === undefined) return null;
    const { quietMs, answerMs } = this.completion;
    return reasonToWait({ ...this.options.machine(), training, sharedDevice: true, typingSecondsAgo: quietMs / 1000, answerMs, heldSeconds });
  }

  #stepping(workspace?: string): boolean {
    const of = workspace === undefined ? {} : { workspace };
    return this.#ready !== null && [...this.journal.steps({ ...of, state: 'running' }), ...this.journal.steps({ ...of, state: 'trained' })].length > 0;
  }

  #showsStepping(workspace: string): boolean {
    return this.#sent.get(workspace)?.includes('"learning"') ?? false;
  }

  #dropMemory(): void {
    this.completion.forgetAll();
    this.agent.forgetWords();
    this.#remarks.clear();
    this.#touchAll();
  }

  #remark(workspace: string, sentence: string): void {
    this.options.log?.(sentence);
    this.#remarks.set(workspace, sentence);
    this.#touch(workspace);
  }

  #worked(): void {
    this.#workedAt = this.clock.now();
    this.practice.interrupt();
  }

  #active(workspace: string): void {
    this.#worked();
    this.#touch(workspace);
  }

  #touchAll(): void {
    for (const window of this.#windows) this.#touch(window.workspace);
  }

  /** The status of a workspace may have changed: its windows hear of it soon, once. */
  #touch(workspace: string): void {
    if (this.#unsent.has(workspace)) return;
    this.#unsent.add(workspace);
    this.clock.after(STATUS_MS, () => {
      this.#unsent.delete(workspace);
      if (this.#stopping.signal.aborted || ![...this.#windows].some((window) => window.workspace === workspace)) return;
      const status = this.status(workspace);
      const json = JSON.stringify(status);
      if (this.#sent.get(workspace) === json) return;
      this.#sent.set(workspace, json);
      this.#tell(workspace, (window) => window.notify(statusChanged, { workspace, status }));
    });
  }

  #tell(workspace: string, say: (window: Window) => void): void {
    for (const window of this.#windows) if (window.workspace === workspace) say(window);
  }
}
