/**
 * The learning loop: decides when a step is due, runs one at a time (there is one engine), gates
 * each candidate, and survives being killed anywhere. Serving never waits for it: all its calls are
 * of training priority and no adapter that serves is written to.
 */
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import type { AdapterStore } from '../adapters/store.ts';
import type { Clock } from '../clock.ts';
import type { Engine } from '../engine/engine.ts';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import type { GoldenText } from '../gate/golden.ts';
import { GateMeasurer } from '../gate/measure.ts';
import { InformativenessRecord } from '../hindsight/informativeness.ts';
import type { HintSnippet } from '../hindsight/inject.ts';
import { measureHints } from '../hindsight/measureHints.ts';
import type { Journal } from '../journal/journal.ts';
import { LessonCache } from './rehearsal.ts';
import { decide } from './promotion.ts';
import { hold, readPace } from './pace.ts';
import { learningRate } from './settings.ts';
import type { LearnSettings } from './settings.ts';
import { takeStep } from './step.ts';
import { Trainable } from './trainable.ts';

export interface TrainerParts {
  journal: Journal;
  engine: Engine;
  adapters: AdapterStore;
  settings: LearnSettings;
  clock: Clock;
  /** Renders a hint as the completion prompt renders any snippet. */
  snippetIds: (snippet: HintSnippet) => Promise<number[]>;
  golden?: readonly GoldenText[];
  /** Whether this trainer trains a workspace: there may be another one, on another engine. */
  mine?: (workspace: string) => boolean;
  onProgress?: (workspace: string, phase: 'score' | 'train' | 'gate', done: number, of: number) => void;
  onPublished?: (workspace: string, version: number, reason: string) => void;
  /** Background steps fail here; nothing is lost, their samples are ready again. */
  onError?: (workspace: string, error: HindsightError) => void;
  onWarning?: (workspace: string, sentence: string) => void;
  /** Why background training has to wait now (conditions.ts); null = it may run. Absent: it always may. */
  waits?: (training: boolean, heldSeconds: number) => string | null;
}

const RECHECK_MS = 1000;

export interface Drained {
  steps: number;
  promoted: number;
}

export class Trainer {
  readonly #parts: TrainerParts;
  readonly #trainable: Trainable;
  readonly #lessons = new LessonCache();
  readonly #measurer: GateMeasurer;
  readonly #informativeness: InformativenessRecord;
  /** Steps run one after another. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Workspaces with background work that has not begun. */
  readonly #due = new Set<string>();
  /** Since this trainer began, by workspace. */
  readonly #done = new Map<string, Drained>();
  readonly #quiet = new Map<string, () => void>();
  #paused = false;
  #waiting: string | null = null;
  #closed = false;
  /** Explicit requests in progress; they go on while training is paused. */
  #drains = 0;
  /** Somebody waits for the step in progress to be taken back. */
  #interruptions = 0;
  #wake: (() => void)[] = [];
  readonly #forgetEngine: () => void;

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    this.#trainable = new Trainable(parts.engine, parts.adapters, parts.settings);
    this.#measurer = new GateMeasurer(parts.engine, parts.journal, parts.golden);
    this.#informativeness = new InformativenessRecord(parts.journal, parts.engine.model.fingerprint);
    this.#forgetEngine = parts.engine.onRestart(() => this.#resumeAll());
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Why background training waits for the machine; null = it does not. */
  get waiting(): string | null {
    return this.#waiting;
  }

  /** What is known about hints, for status and reports. */
  get informativeness(): InformativenessRecord {
    return this.#informativeness;
  }

  /** Takes back what a killed process left half-done: call it once, before the first `poke`. */
  recover(): void {
    const { journal, adapters } = this.#parts;
    journal.transaction(() => {
      for (const step of journal.steps({ state: 'running' })) {
        journal.releaseSamples(step.id);
        journal.updateStep(step.id, { state: 'failed' });
      }
    });
    adapters.removeUnnamed();
    this.#resumeAll();
  }

  /** New samples may be ready: a full batch is trained at once, a small one after some quiet. */
  poke(workspace: string): void {
    if (this.#closed || !this.#mine(workspace)) return;
    const { journal, settings, clock } = this.#parts;
    const ready = journal.samples({ workspace, state: 'ready', limit: settings.stepSamples }).length;
    this.#quiet.get(workspace)?.();
    this.#quiet.delete(workspace);
    if (ready >= settings.stepSamples) return this.#background(workspace, settings.stepSamples);
    if (ready < settings.quietSamples) return;
    this.#quiet.set(workspace, clock.after(settings.quietSeconds * 1000, () => this.#background(workspace, settings.quietSamples)));
  }

  /** Trains all that is ready, the last step on fewer samples; an explicit wish, so also while paused. */
  async drain(workspace: string): Promise<Drained> {
    this.#drains++;
    // Background work that was under way is part of what the wish was for.
    const before = { ...this.#doneIn(workspace) };
    this.#wakeAll();
    try {
      return await this.#enqueue(async () => {
        await this.#work(workspace, this.#parts.settings.stepSamples);
        await this.#work(workspace, this.#parts.settings.quietSamples);
        const { steps, promoted } = this.#doneIn(workspace);
        return { steps: steps - before.steps, promoted: promoted - before.promoted };
      });
    } finally {
      this.#drains--;
    }
  }

