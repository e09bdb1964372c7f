/**
 * What is known of a suggestion at the moment it is offered, as numbers. Nothing here may come from
 * later: not the outcome, not how long the suggestion stood, not what became of its text.
 */

/** A suggestion about to be shown. */
export interface Offer {
  /** Mean log-prob of its tokens; null where unknown. */
  meanLogprob: number | null;
  tokens: number;
  text: string;
  /** The document before the cursor; the last lines are enough. */
  prefix: string;
  /** UTF-16 offset of the cursor, and how much text follows it (null = unknown). */
  offset: number;
  rest: number | null;
  /** Milliseconds since the Unix epoch. */
  at: number;
}

/** An earlier offer of the same session, with what had become of it by now. */
export interface PastOffer {
  text: string;
  offset: number;
  at: number;
  /** When it was accepted or turned down. */
  decidedAt: number;
  accepted: boolean;
}

/** Names of the features, in the order of `filterFeatures`. */
export const FILTER_FEATURES = [
  'meanLogprob', 'totalLogprob', 'logprobUnknown', 'logChars', 'logTokens', 'lines', 'logOffset', 'atEnd',
  'startsBlank', 'suggestsComment', 'suggestsProse', 'endsClosed', 'onlyClosing', 'hasCall',
  'lineIsBlank', 'lineIsComment', 'midWord', 'afterOpening', 'afterOperator', 'afterSpace', 'logLinePrefix',
  'acceptedLast', 'rejectedRun', 'acceptedRecently', 'acceptedShare', 'logHistory',
  'logSinceDecision', 'logSinceOffer', 'logSinceAccept', 'pace', 'movedForward', 'movedBack', 'logMoved',
  'seenBefore', 'turnedDownBefore', 'acceptedBefore', 'inPrefix', 'likeLast',
] as const;

/** Outcomes that count as recent. */
const RECENT = 5;
const PRIOR_ACCEPTS = 1;
const PRIOR_OFFERS = 3;

/** @param history  earlier offers of the session, oldest first, all decided before `offer.at`
 *  @returns         one number for each of FILTER_FEATURES, none of them NaN */
export function filterFeatures(offer: Offer, history: readonly PastOffer[]): number[] {
  return [...textFeatures(offer), ...placeFeatures(offer), ...outcomeFeatures(history), ...timeFeatures(offer, history), ...repeatFeatures(offer, history)];
}

const flag = (condition: boolean): number => (condition ? 1 : 0);
const COMMENT = /^\s*(#|\/\/|\/\*|\*|--|"""|''')/;

function textFeatures({ meanLogprob, tokens, text, offset, rest }: Offer): number[] {
  const body = text.trim();
  const lines = text.split('\n');
  const words = body.match(/[A-Za-z]{2,}/g)?.length ?? 0;
  const symbols = body.match(/[^\w\s]/g)?.length ?? 0;
  return [
    meanLogprob ?? -0.5,
    Math.max(-30, (meanLogprob ?? -0.5) * tokens),
    flag(meanLogprob === null),
    Math.log1p(text.length),
    Math.log1p(tokens),
    Math.log1p(lines.length - 1),
    Math.log1p(offset),
    flag(rest !== null && rest <= 2),
    flag(/^\s/.test(text)),
    flag(lines.some((line) => COMMENT.test(line))),
    words / (1 + words + symbols),
    flag(/[)\]};:]$/.test(body)),
    flag(/^[)\]};:,'"]*$/.test(body)),
    flag(/\w\(/.test(body)),
  ];
}

function placeFeatures({ prefix }: Offer): number[] {
  const line = prefix.slice(prefix.lastIndexOf('\n') + 1);
  const last = prefix.at(-1) ?? '\n';
  return [flag(line.trim() === ''), flag(COMMENT.test(line) || /\s(#|\/\/)\s/.test(line)), flag(/\w/.test(last)), flag(/[([{.,]/.test(last)), flag(/[=+\-*/<>:|&]/.test(line.trimEnd().at(-1) ?? '')), flag(/[ \t]/.test(last)), Math.log1p(line.trim().length)];
}

function outcomeFeatures(history: readonly PastOffer[]): number[] {
  const recent = history.slice(-RECENT);
  const share = (offers: readonly PastOffer[]): number => (offers.filter(({ accepted }) => accepted).length + PRIOR_ACCEPTS) / (offers.length + PRIOR_OFFERS);
  const lastAccept = history.findLastIndex(({ accepted }) => accepted);
  return [flag(history.at(-1)?.accepted === true), Math.log1p(history.length - 1 - lastAccept), share(recent), share(history), Math.log1p(history.length)];
}

/** log seconds; 10 minutes where there is nothing to count from. */
const logSeconds = (from: number | undefined, to: number): number => Math.log1p(from === undefined ? 600 : Math.min(600, Math.max(0, to - from) / 1000));

function timeFeatures(offer: Offer, history: readonly PastOffer[]): number[] {
  const last = history.at(-1);
  const recent = history.slice(-RECENT);
  const first = recent[0];
  const pace = first === undefined ? 0 : recent.length / Math.max(1, (offer.at - first.at) / 1000);
  const moved = last === undefined ? 0 : offer.offset - last.offset;
  return [
    logSeconds(last?.decidedAt, offer.at),
    logSeconds(last?.at, offer.at),
    logSeconds(history.findLast(({ accepted }) => accepted)?.decidedAt, offer.at),
    Math.log1p(pace),
    flag(moved > 0),
    flag(moved < 0),
    Math.log1p(Math.abs(moved)),
  ];
}

function repeatFeatures({ text, prefix }: Offer, history: readonly PastOffer[]): number[] {
  const body = text.trim();
  const same = history.filter((past) => past.text.trim() === body || (body.length > 3 && past.text.trim().endsWith(body)));
  const last = history.at(-1)?.text.trim() ?? '';
  return [Math.log1p(same.length), Math.log1p(same.filter(({ accepted }) => !accepted).length), flag(same.some(({ accepted }) => accepted)), flag(body.length > 3 && prefix.includes(body)), overlap(last, body)];
}

/** Share of the words of `b` that `a` has too. */
function overlap(a: string, b: string): number {
  const words = new Set(a.match(/\w+/g) ?? []);
  const own = b.match(/\w+/g) ?? [];
  return own.length === 0 ? 0 : own.filter((word) => words.has(word)).length / own.length;
}
