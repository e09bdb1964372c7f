/**
 * Show or hold: a suggestion that would hardly be accepted is better not shown. Learned on this
 * machine from the user's own outcomes, and off until there are enough of them.
 */
import type { NextState, Turn } from '../../journal/records.ts';
import { filterFeatures, type Offer, type PastOffer } from './filterFeatures.ts';
import { logOdds } from './filterModel.ts';
import { fitFilter, type DecidedOffer, type TrainedFilter } from './filterTraining.ts';

/** A turn and what became of it; null while it is open. */
export interface OfferedTurn {
  turn: Turn;
  next: NextState | null;
}

/** Enough of the user's own data: decided offers, of each outcome, and days they are from. */
export const ENOUGH = { offers: 300, ofEach: 60, days: 5 } as const;
/** The filter is used only if, on days it was not fitted on, it kept to both. */
export const MOST_DROPPED = 0.05;
export const LEAST_SAVED = 0.2;
/** This share is shown whatever the filter says: what is never shown is never learned about. */
export const EXPLORE_SHARE = 0.05;
const DAY_MS = 86_400_000;

/** true = accepted, false = turned down, null = says nothing: typed by hand, superseded, gone. */
function outcomeOf(next: NextState | null): boolean | null {
  if (next?.outcome === 'accepted' || next?.outcome === 'partial') return true;
  return next?.outcome === 'diverged' ? false : null;
}

export function offerOf(turn: Turn): Offer {
  const known = turn.logprobs.filter((logprob) => logprob !== null);
  return { meanLogprob: known.length === 0 ? null : known.reduce((sum, logprob) => sum + logprob, 0) / known.length, text: turn.shownText, prefix: turn.before, at: turn.offeredAt };
}

export function pastOffers(turns: readonly OfferedTurn[]): PastOffer[] {
  return turns.flatMap(({ turn, next }) => {
    const accepted = outcomeOf(next);
    return next === null || accepted === null ? [] : [{ text: turn.shownText, decidedAt: next.decidedAt, accepted }];
  });
}

/** Learns the filter from the journal's turns.
 *  @param turns  oldest first, of all sessions
 *  @returns      null while there is not enough, or where it would not have kept to its bounds */
export function learnFilter(turns: readonly OfferedTurn[]): TrainedFilter | null {
  const offers = decidedOffers(turns.filter(({ turn }) => turn.role === 'main' && turn.shownText !== ''));
  const accepted = offers.filter((offer) => offer.accepted).length;
  const days = new Set(offers.map(({ group }) => group)).size;
  if (offers.length < ENOUGH.offers || Math.min(accepted, offers.length - accepted) < ENOUGH.ofEach || days < ENOUGH.days) return null;
  const filter = fitFilter(offers);
  return filter !== null && filter.dropped <= MOST_DROPPED && filter.saved >= LEAST_SAVED ? filter : null;
}

function decidedOffers(turns: readonly OfferedTurn[]): DecidedOffer[] {
  const sessions = new Map<string, OfferedTurn[]>();
  for (const offered of turns) sessions.set(offered.turn.session, [...(sessions.get(offered.turn.session) ?? []), offered]);
  return [...sessions.values()].flatMap((session) => {
    const past = pastOffers(session);
    return session.flatMap(({ turn, next }) => {
      const accepted = outcomeOf(next);
      if (accepted === null) return [];
      return [{ group: String(Math.floor(turn.offeredAt / DAY_MS)), features: filterFeatures(offerOf(turn), past), accepted }];
    });
  });
}

/** @param filter  null = off: everything is shown
 *  @param draw    uniform in [0, 1), drawn for this offer */
export function decideShow(filter: TrainedFilter | null, offer: Offer, history: readonly PastOffer[], draw: number): 'show' | 'hold' {
  if (filter === null || draw < EXPLORE_SHARE) return 'show';
  return logOdds(filter.model, filterFeatures(offer, history)) < filter.threshold ? 'hold' : 'show';
}