  /** Holds background training at its next micro-batch; capture and serving go on. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wakeAll();
  }

  /** Takes up what waits for it, e.g. workspaces that were another trainer's until now. */
  goOn(): void {
    if (!this.#closed) this.#resumeAll();
  }

  /** Takes back the step in progress, does `work` while nothing trains, and goes on. An explicit wish to train
   *  that is under way ends with `cancelled`. */
  async whileIdle<T>(work: () => T | Promise<T>): Promise<T> {
    this.#interruptions++;
    this.#wakeAll();
    try {
      return await this.#enqueue(async () => work());
    } finally {
      this.#interruptions--;
      if (!this.#closed) this.#resumeAll();
    }
  }

  /** Lessons are made anew from the journal; of these workspaces nothing that was trained is gone on with. */
  startOver(workspaces: readonly string[]): void {
    this.#lessons.clear();
    for (const workspace of workspaces) this.#trainable.spoiled(workspace);
  }

  /** The work that was begun has ended. */
  async settled(): Promise<void> {
    await this.#tail;
  }

  /** Ends at the next micro-batch; the samples of the step in progress are ready again. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forgetEngine();
    for (const cancel of this.#quiet.values()) cancel();
    this.#wakeAll();
    await this.#tail;
  }

  #resumeAll(): void {
    const { journal } = this.#parts;
    for (const step of journal.steps({ state: 'trained' })) if (this.#mine(step.workspace)) this.#background(step.workspace, this.#parts.settings.stepSamples);
    for (const workspace of new Set(journal.samples({ state: 'ready' }).map((sample) => sample.workspace))) this.poke(workspace);
  }

  #background(workspace: string, least: number): void {
    if (this.#due.has(workspace) || this.#closed || !this.#mine(workspace)) return;
    this.#due.add(workspace);
    void this.#enqueue(async () => {
      this.#due.delete(workspace);
      await this.#work(workspace, least);
    }).catch((thrown: unknown) => {
      const error = toHindsightError(thrown);
      if (error.errorName !== 'cancelled') this.#parts.onError?.(workspace, error);
    });
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Steps while there are samples enough, each candidate judged before the next step starts. */
  async #work(workspace: string, least: number): Promise<void> {
    const done = this.#doneIn(workspace);
    await this.#checkpoint(false);
    await this.#judge(workspace, done);
    while (this.#mine(workspace) && (await this.#step(workspace, least)) !== null) {
      done.steps++;
      await this.#judge(workspace, done);
    }
  }

  #doneIn(workspace: string): Drained {
    const done = this.#done.get(workspace) ?? { steps: 0, promoted: 0 };
    this.#done.set(workspace, done);
    return done;
  }

  #step(workspace: string, least: number): Promise<number | null> {
    const { onProgress, onWarning, settings, journal, engine } = this.#parts;
    const pace = readPace(journal, workspace);
    const lr = learningRate(settings, engine.model.parameters) * pace.share;
    return takeStep({ workspace, least, lr, skillBeta: settings.skillBeta * hold(pace) }, {
      ...this.#parts,
      trainable: this.#trainable,
      lessons: this.#lessons,
      informativeness: this.#informativeness,
      measureHints: (mode) => measureHints(mode, this.#informativeness, this.#parts.engine, this.#parts.snippetIds, this.#parts.golden ?? GOLDEN_TEXTS),
      checkpoint: () => this.#checkpoint(),
      onProgress: (phase, at, of) => onProgress?.(workspace, phase, at, of),
      onWarning: (sentence) => onWarning?.(workspace, sentence),
    });
  }

  async #judge(workspace: string, done: Drained): Promise<void> {
    const { journal, adapters, onProgress, onPublished } = this.#parts;
    for (const step of journal.steps({ workspace, state: 'trained' })) {
      // A candidate of another base is judged where that is loaded.
      if (adapters.list(workspace).find((one) => one.version === step.candidate)?.fingerprint !== adapters.fingerprint) continue;
      const decision = await decide(step, { journal, adapters, measurer: this.#measurer, onProgress: (at, of) => onProgress?.(workspace, 'gate', at, of) });
      if (!decision?.report.passed) continue;
      done.promoted++;
      onPublished?.(workspace, decision.version, decision.report.reason);
    }
  }

  #mine(workspace: string): boolean {
    return this.#parts.mine?.(workspace) ?? true;
  }

  /** Between two pieces of work: waits while paused, or while the machine has better things to do. */
  async #checkpoint(training = true): Promise<void> {
    const { clock, waits } = this.#parts;
    const since = clock.now();
    let running = training;
    while (this.#drains === 0 && !this.#closed && this.#interruptions === 0) {
      if (this.#paused) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
        continue;
      }
      this.#waiting = waits?.(running, (clock.now() - since) / 1000) ?? null;
      if (this.#waiting === null) break;
      // Its own load fades while it waits.
      running = false;
      await this.#recheck();
    }
    this.#waiting = null;
    if (this.#closed || this.#interruptions > 0) throw new HindsightError('cancelled');
  }

  /** Some time, or an explicit wish. */
  #recheck(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(RECHECK_MS, resolve);
      this.#wake.push(() => {
        cancel();
        resolve();
      });
    });
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
