/**
 * What is kept away from training so that a candidate can be judged on it. The draw is a hash of the
 * block, made before anything is known of an outcome, so that neither chance of the day nor a
 * restart moves a turn from one side to the other.
 */
import { createHash } from 'node:crypto';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';

const BLOCK_MS = 30 * 60 * 1000;
/** At most so many held-out edits judge a candidate, the latest of every block first. */
const MAX_EDITS = 64;
/** Turns that are looked at to find them. */
const LOOK_BACK = 600;
/** Longest stretch of an edit that is scored, bytes; cut at a line's end where there is one. */
const MAX_BYTES = 160;

/** Turns of one file within half an hour are of one mind; they are held out together or not at all. */
export function blockOf(uri: string, at: number): string {
  return `${uri}#${Math.floor(at / BLOCK_MS)}`;
}

/** @param share of blocks that is held out, [0, 1] */
export function splitOf(block: string, share: number): Turn['split'] {
  const draw = createHash('sha256').update(block).digest().readUIntBE(0, 6) / 2 ** 48;
  return draw < share ? 'holdout' : 'train';
}

/** An edit that no training ever saw: what the developer wrote after a prompt that was served. */
export interface HeldOutEdit {
  turn: string;
  block: string;
  promptIds: number[];
  text: string;
}

/** The latest held-out edits, spread over blocks: the newest of each block, then the second newest …
 *  @param fingerprint  of the base that is judged: token ids of another mean other text */
export function heldOutEdits(journal: Pick<Journal, 'turnsOf' | 'nextState'>, workspace: string, fingerprint: string): HeldOutEdit[] {
  const blocks = new Map<string, HeldOutEdit[]>();
  for (const turn of journal.turnsOf({ workspace, split: 'holdout', role: 'main', open: false, limit: LOOK_BACK })) {
    if (turn.fingerprint !== fingerprint) continue;
    const text = writtenText(turn, journal.nextState(turn.id));
    if (text === null) continue;
    const edits = blocks.get(turn.block) ?? [];
    edits.push({ turn: turn.id, block: turn.block, promptIds: turn.promptIds, text });
    blocks.set(turn.block, edits);
  }
  return roundRobin([...blocks.values()], MAX_EDITS);
}

function writtenText(turn: Turn, next: NextState | null): string | null {
  if (next === null) return null;
  const text = next.developerText ?? (next.outcome === 'accepted' ? turn.shownText : null);
  return text === null || text.trim() === '' ? null : firstStretch((turn.healed ?? '') + text);
}

function firstStretch(text: string): string {
  const start = text.search(/\S/);
  const end = text.indexOf('\n', start);
  const line = end < 0 ? text : text.slice(0, end + 1);
  return Buffer.byteLength(line, 'utf8') <= MAX_BYTES ? line : line.slice(0, MAX_BYTES);
}

function roundRobin<T>(groups: readonly T[][], limit: number): T[] {
  const taken: T[] = [];
  for (let rank = 0; taken.length < limit; rank++) {
    const row = groups.flatMap((group) => group.slice(rank, rank + 1));
    if (row.length === 0) break;
    taken.push(...row.slice(0, limit - taken.length));
  }
  return taken;
}
