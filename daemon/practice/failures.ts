/** Tasks worth practising: the agent worked on them, and when it stopped the tests still failed. */
import type { Journal } from '../journal/journal.ts';
import { observed } from '../reward/verifiers.ts';

export interface FailedTask {
  task: string;
  /** What the user asked for. */
  request: string;
  at: number;
}

/** Turns that are looked through, the newest. */
const LOOKED_AT = 2000;

/** Tasks of a workspace whose last test run was red, the newest first, without those practised before.
 *  Held-out tasks never train, so they are not practised either. */
export function failedTasks(journal: Pick<Journal, 'turnsOf' | 'nextState' | 'get'>, workspace: string): FailedTask[] {
  const last = new Map<string, FailedTask & { red: boolean }>();
  for (const turn of journal.turnsOf({ workspace, role: 'main', split: 'train', limit: LOOKED_AT })) {
    const { action } = turn;
    const next = action === undefined ? null : journal.nextState(turn.id);
    const run = next === null ? undefined : observed(next, 'tests').at(-1);
    if (action === undefined || run === undefined) continue;
    const known = last.get(action.task);
    if (known === undefined || known.at < turn.offeredAt) last.set(action.task, { task: action.task, request: action.request, at: turn.offeredAt, red: run.failed + run.errors > 0 });
  }
  const failed = [...last.values()].filter(({ task, red }) => red && journal.get(practisedKey(task)) === undefined);
  return failed.sort((a, b) => b.at - a.at).map(({ task, request, at }) => ({ task, request, at }));
}

/** Where the journal keeps that a task was practised, and how that ended. */
export function practisedKey(task: string): string {
  return `practised/${task}`;
}
