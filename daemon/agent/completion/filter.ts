/**
 * Show or hold: a suggestion that would hardly be accepted is better not shown. Learned on this machine
 * from the outcomes of one workspace, off until there are enough of them and until it would have kept
 * its bounds on them. How two proposals compare is choice.ts's matter; its estimate is a feature here.
 */
import type { NextState, Turn } from '../../journal/records.ts';
import { keptOdds, PRIOR, shareWritten } from './choice.ts';
import { filterFeatures } from './filterFeatures.ts';
import type { Offer, PastOffer } from './filterFeatures.ts';
import { logOdds } from './filterModel.ts';
import { fitFilter } from './filterTraining.ts';
import type { DecidedOffer, TrainedFilter } from './filterTraining.ts';

/** Outcomes that are needed, and of each kind: 5 % of 40 are two. */
export const ENOUGH = { offers: 200, ofEach: 40 } as const;
/** Saving less is not worth what it costs. */
export const LEAST_SAVED = 0.2;
/** This share is shown whatever the filter says: what is never shown is hardly learned about. */
export const EXPLORE_SHARE = 0.05;

/** true = taken, or what was held back is what they wrote; false = turned down; null = says nothing:
 *  typed by hand, superseded, gone. */
export function outcomeOf(turn: Turn, next: NextState): boolean | null {
  if (turn.held !== undefined) return next.developerText === null ? null : shareWritten(turn.held, next.developerText) > 0;
  if (next.outcome === 'accepted' || next.outcome === 'partial') return true;
  return next.outcome === 'diverged' ? false : null;
}

export function offerOf(turn: Turn): Offer {
  const known = turn.logprobs.filter((logprob) => logprob !== null);
  const proposal = turn.proposals?.find(({ source }) => source === (turn.source ?? 'model'));
  return {
    meanLogprob: known.length === 0 ? null : known.reduce((sum, logprob) => sum + logprob, 0) / known.length,
    text: turn.held ?? turn.shownText,
    expected: proposal === undefined ? null : keptOdds(proposal, PRIOR),
    prefix: turn.before,
    at: turn.offeredAt,
  };
}

/** What is known of the filter: it, or why there is none. */
export type Calibrated =
  | { state: 'few'; taken: number; turnedDown: number }
  | { state: 'useless' | 'useful'; filter: TrainedFilter; offers: number };

/** @param offers  decided ones of one workspace, oldest first */
export function calibrate(offers: readonly DecidedOffer[]): Calibrated {
  const taken = offers.filter(({ accepted }) => accepted).length;
  const turnedDown = offers.length - taken;
  const filter = offers.length < ENOUGH.offers || Math.min(taken, turnedDown) < ENOUGH.ofEach ? null : fitFilter(offers);
  if (filter === null) return { state: 'few', taken, turnedDown };
  return { state: filter.saved >= LEAST_SAVED ? 'useful' : 'useless', filter, offers: offers.length };
}

/** @param draw  uniform in [0, 1), drawn for this offer */
export function decideShow(calibrated: Calibrated, offer: Offer, history: readonly PastOffer[], draw: number): 'show' | 'hold' {
  if (calibrated.state !== 'useful' || draw < EXPLORE_SHARE) return 'show';
  const { model, threshold } = calibrated.filter;
  return logOdds(model, filterFeatures(offer, history)) < threshold ? 'hold' : 'show';
}

/** In one sentence, for the user. @param on  the user wants suggestions to be held back */
export function describe(calibrated: Calibrated, on: boolean): string {
  const now = on ? 'Every suggestion is still shown' : 'Every suggestion is shown (the setting hindsight.holdBack is off)';
  if (calibrated.state === 'few') {
    const { taken, turnedDown } = calibrated;
    return `${now}: to tell which you would hardly take, ${ENOUGH.offers} outcomes are needed, ${ENOUGH.ofEach} of either kind, and ${taken} taken and ${turnedDown} turned down are known.`;
  }
  const { filter: { saved, dropped }, offers } = calibrated;
  const would = `${percent(saved)} of your last ${offers} suggestions, and ${percent(dropped)} of those you took`;
  if (calibrated.state === 'useless') return `${now}: holding back would have saved ${would}, and ${percent(LEAST_SAVED)} are asked for.`;
  return on ? `Suggestions that you would hardly take are held back: that would have been ${would}.` : `${now}: holding back would have saved ${would}.`;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
