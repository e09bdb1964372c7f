/**
 * Which of two proposals is shown: the model's answer or what was recalled. Each is worth the
 * characters that the developer is expected to keep of it: its length times the share of it that is
 * kept, by a logistic model of what is known before it is shown. Every outcome tells what both
 * would have been worth, because the developer's own text judges the one that was not shown, too.
 */

export type ProposalSource = 'model' | 'recall';

export interface Proposal {
  source: ProposalSource;
  text: string;
  /** See `modelFeatures` and `recallFeatures`; the first is 1. */
  features: number[];
}

/** Weights by source; plain data, kept per workspace. */
export type ChoiceModel = Record<ProposalSource, number[]>;

/** What outcomes of many replays look like on average, by hand and in round numbers: a recall is kept
 *  by half at an agreement of 20 characters, an answer of the model by half where it is all but
 *  certain. What a workspace teaches is added to it. */
export const PRIOR: ChoiceModel = {
  recall: [-4, 0.9, 0.3, 1, 0, 0.5],
  model: [0, 3, 0.5, -0.5, 0.5],
};

/** Adds to the log-odds at 1 nat: how much one outcome moves a weight at most. */
const RATE = 0.15;
/** Share of a weight's distance to the prior that is given up per outcome. */
const DECAY = 0.002;
/** Characters under which a common beginning is not worth a key press. */
const LEAST_KEPT = 8;

export function modelFeatures(logprobs: readonly (number | null)[], midLine: boolean, recalled: string | null, text: string): number[] {
  const known = logprobs.filter((value) => value !== null);
  const mean = known.length === 0 ? -3 : known.reduce((sum, value) => sum + value, 0) / known.length;
  return [1, Math.max(-3, mean), Math.exp(known[0] ?? -3), recalled === null ? 0 : 1, recalled !== null && agreesWith(text, recalled) ? 1 : 0];
}

export function recallFeatures(recalled: { match: number; agreement: number; own: boolean }, midLine: boolean, text: string, answer: string): number[] {
  return [1, Math.log2(recalled.match), recalled.own ? 1 : 0, recalled.agreement, midLine ? 1 : 0, agreesWith(text, answer) ? 1 : 0];
}

/** Expected characters kept. */
export function worth(proposal: Proposal, model: ChoiceModel): number {
  return keptShare(proposal, model) * firstLine(proposal.text).length;
}

export function keptShare(proposal: Proposal, model: ChoiceModel): number {
  return 1 / (1 + Math.exp(-keptOdds(proposal, model)));
}

/** Log-odds of the share that is kept. */
export function keptOdds({ source, features }: Proposal, model: ChoiceModel): number {
  return dot(model[source], features);
}

/** The worthier proposal. */
export function choose(proposals: readonly Proposal[], model: ChoiceModel): Proposal | null {
  let best: Proposal | null = null;
  for (const proposal of proposals) if (proposal.text !== '' && (best === null || worth(proposal, model) > worth(best, model))) best = proposal;
  return best;
}

/** One step of logistic regression per proposal towards the share of it that the developer wrote. */
export function learnChoice(model: ChoiceModel, proposals: readonly Proposal[], written: string): ChoiceModel {
  const next: ChoiceModel = { model: [...model.model], recall: [...model.recall] };
  for (const proposal of proposals) {
    if (proposal.text === '') continue;
    const error = shareWritten(proposal.text, written) - keptShare(proposal, next);
    const norm = 1 + proposal.features.reduce((sum, value) => sum + value * value, 0);
    next[proposal.source] = next[proposal.source].map((weight, index) => {
      const prior = PRIOR[proposal.source][index] ?? 0;
      return weight + (RATE * error * (proposal.features[index] ?? 0) * 4) / norm - DECAY * (weight - prior);
    });
  }
  return next;
}

/** Share of a proposal's first line that stands in what the developer wrote: a whole line, or a
 *  beginning that is long enough to take and ends with a word. */
export function shareWritten(proposal: string, written: string): number {
  const [own, theirs] = [firstLine(proposal), firstLine(written)];
  if (own === '' || own === theirs) return own === '' ? 0 : 1;
  let length = 0;
  while (length < own.length && length < theirs.length && own[length] === theirs[length]) length++;
  while (length > 0 && /\w/.test(own[length - 1] ?? '') && (/\w/.test(own[length] ?? '') || /\w/.test(theirs[length] ?? ''))) length--;
  return length < LEAST_KEPT ? 0 : length / own.length;
}

function agreesWith(a: string, b: string): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  const length = Math.min(LEAST_KEPT, short.length);
  return length > 0 && short.slice(0, length) === long.slice(0, length);
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').trimEnd();
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}
