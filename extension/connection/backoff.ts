// How long to wait before trying the daemon again. Pure: the clock and the dice are passed in.

export interface BackoffSettings {
  readonly firstMs: number;
  readonly longestMs: number;
  /** A connection that held this long was good: the next failure starts from the first wait again. */
  readonly goodAfterMs: number;
}

export const RECONNECT: BackoffSettings = { firstMs: 250, longestMs: 30_000, goodAfterMs: 10_000 };

/** Doubling waits with jitter, so that several windows do not start several daemons in step. */
export class Backoff {
  #failures = 0;

  constructor(
    private readonly settings: BackoffSettings,
    private readonly random: () => number = Math.random,
  ) {}

  /** @param heldMs  how long the connection that just ended had been up; 0 when it never was
   *  @returns milliseconds to wait before the next attempt */
  afterEnd(heldMs: number): number {
    if (heldMs >= this.settings.goodAfterMs) this.#failures = 0;
    const whole = Math.min(this.settings.longestMs, this.settings.firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return Math.round(whole / 2 + (whole / 2) * this.random());
  }
}
