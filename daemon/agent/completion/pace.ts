/**
 * How soon suggestions come by themselves: later while they are turned down, sooner again when one is
 * taken or time passes; and not at all for a while after many in a row that nobody wanted. Pure, and of
 * what is seen in the text alone: it needs no consent and keeps nothing.
 */

/** Milliseconds that a request made by typing waits for the next key: at rest, and at most. */
export const LEAST_DELAY_MS = 50;
export const MOST_DELAY_MS = 3000;
const AFTER_REJECTED = 1.5;
const AFTER_ACCEPTED = 0.8;
/** The wait above the least halves in so long. */
const HALF_LIFE_MS = 60_000;
/** Lines in a row on which a suggestion was turned down, and none taken; and how long it is quiet then. */
export const QUIET_AFTER = 20;
export const QUIET_MS = 5 * 60_000;

export interface Pace {
  /** As of `at`. */
  delayMs: number;
  at: number;
  /** Lines turned down since one was taken. */
  rejected: number;
  /** Nothing comes by itself before. */
  quietUntil: number;
}

export const AT_REST: Pace = { delayMs: LEAST_DELAY_MS, at: 0, rejected: 0, quietUntil: 0 };

export function delayAt({ delayMs, at }: Pace, now: number): number {
  return LEAST_DELAY_MS + (delayMs - LEAST_DELAY_MS) * 0.5 ** (Math.max(0, now - at) / HALF_LIFE_MS);
}

export function isQuiet({ quietUntil }: Pace, now: number): boolean {
  return now < quietUntil;
}

/** @param outcome  of a line's suggestions: one was taken, or all were written over */
export function paceAfter(pace: Pace, outcome: 'accepted' | 'rejected', now: number): Pace {
  const delayMs = Math.min(MOST_DELAY_MS, Math.max(LEAST_DELAY_MS, delayAt(pace, now) * (outcome === 'accepted' ? AFTER_ACCEPTED : AFTER_REJECTED)));
  if (outcome === 'accepted') return { delayMs, at: now, rejected: 0, quietUntil: 0 };
  const rejected = pace.rejected + 1;
  // Counting begins anew with the quiet, which has had its effect by its end.
  return rejected < QUIET_AFTER ? { ...pace, delayMs, at: now, rejected } : { delayMs, at: now, rejected: 0, quietUntil: now + QUIET_MS };
}
