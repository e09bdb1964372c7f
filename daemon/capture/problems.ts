/**
 * What the checkers say of a document, before and after: problems that came with text of the agent, that
 * went with it, and that stayed in lines which it wrote. Positions are those of the document's present version, as are the places
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
  /** Said before, and now of lines that the turn wrote: all there are, where that has changed. */
  remaining?: string[];
}

interface Standing {
  /** With whose text it came; null = nobody's. */
  turn: string | null;
  /** In whose lines it stands, that it did not come with. */
  in: string | null;
}

/** What is remembered of a document between two settlings: problems by their words. */
export type Known = ReadonlyMap<string, Standing>;

const MOST = 20;

/** @param before  null = the document was not looked at before: what is there now came with nobody
 *  @param since  turns whose text was taken since then: a single one has what went */
export function deltaOf(before: Known | null, problems: readonly Problem[], places: readonly Place[], since: readonly string[]): { known: Known; deltas: Delta[] } {
  const known = new Map<string, Standing>();
  const deltas = new Map<string, Delta>();
  const of = (turn: string): Delta => {
    const delta = deltas.get(turn) ?? { turn, added: [], resolved: [] };
    deltas.set(turn, delta);
    return delta;
  };
  const note = (turn: string, what: 'added' | 'resolved', words: string): void => {
    const delta = of(turn);
    if (delta[what].length < MOST) delta[what].push(words);
  };
  for (const one of problems) {
    const words = wordsOf(one);
    const was = before === null ? { turn: null } : before.get(words);
    const turn = was === undefined ? (one.turn ?? turnAt(one, places)) : was.turn;
    known.set(words, { turn, in: one.turn === turn ? null : one.turn });
    if (was === undefined && turn !== null) note(turn, 'added', words);
  }
  const [only, ...others] = since;
  for (const [words, { turn }] of before ?? []) {
    if (known.has(words)) continue;
    const whose = turn ?? (others.length === 0 ? only : undefined);
    if (whose !== undefined) note(whose, 'resolved', words);
  }
  const [stood, stands] = [remainingIn(before), remainingIn(known)];
  for (const turn of new Set([...stood.keys(), ...stands.keys()])) {
    const now = stands.get(turn) ?? [];
    if (now.join('\n') !== stood.get(turn)?.join('\n')) of(turn).remaining = now.slice(0, MOST);
  }
  return { known, deltas: [...deltas.values()] };
}

function remainingIn(known: Known | null): Map<string, string[]> {
  const remaining = new Map<string, string[]>();
  for (const [words, standing] of known ?? []) if (standing.in !== null) remaining.set(standing.in, [...(remaining.get(standing.in) ?? []), words]);
  return remaining;
}

function turnAt({ offset, length }: Problem, places: readonly Place[]): string | null {
  const inside = places.filter(({ start, end }) => offset < end && offset + Math.max(1, length) > start);
  const [only, ...others] = inside;
  return only !== undefined && others.length === 0 ? only.turn : null;
}

function wordsOf({ message, source }: Problem): string {
  return source === null ? message : `${source}: ${message}`;
}
