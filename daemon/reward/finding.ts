/** What one verifier makes of a next state, before anything is weighed against anything else. */
import type { NextState, Turn, Verdict } from '../journal/records.ts';

export interface Finding {
  /** [-1, 1] */
  score: number;
  /** [0, 1] */
  confidence: number;
  source: Verdict['source'];
  /** One sentence a person can read. */
  evidence: string;
}

/** Pure; null = it has nothing to say. */
export type Verifier = (turn: Turn, next: NextState) => Finding | null;

export function finding(score: number, confidence: number, evidence: string, source: Verdict['source'] = 'verifier'): Finding {
  return { score, confidence, source, evidence };
}

/** First lines of a list, for evidence. */
export function some(items: readonly string[], most = 3): string {
  const shown = items.slice(0, most).map((item) => `"${oneLine(item)}"`).join(', ');
  return items.length > most ? `${shown} and ${items.length - most} more` : shown;
}

export function oneLine(text: string, most = 100): string {
  const line = text.trim().split('\n')[0] ?? '';
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}
