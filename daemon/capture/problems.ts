/**
 * What the checkers say of a document, before and after: problems that came with text of the agent, and
 * problems that went with it. Positions are those of the document's present version, as are the places
 * of the turns, so that a problem is a turn's own if it stands in what the turn wrote. Pure.
 */
import type { Problem } from '../../protocol/signals.ts';

/** Where text of a turn stands now, UTF-16 units. */
export interface Place {
  turn: string;
  start: number;
  end: number;
}

export interface Delta {
  turn: string;
  added: string[];
  resolved: string[];
}

/** What is remembered of a document between two settlings: problems by their words, with their turn. */
export type Known = ReadonlyMap<string, string | null>;

const MOST = 20;

/** @param before  null = the document was not looked at before: what is there now says nothing
 *  @param since  turns whose text was taken since then: a single one has what went */
export function deltaOf(before: Known | null, problems: readonly Problem[], places: readonly Place[], since: readonly string[]): { known: Known; deltas: Delta[] } {
  const known = new Map<string, string | null>();
  const deltas = new Map<string, Delta>();
  const of = (turn: string): Delta => {
    const delta = deltas.get(turn) ?? { turn, added: [], resolved: [] };
    deltas.set(turn, delta);
    return delta;
  };
  for (const one of problems) {
    const words = wordsOf(one);
    if (before === null || before.has(words)) {
      known.set(words, before?.get(words) ?? null);
      continue;
    }
    const turn = one.turn ?? turnAt(one, places);
    known.set(words, turn);
    if (turn !== null && of(turn).added.length < MOST) of(turn).added.push(words);
  }
  const [only, ...others] = since;
  for (const [words, turn] of before ?? []) {
    if (known.has(words)) continue;
    const whose = turn ?? (others.length === 0 ? only : undefined);
    if (whose !== undefined && of(whose).resolved.length < MOST) of(whose).resolved.push(words);
  }
  return { known, deltas: [...deltas.values()] };
}

function turnAt({ offset, length }: Problem, places: readonly Place[]): string | null {
  const inside = places.filter(({ start, end }) => offset < end && offset + Math.max(1, length) > start);
  const [only, ...others] = inside;
  return only !== undefined && others.length === 0 ? only.turn : null;
}

function wordsOf({ message, source }: Problem): string {
  return source === null ? message : `${source}: ${message}`;
}
