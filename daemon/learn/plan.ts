/** Which tokens of a turn a sample may train, before any engine pass: the token arithmetic of
 *  learning.md's "Divergence" and routing table, as one pure function. */
import type { Hint, NextState, Sample, Turn } from '../journal/records.ts';
import { divergence, rewardedTokens } from '../hindsight/divergence.ts';
import type { Divergence } from '../hindsight/divergence.ts';
import type { Method } from './settings.ts';

export interface Plan {
  kind: Sample['route'];
  /** Leading response tokens that are context of the trained ones, the developer's own too. */
  shared: number;
  /** Developer's text from token `shared` on; '' where none is trained. */
  writtenText: string;
  /** Response tokens with a policy-gradient term, indices. */
  pg: number[];
  /** The token after `shared` is the response's and is punished. */
  contradicted: boolean;
  /** OPD may act at token `shared`: it was offered, and the developer's token there is known. */
  teachable: boolean;
  /** Supervised: first trained token, counted from the response's start. */
  from: number;
}

const EMPTY: Omit<Plan, 'kind'> = { shared: 0, writtenText: '', pg: [], contradicted: false, teachable: false, from: 0 };

export function planLesson({ sample, turn, next, hints }: { sample: Sample; turn: Turn; next: NextState; hints: readonly Hint[] }, method: Method): Plan | { masked: string } {
  if (turn.responseIds.length === 0) return { masked: 'The response is empty.' };
  const written = developerHint(hints) ?? next.developerText;
  const at = written === null ? null : divergence(turn, written);
  switch (sample.route) {
    case 'policyGradient':
      return (sample.advantage ?? 0) >= 0 ? rewarded(turn, next, at) : punished(turn, next, at);
    case 'distillation':
      return distilled(sample, turn, next, at, method);
    case 'sft':
      return supervised(turn, next, at);
  }
}

/** What the developer wrote, where it is a hint; other hints say something about the text, in words. */
export function developerHint(hints: readonly Hint[]): string | null {
  return hints.find(({ source }) => source === 'developer')?.text ?? null;
}

function rewarded(turn: Turn, next: NextState, at: Divergence | null): Plan | { masked: string } {
  const shared = rewardedTokens(turn, next, at);
  return shared === 0 ? { masked: 'No token of it was wholly accepted.' } : { kind: 'policyGradient', ...EMPTY, shared, pg: indices(shared) };
}

/** Only d: what precedes it was right, what follows it was never judged. */
function punished(turn: Turn, next: NextState, at: Divergence | null): Plan | { masked: string } {
  // Accepted, then taken out again with nothing in its place: the first token is where it went wrong.
  const removed = at === null && next.outcome === 'accepted' && (next.developerText ?? '').trim() === '';
  const token = at?.token ?? (removed ? 0 : null);
  if (token === null) return { masked: 'Where it went wrong is not known.' };
  if (at !== null && !at.offered) return { masked: 'The diverging token was never offered.' };
  return { kind: 'policyGradient', ...EMPTY, shared: token, pg: [token], contradicted: true };
}

function distilled(sample: Sample, turn: Turn, next: NextState, at: Divergence | null, method: Method): Plan | { masked: string } {
  if (at === null) return { masked: 'The developer’s text does not part from the response.' };
  if (at.developerText === null) return { masked: 'The divergence is inside a character.' };
  const teachable = method.distillation && at.offered;
  const pg = sample.advantage !== null && sample.advantage > 0 ? indices(rewardedTokens(turn, next, at)) : [];
  return { kind: 'distillation', ...EMPTY, shared: at.token, writtenText: at.developerText, pg, teachable };
}

/** Shared tokens are the developer's text too. */
function supervised(turn: Turn, next: NextState, at: Divergence | null): Plan | { masked: string } {
  if (at !== null && at.developerText === null) return { masked: 'The divergence is inside a character.' };
  const shared = at?.token ?? rewardedTokens(turn, { ...next, outcome: next.outcome === 'partial' ? 'partial' : 'accepted' }, null);
  const writtenText = at?.developerText ?? '';
  return shared === 0 && writtenText === '' ? { masked: 'The developer’s text is not known.' } : { kind: 'sft', ...EMPTY, shared, writtenText };
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
