/** A real engine with the seed, a real journal and a trainer in a temporary home, for tests: turns
 *  are made by generating on a prefix, the developer then writes what the test says. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AdapterStore } from '../adapters/store.ts';
import type { Clock } from '../clock.ts';
import { snippetIds } from '../agent/completion/snippet.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { completionVerdict } from '../reward/completion.ts';
import { hintsOf } from '../hindsight/hints.ts';
import { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import type { HintSnippet } from '../hindsight/inject.ts';
import { observe, readBaselines, writeBaselines } from './baseline.ts';
import { route } from './routing.ts';
import { DEFAULT_SETTINGS, METHODS } from './settings.ts';
import type { LearnSettings } from './settings.ts';
import { Trainer } from './trainer.ts';
import type { TrainerParts } from './trainer.ts';

export const SEED_MODEL = path.resolve('testdata/models/seed');
export const WORKSPACE = 'file:///project';

/** Time moves only by `advance`. */
export class StillClock implements Clock {
  #now = 1_790_000_000_000;
  #due: { at: number; task: () => void }[] = [];
  now(): number {
    return this.#now;
  }
  after(ms: number, task: () => void): () => void {
    const entry = { at: this.#now + ms, task };
    this.#due.push(entry);
    return () => void (this.#due = this.#due.filter((one) => one !== entry));
  }
  advance(ms: number): void {
    this.#now += ms;
    const ripe = this.#due.filter((one) => one.at <= this.#now);
    this.#due = this.#due.filter((one) => one.at > this.#now);
    for (const one of ripe) one.task();
  }
}

export interface Place {
  id: string;
  prefix: string;
  split?: Turn['split'];
  block?: string;
}

export class Scene {
  readonly clock = new StillClock();
  readonly published: number[] = [];
  journal: Journal;
  adapters: AdapterStore;
  trainer: Trainer;
  readonly settings: LearnSettings;

  private constructor(
    readonly engine: EngineClient,
    readonly home: string,
    settings: Partial<LearnSettings>,
    private patch: Partial<TrainerParts>,
  ) {
    this.settings = { ...DEFAULT_SETTINGS, ...settings };
    ({ journal: this.journal, adapters: this.adapters, trainer: this.trainer } = this.#open());
  }

  static async start(settings: Partial<LearnSettings> = {}, patch: Partial<TrainerParts> = {}): Promise<Scene> {
    const engine = await startEngine({ modelDir: SEED_MODEL, threads: 1 });
    return new Scene(engine, mkdtempSync(path.join(tmpdir(), 'hindsight-learn-')), settings, patch);
  }

  /** As a daemon that was killed and started again: nothing but the files is kept. */
  async reopen(patch: Partial<TrainerParts> = {}): Promise<void> {
    this.patch = patch;
    await this.trainer.close();
    this.journal.close();
    ({ journal: this.journal, adapters: this.adapters, trainer: this.trainer } = this.#open());
    await this.adapters.ensureServing(WORKSPACE);
  }

  async close(): Promise<void> {
    await this.trainer.close();
    await this.engine.close();
    this.journal.close();
    rmSync(this.home, { recursive: true, force: true });
  }

  snippetIds = (snippet: HintSnippet): Promise<number[]> => snippetIds(this.engine, snippet);

  /** Generates greedily to the end of the line; the prompt leaves a last space to the response. */
  async turn({ id, prefix, split = 'train', block = 'b' }: Place): Promise<Turn> {
    const healed = /[ \t]$/.exec(prefix)?.[0] ?? '';
    const { ids } = await this.engine.tokenize({ texts: [prefix.slice(0, prefix.length - healed.length)] });
    const promptIds = (ids[0] ?? []).slice(-256);
    const sampling = { maxTokens: 32, temperature: 0, stop: ['\n'] };
    const serving = await this.adapters.ensureServing(WORKSPACE);
    const made = await this.engine.generate({ prompt: promptIds, sampling, adapter: serving?.name ?? null });
    const begins = made.text.startsWith(healed) ? healed.length : 0;
    const rawText = made.text.slice(begins);
    const turn: Turn = {
      id, session: 's', workspace: WORKSPACE, modality: 'completion', role: 'main', split, block, offeredAt: this.clock.now(),
      uri: `${WORKSPACE}/src/sample.ts`, languageId: 'typescript', version: 1, offset: prefix.length,
      promptIds, promptMode: 'prefix', responseIds: made.ids, logprobs: made.logprobs, rawText, healed,
      offsets: made.offsets.map((offset) => Math.max(0, offset - begins)),
      shownText: rawText.split('\n')[0] ?? '', finishReason: made.finishReason, sampling,
      adapter: serving?.version ?? null, fingerprint: this.engine.model.fingerprint,
      before: prefix.split('\n').slice(-8).join('\n'), after: '',
    };
    this.journal.insertTurn(turn);
    return turn;
  }

  /** What intake does with a closed turn. @returns whether a sample was made */
  outcome(turn: Turn, next: Partial<NextState>): boolean {
    const closed: NextState = { turn: turn.id, outcome: 'diverged', acceptedChars: 0, developerText: null, survival: [], decidedAt: this.clock.now(), ...next };
    return this.journal.transaction(() => {
      this.journal.closeTurn(closed);
      const verdict = completionVerdict(turn, closed, this.settings, closed.decidedAt);
      if (verdict) this.journal.insertVerdict(verdict);
      const hints = hintsOf(turn, closed, closed.decidedAt);
      for (const hint of hints) this.journal.insertHint(hint);
      const baselines = readBaselines(this.journal, WORKSPACE);
      const routed = route(verdict, hints, turn, closed, METHODS[this.settings.method], baselines);
      writeBaselines(this.journal, WORKSPACE, observe(baselines, turn, verdict, closed));
      if (routed) this.journal.insertSample({ turn: turn.id, workspace: WORKSPACE, ...routed, version: turn.adapter ?? 0 });
      return routed !== null;
    });
  }

  /** log p of each token of a text after a turn's prompt, under an adapter of the engine. */
  async logprobs(turn: Turn, text: string, adapter: string | null): Promise<number[]> {
    const { ids } = await this.engine.tokenize({ texts: [(turn.healed ?? '') + text] });
    return this.logprobsOf(turn, ids[0] ?? [], adapter);
  }

  async logprobsOf(turn: Turn, ids: readonly number[], adapter: string | null): Promise<number[]> {
    const all = [...turn.promptIds, ...ids];
    const { sequences } = await this.engine.score({ sequences: [{ ids: all, positions: ids.map((_, index) => turn.promptIds.length + index) }], adapter });
    return (sequences[0]?.logprobs ?? []).map((logprob) => logprob ?? NaN);
  }

  #open(): { journal: Journal; adapters: AdapterStore; trainer: Trainer } {
    const journal = Journal.open(path.join(this.home, 'journal.db'));
    const adapters = new AdapterStore({ journal, engine: this.engine, root: path.join(this.home, 'adapters') });
    const trainer = new Trainer({
      journal, adapters, engine: this.engine, settings: this.settings, clock: this.clock, snippetIds: this.snippetIds,
      onPublished: (_workspace, version) => this.published.push(version), ...this.patch,
    });
    return { journal, adapters, trainer };
  }
}
