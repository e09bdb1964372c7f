// One session's signals on their way to the daemon: numbered without gaps, on disk until acknowledged.
import type { Signal } from '../../protocol/signals.ts';
import type { Seal } from './seal.ts';
import { Spool, type NumberedSignal, type SpoolHeader } from './spool.ts';

/** Hands over `signals` numbered from `first`, and returns the number up to which the daemon has them on disk. */
export type Publish = (session: string, first: number, signals: Signal[]) => Promise<number>;

export interface OutboxLimits {
  readonly signalsPerBatch: number;
  readonly batchBytes: number;
  /** A daemon that stays away must not fill the disk: beyond this nothing more is recorded. */
  readonly spoolBytes: number;
}

export const OUTBOX_LIMITS: OutboxLimits = { signalsPerBatch: 500, batchBytes: 1024 * 1024, spoolBytes: 32 * 1024 * 1024 };

export class Outbox {
  readonly #fresh: Signal[] = [];
  /** Numbered and on disk, oldest first. */
  #waiting: NumberedSignal[] = [];
  #next = 0;
  #full = false;
  #closed = false;
  /** Writes to the file take turns. A delivery does not hold them up: a daemon that hangs costs no signal. */
  #fileTurn: Promise<void> = Promise.resolve();
  #delivery: Promise<void> | undefined;

  private constructor(
    private readonly head: SpoolHeader,
    private readonly spool: Spool,
    private readonly limits: OutboxLimits,
  ) {}

  static async open(folder: string, head: SpoolHeader, seal: Seal, limits: OutboxLimits = OUTBOX_LIMITS): Promise<Outbox> {
    return new Outbox(head, await Spool.create(folder, head, seal), limits);
  }

  get session(): string {
    return this.head.session;
  }

  /** True once signals were dropped for want of room: this session cannot go on, a new one must follow it. */
  get overflowed(): boolean {
    return this.#full;
  }

  get isEmpty(): boolean {
    return this.#fresh.length === 0 && this.#waiting.length === 0;
  }

  /** Forgets what the daemon has.
   *  @param acknowledged  the daemon's number for this session
   *  @returns false when the daemon has lost signals that this session no longer holds: a new session must follow */
  resumeAfter(acknowledged: number): boolean {
    this.#waiting = this.#waiting.filter((each) => each.seq > acknowledged);
    return (this.#waiting[0]?.seq ?? this.#next) <= acknowledged + 1;
  }

  /** Called on every keystroke: no more than this. */
  push(signal: Signal): void {
    if (!this.#full) this.#fresh.push(signal);
  }

  /** Puts what is new on disk. Never waits for the daemon. */
  store(): Promise<void> {
    return this.#onFile(async () => {
      if (this.#fresh.length === 0) return;
      const numbered = this.#fresh.splice(0).map((signal) => ({ seq: this.#next++, signal }));
      try {
        await this.spool.append(numbered);
      } catch (error) {
        // A full disk: these signals are gone, and a session with a gap cannot go on.
        this.#full = true;
        throw error;
      }
      this.#waiting.push(...numbered);
      this.#full ||= this.spool.bytes > this.limits.spoolBytes;
    });
  }

  /** Hands what is on disk to the daemon, one delivery at a time. */
  deliver(publish: Publish): Promise<void> {
    this.#delivery ??= this.#deliverAll(publish).finally(() => {
      this.#delivery = undefined;
    });
    return this.#delivery;
  }

  /** Stores the rest and leaves the file to the next window, or removes it when nothing waits. */
  async close(): Promise<void> {
    await this.store();
    await this.#onFile(async () => {
      this.#closed = true;
      if (this.isEmpty) await this.spool.remove();
      else await this.spool.close();
    });
  }

  /** Throws everything away, on disk too: the owner of the workspace said no. */
  async discard(): Promise<void> {
    this.#full = true;
    this.#closed = true;
    this.#fresh.length = 0;
    this.#waiting = [];
    await this.#onFile(() => this.spool.remove());
    this.#waiting = [];
  }

  async #deliverAll(publish: Publish): Promise<void> {
    await deliver(this.head.session, [...this.#waiting], publish, this.limits, (acknowledged) => {
      this.#waiting = this.#waiting.filter((each) => each.seq > acknowledged);
    });
    await this.#onFile(async () => {
      if (this.#waiting.length === 0 && this.spool.holdsSignals && !this.#closed) await this.spool.clear(this.head);
    });
  }

  #onFile(work: () => Promise<void>): Promise<void> {
    const done = this.#fileTurn.then(work);
    this.#fileTurn = done.catch(() => undefined);
    return done;
  }
}

/** Sends signals in batches, in order, until all are acknowledged.
 *  @param onAcknowledged  told after each batch
 *  @throws what `publish` throws, and when an acknowledgement does not move on */
export async function deliver(
  session: string,
  signals: readonly NumberedSignal[],
  publish: Publish,
  limits: OutboxLimits,
  onAcknowledged: (seq: number) => void,
): Promise<void> {
  let from = 0;
  while (from < signals.length) {
    const batch = nextBatch(signals, from, limits);
    const [first, last] = [batch[0], batch[batch.length - 1]];
    if (first === undefined || last === undefined) return;
    const acknowledged = await publish(session, first.seq, batch.map((each) => each.signal));
    if (acknowledged < first.seq) throw new Error(`the daemon has signals of ${session} up to ${acknowledged} only; ${first.seq} was offered`);
    onAcknowledged(acknowledged);
    while (from < signals.length && (signals[from]?.seq ?? Infinity) <= acknowledged) from += 1;
  }
}

function nextBatch(signals: readonly NumberedSignal[], from: number, limits: OutboxLimits): NumberedSignal[] {
  const batch: NumberedSignal[] = [];
  let bytes = 0;
  for (const each of signals.slice(from, from + limits.signalsPerBatch)) {
    const size = roughBytes(each.signal);
    if (batch.length > 0 && bytes + size > limits.batchBytes) break;
    batch.push(each);
    bytes += size;
  }
  return batch;
}

function roughBytes(signal: Signal): number {
  if ('output' in signal || 'report' in signal || 'problems' in signal) return 3 * JSON.stringify(signal).length;
  if (signal.kind !== 'document.changed') return 200;
  return signal.changes.reduce((sum, change) => sum + 60 + 3 * change.text.length, 200);
}
