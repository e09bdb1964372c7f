/** The papers' two figures: how personal the first reply has become, and how long that took. Pure. */
import type { SessionRecord } from './personal.ts';

/** Content so many times in a row, from the first reply on. */
const IN_A_ROW = 3;

export interface UpdateScore {
  /** AdamW steps taken when these first replies were written. */
  updates: number;
  sessions: number;
  /** Mean share of the persona's rules that they keep. */
  score: number;
}

/** Mean first-reply score between each two updates. */
export function scorePerUpdate(sessions: readonly SessionRecord[]): UpdateScore[] {
  const byUpdate = new Map<number, number[]>();
  for (const { updates, score } of sessions) byUpdate.set(updates, [...(byUpdate.get(updates) ?? []), score]);
  return [...byUpdate].map(([updates, scores]) => ({ updates, sessions: scores.length, score: scores.reduce((sum, one) => sum + one, 0) / scores.length }));
}

/** Personalisation score after a number of updates: that of the sessions from there to the next
 *  update that the papers name, or to the end; null where no session was that late. */
export function personalisation(sessions: readonly SessionRecord[], updates: number, before = Infinity): number | null {
  const late = sessions.filter((one) => one.updates >= updates && one.updates < before);
  return late.length === 0 ? null : late.reduce((sum, { score }) => sum + score, 0) / late.length;
}

/** Sessions until three in a row whose first reply satisfied, those three included; null = it never came. */
export function sessionsToAlignment(sessions: readonly SessionRecord[]): number | null {
  for (let at = 0; at + IN_A_ROW <= sessions.length; at += 1) {
    if (sessions.slice(at, at + IN_A_ROW).every(({ satisfied }) => satisfied)) return at + IN_A_ROW;
  }
  return null;
}
