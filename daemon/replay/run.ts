/**
 * One run of the replay: a history typed again by a simulated developer under one setting, with a
 * journal, a daemon and an engine process of its own. Prequential: a commit is measured before
 * anything of it can be learned from, and learning drains at its end (learning.md, "The replay
 * benchmark").
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEngine } from '../engine/client.ts';
import type { Engine } from '../engine/engine.ts';
import { splitOf } from '../gate/holdout.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { serveConnection } from '../server/connection.ts';
import { Daemon } from '../server/daemon.ts';
import { workspaceKey } from '../adapters/files.ts';
import { audit } from './audit.ts';
import { conductOf } from './conduct.ts';
import type { Conduct, Poison } from './conduct.ts';
import { Developer } from './developer.ts';
import type { Place } from './developer.ts';
import { ReplayEditor } from './editor.ts';
import { pickLessons } from './lessons.ts';
import type { TaughtPlace } from './lessons.ts';
import { forgetting, logLikelihoods } from './likelihood.ts';
import type { Continuation } from './likelihood.ts';
import { memoryLink } from './link.ts';
import { planCommit } from './plan.ts';
import { lookAt } from './probes.ts';
import type { Probe, ProbeRecord } from './probes.ts';
import type { KeptRun } from './keep.ts';
import type { CommitRecord } from './result.ts';
import { addsLines, applyCommit } from './stream.ts';
import type { Stream, StreamCommit, Texts } from './stream.ts';
import { comparedCommits, NO_TALLY } from './statistics.ts';
import { trains } from './variants.ts';
import { VirtualClock } from './virtualClock.ts';

export interface RunOptions {
  stream: Stream;
  modelDir: string;
  /** Seed and method among them. */
  settings: LearnSettings;
  /** Lines of a commit that are measured at most. */
  maxLines: number;
  unrelated: readonly string[];
  /** How the developer misleads the learner; absent = not at all. */
  poison?: Poison;
  /** Looked at after every commit; nothing is learned from them. */
  probes?: readonly Probe[];
  /** Of the engine; the result does not depend on it. */
  threads?: number;
  onCommit?: () => void;
  log?: (line: string) => void;
}

/** Start of every replay's virtual time. */
const EPOCH = Date.UTC(2026, 0, 5, 9);

/** The stream from its first to its last commit, under one setting. */
export async function replayOnce(options: RunOptions): Promise<KeptRun> {
  const run = await Run.start(options);
  try {
    const texts: Texts = new Map();
    const count = options.stream.commits.length;
    for (const [index, commit] of options.stream.commits.entries()) {
      if (addsLines(commit)) await run.commit(commit, texts, index < count - comparedCommits(count));
      applyCommit(texts, commit);
      options.onCommit?.();
    }
    return await run.end();
  } finally {
    await run.close();
  }
}

/** One method and seed on its way through the stream. */
class Run {
  readonly #records: CommitRecord[] = [];
  readonly #taught: TaughtPlace[] = [];
  readonly #madeAfter = new Map<number, number>();
  readonly #heldOut: Continuation[] = [];
  readonly #probed: ProbeRecord[] = [];
  readonly #conduct: Conduct;
  #serving: number | null = null;
  #block = '';
  #texts: Texts = new Map();

  private constructor(
    private readonly options: RunOptions,
    private readonly home: string,
    private readonly engine: Engine,
    private readonly clock: VirtualClock,
    private readonly workspace: string,
    private daemon: Daemon,
    private editor: ReplayEditor,
  ) {
    this.#conduct = conductOf(options.poison ?? null, options.settings.seed);
  }

  static async start(options: RunOptions): Promise<Run> {
    const home = mkdtempSync(join(tmpdir(), 'hindsight-replay-'));
    const { modelDir, settings, threads, log } = options;
    const engine = await startEngine({ modelDir, ...(threads && { threads }), ...(log && { log }) });
    const clock = new VirtualClock(EPOCH);
    const workspace = `file:///replay/${encodeURIComponent(options.stream.name)}`;
    let run: Run | null = null;
    // The holdout is drawn by commit: lines of one commit are of one mind.
    const daemon = await Daemon.start({ home, modelDir, settings, clock, engine, blockOf: () => run?.block ?? '', typist: 'replay', readFile: (uri) => run?.textAt(uri) ?? null, ...(log && { log }) });
    await daemon.ready;
    const { client, server } = memoryLink();
    serveConnection(daemon, server);
    client.listen();
    const editor = new ReplayEditor(client, { session: 'replay', workspace, clock });
    run = new Run(options, home, engine, clock, workspace, daemon, editor);
    await editor.start('on request');
    return run;
  }

