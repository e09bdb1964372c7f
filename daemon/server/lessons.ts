/** What was suggested, what was written instead, and what became of it: the lessons of a workspace. */
import type { Lesson } from '../../protocol/learning.ts';
import type { Journal } from '../journal/journal.ts';
import type { Sample, Turn } from '../journal/records.ts';

/** Turns that are looked through for one lesson. */
const LOOKED_THROUGH = 8;

/** Newest first. */
export function latestLessons(journal: Journal, workspace: string, limit: number): Lesson[] {
  const samples = new Map(journal.samples({ workspace }).map((sample) => [sample.turn, sample]));
  const candidates = new Map(journal.steps({ workspace }).map(({ id, candidate }) => [id, candidate]));
  const turns = journal.turnsOf({ workspace, role: 'main', open: false, limit: LOOKED_THROUGH * limit });
  return turns.flatMap((turn) => lessonOf(journal, turn, samples.get(turn.id), candidates)).slice(0, limit);
}

function lessonOf(journal: Journal, turn: Turn, sample: Sample | undefined, candidates: ReadonlyMap<number, number | null>): Lesson[] {
  const verdict = journal.verdicts(turn.id).at(-1);
  const hint = journal.hints(turn.id)[0];
  if (verdict === undefined && hint === undefined) return [];
  const next = journal.known(turn.id);
  return [
    {
      turn: turn.id,
      at: turn.offeredAt,
      uri: turn.uri,
      offered: turn.held ?? turn.shownText,
      held: turn.held !== undefined,
      written: hint?.text ?? next?.developerText ?? null,
      outcome: next?.outcome ?? '',
      score: verdict?.score ?? null,
      evidence: verdict?.evidence ?? [],
      state: stateOf(turn, sample),
      version: sample?.state === 'consumed' && sample.step !== null ? (candidates.get(sample.step) ?? null) : null,
      reason: sample?.reason ?? null,
    },
  ];
}

function stateOf(turn: Turn, sample: Sample | undefined): Lesson['state'] {
  if (turn.split === 'holdout') return 'heldOut';
  if (sample === undefined) return 'none';
  return ({ ready: 'waiting', leased: 'waiting', consumed: 'learned', dropped: 'dropped' } as const)[sample.state];
}
