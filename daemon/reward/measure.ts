/** How often the verdicts agree with what is known to have happened in imported sessions. */
import type { Imported, ImportedTurn } from '../episodes/imports/imported.ts';
import { correctedBy, correctionIn } from '../hindsight/corrections.ts';
import type { Verdict } from '../journal/records.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import type { PolarityClassifier } from './classifier/polarity.ts';
import { readVerdict } from './reading.ts';
import { verifiedVerdict } from './verdict.ts';
import { observed } from './verifiers.ts';

interface Polarities {
  positive: number;
  negative: number;
  neutral: number;
}

export interface Measured {
  format: string;
  sessions: number;
  /** `ended`: the next state is that the session ended without another word. */
  turns: { replies: number; ended: number; withCommits: number; withCommitsAndNextState: number };
  /** By source. */
  verdicts: Record<Verdict['source'], Polarities>;
  /** Turns with commits that were taken back right after. */
  taken: { undone: number; negative: number; corrected: number; late: number };
  copied: { replies: number; positive: number; events: number };
  classifier: { read: number; spoke: number };
  /** The corrections that were found, for a person to check. */
  corrections: { turn: string; request: string; correction: string }[];
  problems: string[];
}

export async function measureVerdicts(imported: Imported, classifier: PolarityClassifier): Promise<Measured> {
  const none = (): Polarities => ({ positive: 0, negative: 0, neutral: 0 });
  const { format, sessions, turns, problems } = imported;
  const measured: Measured = {
    format, sessions, problems,
    turns: { replies: turns.length, ended: 0, withCommits: 0, withCommitsAndNextState: 0 },
    verdicts: { verifier: none(), explicit: none(), classifier: none(), judge: none() },
    taken: { undone: 0, negative: 0, corrected: 0, late: 0 },
    copied: { replies: 0, positive: 0, events: 0 },
    classifier: { read: 0, spoke: 0 },
    corrections: [],
  };
  let before: ImportedTurn | null = null;
  for (const one of turns) {
    const previous: ImportedTurn | null = before?.turn.session === one.turn.session ? before : null;
    await count(measured, one, previous, classifier);
    before = one;
  }
  return measured;
}

async function count(measured: Measured, one: ImportedTurn, before: ImportedTurn | null, classifier: PolarityClassifier): Promise<void> {
  const { turn, next } = one;
  const edits = turn.modality === 'edit';
  if ((next.observations ?? []).length === 0) measured.turns.ended++;
  if (edits) measured.turns.withCommits++;
  if (edits && next.turn === turn.id) measured.turns.withCommitsAndNextState++;
  let verdict = verifiedVerdict(turn, next, DEFAULT_SETTINGS, before?.turn ?? null);
  if (verdict === null && observed(next, 'message').length > 0) {
    measured.classifier.read++;
    verdict = await readVerdict(turn, next, classifier);
    if (verdict !== null) measured.classifier.spoke++;
  }
  if (verdict !== null) measured.verdicts[verdict.source][verdict.score > 0 ? 'positive' : verdict.score < 0 ? 'negative' : 'neutral']++;
  if (edits) countTaken(measured, one, verdict);
  const copies = observed(next, 'copied');
  if (copies.length === 0) return;
  measured.copied.replies++;
  measured.copied.events += copies.length;
  if ((verdict?.score ?? 0) > 0) measured.copied.positive++;
}

function countTaken(measured: Measured, { turn, next, after, late }: ImportedTurn, verdict: Verdict | null): void {
  if (late.length > 0) measured.taken.late++;
  if (observed(next, 'undone').length === 0) return;
  measured.taken.undone++;
  if ((verdict?.score ?? 0) < 0) measured.taken.negative++;
  const request = turn.action?.request ?? '';
  const correction = correctionIn(correctedBy(turn), after);
  if (correction === null) return;
  measured.taken.corrected++;
  measured.corrections.push({ turn: turn.id, request, correction });
}