  get block(): string {
    return this.#block;
  }

  /** A file as the commits before this one left it. */
  textAt(uri: string): string | null {
    return this.#texts.get(decodeURIComponent(uri.slice(this.workspace.length + 1))) ?? null;
  }

  async commit(commit: StreamCommit, texts: Texts, teachable: boolean): Promise<void> {
    this.#texts = texts;
    this.#block = commit.commit;
    const developer = new Developer(this.editor, this.clock, (place) => this.daemon.completion.promptAt(this.workspace, place), this.#conduct);
    const { count, places } = await developer.commit(planCommit(commit, texts, this.options.maxLines));
    const continuations = places.map((place): Continuation => ({ ...place.prompt, text: place.rest }));
    const nats = await logLikelihoods(this.engine, continuations, this.#adapterName());
    if (splitOf(this.#block, this.options.settings.holdoutShare) === 'holdout') this.#heldOut.push(...continuations);
    if (teachable) this.#remember(commit, places, continuations, nats);
    const learned = trains(this.options) ? await this.editor.train() : { steps: 0, promoted: 0 };
    const { serving, adapters } = await this.editor.adapters();
    this.#serving = serving;
    const bytes = places.map((place) => Buffer.byteLength(place.rest));
    this.#records.push({
      commit: commit.commit,
      tally: { ...NO_TALLY, ...count, nats: sum(nats), bytes: sum(bytes) },
      lines: places.map((place, at) => ({ path: place.path, text: place.rest, suggestion: place.suggestion?.text ?? null, nats: nats[at] ?? 0, bytes: bytes[at] ?? 0 })),
      ...learned,
      serving,
    });
    for (const { version } of adapters) if (!this.#madeAfter.has(version)) this.#madeAfter.set(version, this.#records.length);
    if (this.options.probes) this.#probed.push(await lookAt(this.options.probes, { editor: this.editor, engine: this.engine, adapter: this.#adapterName(), promptAt: (place) => this.daemon.completion.promptAt(this.workspace, place) }, sum(this.#records.map(({ tally }) => tally.shown))));
  }

  async end(): Promise<KeptRun> {
    const { adapters } = await this.editor.adapters();
    const last = await this.#lastAdapter();
    const promoted = adapters.filter(({ state }) => state !== 'rejected' && state !== 'candidate');
    await this.editor.end();
    return {
      seed: this.options.settings.seed,
      commits: this.#records,
      forgettingPct: await forgetting(this.engine, this.options.unrelated, last),
      adapterVersions: promoted.length,
      decisions: adapters.toReversed().map(({ version, state, samples, reason }) => ({ version, state, samples, reason, after: this.#madeAfter.get(version) ?? 0 })),
      ...(this.options.probes && { probes: this.#probed }),
      ...(this.options.poison && { audit: await audit({ engine: this.engine, journal: this.daemon.journal, workspace: this.workspace }, this.#heldOut) }),
      lessons: last === null ? [] : await pickLessons(this.engine, this.#taught, last),
    };
  }

  async close(): Promise<void> {
    await this.daemon.stop();
    await this.engine.close();
    rmSync(this.home, { recursive: true, force: true });
  }

  #adapterName(): string | null {
    return this.#serving === null ? null : `${workspaceKey(this.workspace)}/${this.#serving}`;
  }

  /** The version that serves at the end, on the engine. */
  async #lastAdapter(): Promise<string | null> {
    const record = this.daemon.journal.adapters(this.workspace).find(({ version }) => version === this.#serving);
    if (!record) return null;
    await this.engine.adapterLoad({ name: 'replay-last', dir: record.dir });
    return 'replay-last';
  }

  #remember(commit: StreamCommit, places: readonly Place[], continuations: readonly Continuation[], nats: readonly number[]): void {
    places.forEach((place, at) => {
      const continuation = continuations[at];
      if (continuation && place.suggestion && place.suggestion.text.split('\n')[0] !== place.rest) {
        this.#taught.push({ commit: commit.commit, place, continuation, natsBefore: nats[at] ?? 0 });
      }
    });
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
