/** What a workspace's outcomes taught about choosing between proposals, in the journal. */
import { learnChoice, PRIOR } from '../agent/completion/choice.ts';
import type { ChoiceModel } from '../agent/completion/choice.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';

export function readChoice(journal: Pick<Journal, 'get'>, workspace: string): ChoiceModel {
  return (journal.get(key(workspace)) as ChoiceModel | undefined) ?? PRIOR;
}

/** A turn closed: what the developer wrote judges every proposal of it. Held-out turns teach nothing. */
export function observeChoice(journal: Pick<Journal, 'get' | 'set'>, turn: Turn, next: NextState): void {
  const written = next.developerText ?? (next.outcome === 'accepted' ? turn.shownText : null);
  if (turn.role !== 'main' || turn.split !== 'train' || turn.proposals === undefined || written === null) return;
  journal.set(key(turn.workspace), learnChoice(readChoice(journal, turn.workspace), turn.proposals, written));
}

function key(workspace: string): string {
  return `choice/${workspace}`;
}
