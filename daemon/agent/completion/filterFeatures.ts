/**
 * What is known of a suggestion at the moment it is offered, as numbers. Nothing here may come from
 * later: not the outcome, not how long the suggestion stood, not what became of its text.
 */

/** A suggestion about to be shown. */
export interface Offer {
  /** Mean log-prob of its tokens; null where unknown. */
  meanLogprob: number | null;
  text: string;
  /** Log-odds that it is kept, by what outcomes of many developers look like (choice.ts); null = there
   *  was nothing to choose. */
  expected: number | null;
  /** The document before the cursor; the last lines are enough. */
  prefix: string;
  /** Milliseconds since the Unix epoch. */
  at: number;
}

/** An earlier offer of the same session, with what had become of it by now. */
export interface PastOffer {
  text: string;
  /** When it was accepted or turned down. */
  decidedAt: number;
  accepted: boolean;
}

/** Names of the features, in the order of `filterFeatures`. Few on purpose: of 70 that were tried, the
 *  others did not carry over from one person to the next (docs/classifier.md). */
export const FILTER_FEATURES = ['sqrtSurprise', 'logprobUnknown', 'logChars', 'lineIsComment', 'midWord', 'afterOpening', 'afterOperator', 'afterSpace', 'acceptedLast', 'acceptedBefore', 'isComment', 'wholeSurprise', 'lineIsEmpty', 'expected'] as const;

/** Stands in for an unknown log-prob; `logprobUnknown` says that it does. */
const TYPICAL_LOGPROB = -0.5;
const COMMENT_OPENS = /^\s*(#|\/\/|\/\*|\*|--|"""|''')/;
const COMMENT_FOLLOWS = /\s(#|\/\/)\s/;
/** Of a token, about. */
const CHARACTERS = 3;
/** A repeat shorter than this is chance. */
const LEAST_REPEAT = 4;

/** @param history  offers of the session; those not decided before `offer.at` are not looked at
 *  @returns         one number for each of FILTER_FEATURES, none of them NaN */
export function filterFeatures(offer: Offer, history: readonly PastOffer[]): number[] {
  const past = history.filter(({ decidedAt }) => decidedAt <= offer.at);
  const line = offer.prefix.slice(offer.prefix.lastIndexOf('\n') + 1);
  const last = offer.prefix.at(-1) ?? '\n';
  const body = offer.text.trim();
  const repeats = (text: string): boolean => text.trim() === body || (body.length >= LEAST_REPEAT && text.trim().endsWith(body));
  const surprise = Math.max(0, -(offer.meanLogprob ?? TYPICAL_LOGPROB));
  return [
    Math.sqrt(surprise),
    flag(offer.meanLogprob === null),
    Math.log1p(offer.text.length),
    flag(COMMENT_OPENS.test(line) || COMMENT_FOLLOWS.test(line)),
    flag(/\w/.test(last)),
    flag(/[([{.,]/.test(last)),
    flag(/[=+\-*/<>:|&]$/.test(line.trimEnd())),
    flag(/[ \t]/.test(last)),
    flag(past.at(-1)?.accepted === true),
    flag(past.some(({ accepted, text }) => accepted && repeats(text))),
    flag(COMMENT_OPENS.test(body)),
    Math.sqrt(surprise * (1 + offer.text.length / CHARACTERS)),
    flag(line.trim() === ''),
    offer.expected ?? 0,
  ];
}

const flag = (condition: boolean): number => (condition ? 1 : 0);
