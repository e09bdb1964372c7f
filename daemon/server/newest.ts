/** Only the newest request of a document computes: an older one ends as soon as a newer one comes. */
import type { Clock } from '../clock.ts';

export class NewestOnly {
  readonly #running = new Map<string, AbortController>();

  constructor(private readonly clock: Clock) {}

  /** @param pauseMs waits so long first: a key that follows at once makes the request worthless
   *  @returns null when it was overtaken or cancelled */
  async run<T>(key: string, pauseMs: number, cancelled: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    this.#running.get(key)?.abort();
    const own = new AbortController();
    this.#running.set(key, own);
    const signal = AbortSignal.any([own.signal, cancelled]);
    try {
      if (pauseMs > 0) await this.#pause(pauseMs, signal);
      if (signal.aborted) return null;
      const result = await work(signal);
      return signal.aborted ? null : result;
    } catch (thrown) {
      if (signal.aborted) return null;
      throw thrown;
    } finally {
      if (this.#running.get(key) === own) this.#running.delete(key);
    }
  }

  /** Nobody waits for an answer for this document any more. */
  stop(key: string): void {
    this.#running.get(key)?.abort();
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.clock.after(ms, done);
      signal.addEventListener('abort', done);
    });
  }
}
