/**
 * How large the next step is: the rate follows what the gate said of the last ones. A refused step was
 * too large or led astray, so the next is half as large; a promoted one lets it grow again. While
 * held-out edits cannot tell a bad step from a good one, a quarter is the most.
 *
 * The hold on the base follows the golden set: the more of what may be forgotten is used up, the
 * stronger the texts of the base's own pull back, so that learning goes on below the bound instead of
 * being refused at it.
 */
import type { GateReport } from '../gate/gate.ts';
import { GATE } from '../gate/gate.ts';
import type { Journal } from '../journal/journal.ts';

export interface Pace {
  /** Share of the full learning rate, (0, 1]. */
  share: number;
  /** Share of what may be forgotten that what serves has used up, [0, 1]. */
  forgotten: number;
}

const UNPROVEN = 1 / 4;
const LEAST = 1 / 64;
const GROWTH = 1.2;
const NEW: Pace = { share: UNPROVEN, forgotten: 0 };

/** @param report  of the candidate; a refused one changes nothing of what is forgotten */
export function nextPace(pace: Pace, report: Pick<GateReport, 'passed' | 'decidedBy' | 'goldenChange'>): Pace {
  if (!report.passed) return { ...pace, share: Math.max(LEAST, pace.share / 2) };
  const most = report.decidedBy === 'heldOut' ? 1 : UNPROVEN;
  const forgotten = Math.min(1, Math.max(0, report.goldenChange / GATE.goldenLoss));
  return { share: Math.min(most, pace.share * GROWTH), forgotten };
}

/** 1 with nothing forgotten, 10 at the bound. */
export function hold({ forgotten }: Pace): number {
  return 1 + 9 * forgotten ** 2;
}

export function readPace(journal: Pick<Journal, 'get'>, workspace: string): Pace {
  return (journal.get(key(workspace)) as Pace | undefined) ?? NEW;
}

export function writePace(journal: Pick<Journal, 'set'>, workspace: string, pace: Pace): void {
  journal.set(key(workspace), pace);
}

function key(workspace: string): string {
  return `pace/${workspace}`;
}
