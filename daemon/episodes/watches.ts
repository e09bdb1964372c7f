/** The watched ranges of each workspace, in memory as they are in the journal. Methods return late
 *  evidence; Intake stores and judges it in the transaction that also saves the ranges. */
import { beginWatch, watchOpened, watchSignal, watchTime } from '../capture/watching.ts';
import type { Watch, Watched } from '../capture/watching.ts';
import type { TakenHere } from '../capture/completions.ts';
import type { Tracking } from '../capture/tracking.ts';
import type { Journal } from '../journal/journal.ts';
import type { LateEvidence } from '../journal/records.ts';
import type { Signal } from '../../protocol/signals.ts';

/** A range in a document that is not opened again for so long is given up. */
const LONGEST_MS = 7 * 24 * 60 * 60 * 1000;

export class Watches {
  readonly #open = new Map<string, Map<string, Watch>>();
  readonly #changed = new Set<string>();

  constructor(private readonly journal: Journal) {}

  begin(accepted: readonly Tracking[], session: string, workspace: string): void {
    for (const tracking of accepted) {
      const watch = beginWatch(tracking, session, workspace);
      if (watch !== null) this.#set(watch);
    }
  }

  signal(workspace: string, session: string, signal: Signal): LateEvidence[] {
    return this.#each(workspace, (watch) => watchSignal(watch, session, signal));
  }

  anyIn(workspace: string, uri: string): boolean {
    return [...this.#of(workspace).values()].some((watch) => watch.uri === uri);
  }

  /** Accepted text that a session has in view, and where it stands. */
  taken(workspace: string, session: string): TakenHere[] {
    const seen = [...this.#of(workspace).values()].filter((watch) => watch.open && watch.session === session);
    return seen.map(({ turn, uri, acceptedAt, start, text }) => ({ turn, uri, at: acceptedAt, start, end: start + text.length }));
  }

  /** Whether time alone has something to say of the session's ranges. */
  due(workspace: string, session: string, now: number): boolean {
    return [...this.#of(workspace).values()].some((watch) => watch.session === session && watchTime(watch, now).marks.length > 0);
  }

  quiet(workspace: string, session: string, now: number): LateEvidence[] {
    return this.#each(workspace, (watch) => (watch.session === session ? watchTime(watch, now) : { watch, marks: [] }));
  }

  /** @param inView whether a session's window is there: what it has open is its own to report */
  opened(workspace: string, session: string, inView: (session: string) => boolean, document: { uri: string; version: number; text: string; at: number }): LateEvidence[] {
    return this.#each(workspace, (watch) => {
      const seen = watch.open && (watch.session === session || inView(watch.session));
      return watch.uri !== document.uri || seen ? { watch, marks: [] } : watchOpened(watch, session, document);
    });
  }

  /** Writes what changed; part of the caller's transaction. */
  save(workspace: string): void {
    const open = this.#of(workspace);
    for (const turn of this.#changed) {
      const watch = open.get(turn);
      if (watch === undefined) this.journal.endWatch(turn);
      else this.journal.saveWatch(watch);
    }
    this.#changed.clear();
  }

  /** The journal knows better: it is read again. */
  forget(workspace: string): void {
    this.#open.delete(workspace);
    this.#changed.clear();
  }

  reread(): void {
    this.#open.clear();
    this.#changed.clear();
  }

  /** The owner said no: nothing of the workspace is watched on. */
  withdraw(workspace: string): void {
    for (const turn of this.#of(workspace).keys()) this.journal.endWatch(turn);
    this.forget(workspace);
  }

  #set(watch: Watch): void {
    this.#of(watch.workspace).set(watch.turn, watch);
    this.#changed.add(watch.turn);
  }

  #each(workspace: string, take: (watch: Watch) => Watched): LateEvidence[] {
    const open = this.#of(workspace);
    return [...open.values()].flatMap((watch) => {
      const { watch: after, marks } = take(watch);
      if (after === watch && marks.length === 0) return [];
      this.#changed.add(watch.turn);
      if (after === null) open.delete(watch.turn);
      else open.set(watch.turn, after);
      return marks.map((mark): LateEvidence => ({ kind: 'survival', ...mark }));
    });
  }

  #of(workspace: string): Map<string, Watch> {
    const known = this.#open.get(workspace);
    if (known) return known;
    const watches = this.journal.watches(workspace);
    const newest = Math.max(...watches.map((watch) => watch.acceptedAt));
    const kept = watches.filter((watch) => newest - watch.acceptedAt < LONGEST_MS);
    for (const watch of watches) if (!kept.includes(watch)) this.#changed.add(watch.turn);
    const open = new Map(kept.map((watch) => [watch.turn, watch]));
    this.#open.set(workspace, open);
    return open;
  }
}
