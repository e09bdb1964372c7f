/**
 * Whose turn it is on a shared engine. Start-time fair queueing: the tenant that has had the fewest
 * tokens goes next, so that nobody's backlog is anybody else's; within a tenant, its own priorities.
 * One that was away gets no credit for it. Training has its own places: a step of one never stands
 * in front of another's typing (within the engine, native/src/serve gives way between layers).
 */
import { HindsightError } from '../../../protocol/errors.ts';
import type { Work } from '../place.ts';

export interface FairLimits {
  /** Computations at once. */
  serve: number;
  train: number;
  /** Of one tenant, waiting; more are refused, so that memory is bounded. */
  waiting: number;
}

export const FAIR_LIMITS: FairLimits = { serve: 32, train: 1, waiting: 64 };

interface Waiting {
  tenant: string;
  work: Work;
  start: () => void;
}

export class FairQueue {
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #running = { serve: 0, train: 0 };
  readonly #had = new Map<string, number>();
  /** What the tenants that were served last had had: newcomers start here. */
  #virtual = 0;

  constructor(private readonly limits: FairLimits = FAIR_LIMITS) {}

  waitingOf(tenant: string): number {
    return this.#waiting.get(tenant)?.length ?? 0;
  }

  /** @throws engineBusy, and cancelled while it waits */
  async run<T>(tenant: string, work: Work, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.#turn(tenant, work, signal);
    try {
      return await task();
    } finally {
      this.#running[work.kind]--;
      this.#next();
    }
  }

  #turn(tenant: string, work: Work, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new HindsightError('cancelled'));
      const queue = this.#waiting.get(tenant) ?? [];
      if (queue.length >= this.limits.waiting) return reject(new HindsightError('engineBusy', { problem: `${queue.length} requests of this token wait already` }));
      const entry: Waiting = { tenant, work, start: () => (signal.removeEventListener('abort', abort), resolve()) };
      const abort = (): void => {
        this.#remove(entry);
        reject(new HindsightError('cancelled'));
      };
      signal.addEventListener('abort', abort, { once: true });
      if (queue.length === 0) this.#had.set(tenant, Math.max(this.#had.get(tenant) ?? 0, this.#virtual));
      queue.push(entry);
      this.#waiting.set(tenant, queue);
      this.#next();
    });
  }

  #next(): void {
    for (const kind of ['serve', 'train'] as const) {
      for (let entry = this.#pick(kind); entry !== null; entry = this.#pick(kind)) {
        this.#remove(entry);
        this.#running[kind]++;
        const had = this.#had.get(entry.tenant) ?? 0;
        this.#virtual = Math.max(this.#virtual, had);
        this.#had.set(entry.tenant, had + Math.max(1, entry.work.tokens));
        entry.start();
      }
    }
  }

  #pick(kind: Work['kind']): Waiting | null {
    if (this.#running[kind] >= this.limits[kind]) return null;
    let best: Waiting | null = null;
    let least = Infinity;
    for (const [tenant, queue] of this.#waiting) {
      const had = this.#had.get(tenant) ?? 0;
      if (had >= least) continue;
      // The first of the highest priority.
      const first = queue.reduce<Waiting | null>((most, one) => (one.work.kind === kind && (most === null || one.work.priority > most.work.priority) ? one : most), null);
      if (first === null) continue;
      best = first;
      least = had;
    }
    return best;
  }

  #remove(entry: Waiting): void {
    const queue = this.#waiting.get(entry.tenant)?.filter((one) => one !== entry) ?? [];
    if (queue.length === 0) this.#waiting.delete(entry.tenant);
    else this.#waiting.set(entry.tenant, queue);
  }
}
