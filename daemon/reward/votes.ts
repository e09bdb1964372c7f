/** What a judge's answers are worth: parsing of one vote, the majority of several, fences around
 *  text that nobody vouches for. Pure; the judge itself is asked elsewhere. */
import { z } from 'zod';

export type Score = -1 | 0 | 1;

export interface Vote {
  score: Score;
  hint: string | null;
}

/** A judge's hint says something from this trimmed length on. */
export const LEAST_HINT_LENGTH = 11;

const voteSchema = z.object({
  score: z.union([z.literal(-1), z.literal(0), z.literal(1)]),
  hint: z.string().nullable().default(null),
});

/** Plurality of the valid votes; a tie is 0, no valid vote is no verdict (null), never 0. */
export function majority(votes: readonly (Score | null)[]): Score | null {
  const valid = votes.filter((vote): vote is Score => vote !== null);
  if (valid.length === 0) return null;
  const count = (score: Score): number => valid.filter((vote) => vote === score).length;
  const ranked = ([-1, 0, 1] as const).map((score) => ({ score, votes: count(score) })).sort((a, b) => b.votes - a.votes);
  const [first, second] = ranked;
  return first === undefined || second === undefined || first.votes === second.votes ? 0 : first.score;
}

/** A vote as JSON `{"score": -1|0|1, "hint": string|null}`, alone or in a code fence; the last
 *  object that is a vote counts. A hint that says nothing is null. Anything else is invalid. */
export function parseVote(text: string): Vote | null {
  for (const candidate of [...text.matchAll(/\{[^{}]*\}/g)].reverse()) {
    const vote = voteSchema.safeParse(parseJson(candidate[0]));
    if (vote.success) return { score: vote.data.score, hint: usableHint(vote.data.hint) };
  }
  return null;
}

/** Compatibility with OpenClaw-RL's first judge: the last `\boxed{digit}` decides, and only -1, 0
 *  and 1 are votes. `\boxed{ 1 }` and `\boxed{10}` are not boxes of a digit. */
export function parseBoxed(text: string): Score | null {
  const last = [...text.matchAll(/\\boxed\{([-+]?\d)\}/g)].at(-1)?.[1];
  const value = last === undefined ? NaN : Number(last);
  return value === 1 || value === -1 || value === 0 ? (value === 0 ? 0 : value) : null;
}

/** Text that pretends to be more than words: a verdict, a hint's heading, a fence, a turn of a conversation. */
const MARKER = /\\boxed\s*\{|\[user['’]s hint \/ instruction\]|⟦|<\|[^<>|\n]*\|>|<\/?tool_(?:call|response)>|\{\s*"score"\s*:/i;

export function hasMarkers(text: string): boolean {
  return MARKER.test(text);
}

/** @returns the trimmed hint, or null where it is too short to teach anything, or pretends to be more than a hint */
export function usableHint(hint: string | null): string | null {
  const trimmed = hint?.trim() ?? '';
  return trimmed.length < LEAST_HINT_LENGTH || hasMarkers(trimmed) ? null : trimmed;
}

/**
 * Untrusted text between two lines that only this request knows. The marker cannot occur inside:
 * the nonce is random (the caller draws at least 96 bits), and any copy of it is broken up; control
 * and special-token spellings lose their meaning by an inserted zero-width space.
 */
export function fence(text: string, nonce: string): string {
  const inert = text.replaceAll(nonce, `${nonce.slice(0, 4)}…`).replace(/<\|/g, '<\u200b|').replace(/\\boxed\{/g, '\\boxed\u200b{');
  return `⟦${nonce}⟧\n${inert}\n⟦/${nonce}⟧`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
