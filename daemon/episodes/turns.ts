/** What is a turn that may train, and when a session is over: the rules that need no text. */
import type { Turn } from '../journal/records.ts';

/** A session ends by silence, not by a client's goodwill. */
export const SESSION_IDLE_MS = 30 * 60 * 1000;

/** Only what says that it is a main turn is one; titles, summaries and whatever says nothing are side
 *  turns and never train (conformance 1). */
export function roleOf(stated: string | undefined): Turn['role'] {
  return stated === 'main' ? 'main' : 'side';
}

/** Only main turns that offered something, or would have but for the show/hold filter, have a next state and are one to others. A side turn, or a
 *  request that was answered with nothing, changes nothing between two main turns (conformance 2). */
export function isOffer(turn: Turn): boolean {
  return turn.role === 'main' && (turn.shownText !== '' || turn.held !== undefined);
}
