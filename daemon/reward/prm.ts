/**
 * Verdicts that need a model, for closed turns of which verifiers and the user's buttons said nothing:
 * first the classifier, then the judge where there is one. The queue is in the journal, so a restart
 * loses no turn; one turn at a time, within a budget, so that nobody waits for it. An outage postpones
 * a turn and in the end gives it up without a verdict: never a zero reward (conformance 23).
 */
import type { Clock } from '../clock.ts';
import type { Journal } from '../journal/journal.ts';
import type { Hint, NextState, Turn, Verdict } from '../journal/records.ts';
import type { PolarityClassifier } from './classifier/polarity.ts';
import { judge } from './judge.ts';
import type { Voter } from './judge.ts';
import { readVerdict } from './reading.ts';

/** Turns that the judge may be asked about in an hour: a small model's turn takes seconds of the device. */
const BUDGET_PER_HOUR = 60;
const HOUR_MS = 3_600_000;
/** Waits after outages: 10 s, then twice as long each time, 8 tries. */
const FIRST_WAIT_MS = 10_000;
const MOST_ATTEMPTS = 8;

export interface PrmMetrics {
  /** Turns that wait for a verdict. */
  waiting: number;
  judged: number;
  votes: number;
  invalidVotes: number;
  /** Share of valid votes that agree with their majority; null = no vote yet. */
  agreement: number | null;
  /** Turns on which no vote was valid. */
  abstained: number;
  outages: number;
  givenUp: number;
}

export interface PrmParts {
  journal: Journal;
  classifier: Pick<PolarityClassifier, 'read'>;
  /** null = none can be asked; `later`: the engine is still loading. */
  voter: () => Voter | null | 'later';
  clock: Clock;
  /** Stores a verdict with all that comes of it; part of this module's transaction. */
  record: (turn: Turn, next: NextState, verdict: Verdict, hints: readonly Hint[]) => (() => void);
  log: (line: string) => void;
}

export class Prm {
  readonly #counts = { judged: 0, votes: 0, invalidVotes: 0, agreeing: 0, abstained: 0, outages: 0, givenUp: 0 };
  readonly #stopping = new AbortController();
  #asked: number[] = [];
  #running: Promise<void> | null = null;
  #classifierFailed = false;

  constructor(private readonly parts: PrmParts) {}

  /** Something may be due. */
  poke(): void {
    if (this.#running !== null || this.#stopping.signal.aborted) return;
    this.#running = this.#drain()
      .catch((thrown: unknown) => this.parts.log(`Verdicts by models stopped: ${thrown instanceof Error ? thrown.message : String(thrown)}`))
      .finally(() => (this.#running = null));
  }

  /** Resolves when nothing is due. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  metrics(): PrmMetrics {
    const { agreeing, ...counts } = this.#counts;
    const valid = counts.votes - counts.invalidVotes;
    return { waiting: this.parts.journal.judgingWaits().turns, ...counts, agreement: valid === 0 ? null : agreeing / valid };
  }

  async #drain(): Promise<void> {
    const { journal, clock } = this.parts;
    while (!this.#stopping.signal.aborted) {
      const due = journal.nextJudging(clock.now());
      if (due === null) return;
      await this.#one(due.turn, due.attempts);
    }
  }

  async #one(id: string, attempts: number): Promise<void> {
    const { journal } = this.parts;
    const turn = journal.turn(id);
    const next = journal.nextState(id);
    if (turn === null || next === null) return void journal.endJudging(id);
    const before = journal.actionBefore(turn);
    const read = await this.#read(turn, next, before);
    if (this.#stopping.signal.aborted) return;
    if (read !== null) return this.#end(turn, next, read, []);
    const voter = this.parts.voter();
    if (voter === null) return void journal.endJudging(id);
    if (voter === 'later' || this.#overBudget()) return journal.postponeJudging(id, this.parts.clock.now() + HOUR_MS / BUDGET_PER_HOUR);
    await this.#ask(turn, next, before, voter, attempts);
  }

  async #read(turn: Turn, next: NextState, before: Turn | null): Promise<Verdict | null> {
    if (this.#classifierFailed) return null;
    try {
      return await readVerdict(turn, next, this.parts.classifier, before);
    } catch (thrown) {
      this.#classifierFailed = true;
      this.parts.log(`The next-state classifier is off: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      return null;
    }
  }

  async #ask(turn: Turn, next: NextState, before: Turn | null, voter: Voter, attempts: number): Promise<void> {
    const { journal, clock, log } = this.parts;
    try {
      const { verdict, hint, votes } = await judge(turn, next, before, voter, this.#stopping.signal);
      const valid = votes.filter((vote) => vote !== null);
      this.#asked.push(clock.now());
      this.#counts.judged++;
      this.#counts.votes += votes.length;
      this.#counts.invalidVotes += votes.length - valid.length;
      if (valid.length === 0) this.#counts.abstained++;
      const most = Math.max(0, ...[-1, 0, 1].map((score) => valid.filter((vote) => vote === score).length));
      this.#counts.agreeing += most;
      if (verdict === null) journal.endJudging(turn.id);
      else this.#end(turn, next, verdict, hint === null ? [] : [hint]);
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      this.#counts.outages++;
      log(`The judge gave no answer: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      if (attempts + 1 < MOST_ATTEMPTS) return journal.postponeJudging(turn.id, clock.now() + FIRST_WAIT_MS * 2 ** attempts);
      this.#counts.givenUp++;
      journal.endJudging(turn.id);
    }
  }

  /** Exactly one verdict, whatever happens between reading the queue and here. */
  #end(turn: Turn, next: NextState, verdict: Verdict, hints: readonly Hint[]): void {
    const { journal } = this.parts;
    const announce = journal.transaction(() => (journal.endJudging(turn.id) ? this.parts.record(turn, next, verdict, hints) : null));
    announce?.();
  }

  #overBudget(): boolean {
    const since = this.parts.clock.now() - HOUR_MS;
    this.#asked = this.#asked.filter((at) => at > since);
    return this.#asked.length >= BUDGET_PER_HOUR;
  }
}
