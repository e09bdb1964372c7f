/** What a verdict leaves in the journal: itself, hints, the baseline's next value, and maybe a sample.
 *  Each function is one part of the caller's transaction. */
import { firstLines } from '../capture/tracking.ts';
import { hintsOf } from '../hindsight/hints.ts';
import type { Journal } from '../journal/journal.ts';
import type { Hint, LateEvidence, NextState, Turn, Verdict } from '../journal/records.ts';
import { observe, readBaselines, writeBaselines } from '../learn/baseline.ts';
import { route } from '../learn/routing.ts';
import { METHODS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { correctionVerdict } from '../reward/late.ts';

export interface Lesson {
  turn: Turn;
  verdict: Verdict | null;
  hints: readonly Hint[];
  /** Id of the sample; null = it trains nothing. */
  sample: number | null;
}

/** The first, provisional judgement of a closed turn. */
export function recordLesson(journal: Journal, settings: LearnSettings, turn: Turn, next: NextState, verdict: Verdict | null, hints: readonly Hint[]): Lesson {
  if (verdict !== null) journal.insertVerdict(verdict);
  for (const hint of hints) journal.insertHint(hint);
  const baselines = readBaselines(journal, turn.workspace);
  const routed = route(verdict, hints, turn, next, METHODS[settings.method], baselines);
  if (verdict !== null) writeBaselines(journal, turn.workspace, observe(baselines, turn, verdict, next));
  const sample = routed && journal.insertSample({ turn: turn.id, workspace: turn.workspace, version: turn.adapter ?? 0, ...routed });
  return { turn, verdict, hints, sample };
}

/**
 * Late evidence on a closed turn. Where it turns a good outcome bad (or the other way), a sample of
 * the opposite sign is added; the one before it is dropped if no step has taken it yet. What is said of
 * an action only later teaches beside what its verdict trained.
 * @returns null where the evidence changes nothing, or nothing yet
 */
export function recordEvidence(journal: Journal, settings: LearnSettings, evidence: LateEvidence): Lesson | null {
  const turn = journal.turn(evidence.turn);
  const next = journal.nextState(evidence.turn);
  if (turn === null) return null;
  journal.insertEvidence(evidence);
  // Of an open turn: it counts when its next state is known.
  if (next === null) return null;
  const verdicts = journal.verdicts(turn.id);
  const verdict = correctionVerdict(turn, next, journal.evidence(turn.id), verdicts, settings, journal.actionBefore(turn));
  const known = journal.known(turn.id) ?? next;
  const hints = turn.action !== undefined ? newHints(journal, turn, known, evidence.at) : verdict === null ? [] : correctedHints(turn, known, evidence);
  if (verdict === null && hints.length === 0) return null;
  for (const hint of hints) journal.insertHint(hint);
  if (verdict !== null) recordCorrection(journal, turn, known, verdict, verdicts);
  const turned = verdict !== null && Math.sign(verdicts.at(-1)?.score ?? 0) !== Math.sign(verdict.score);
  // Words on their own teach what they say, and reward nothing.
  const routed = turned || turn.action !== undefined ? route(turned ? verdict : null, hints, turn, known, METHODS[settings.method], readBaselines(journal, turn.workspace)) : null;
  if (routed === null) return { turn, verdict, hints, sample: null };
  if (turned) journal.dropReady(turn.id, 'What became known later says the opposite.');
  const sample = journal.insertSample({ turn: turn.id, workspace: turn.workspace, version: turn.adapter ?? 0, ...routed });
  return { turn, verdict, hints, sample };
}

function recordCorrection(journal: Journal, turn: Turn, known: NextState, verdict: Verdict, before: readonly Verdict[]): void {
  journal.insertVerdict(verdict);
  // Verified now: no model needs to guess.
  journal.endJudging(turn.id);
  if (before.length === 0) writeBaselines(journal, turn.workspace, observe(readBaselines(journal, turn.workspace), turn, verdict, known));
}

function newHints(journal: Journal, turn: Turn, known: NextState, at: number): Hint[] {
  const had = journal.hints(turn.id);
  return hintsOf(turn, known, at).filter(({ source, text }) => !had.some((one) => one.source === source && one.text === text));
}

/** What stands there now is what should have been written, where it is text of the developer's. */
function correctedHints(turn: Turn, known: NextState, evidence: LateEvidence): Hint[] {
  if (turn.modality !== 'completion' || evidence.kind !== 'survival' || evidence.written === null) return [];
  const lines = turn.rawText.replace(/\n$/, '').split('\n').length;
  return hintsOf(turn, { ...known, developerText: firstLines(evidence.written, lines) }, evidence.at);
}
