/**
 * How a task ended, by its tests: the outcome o of OpenClaw-RL's R_t = o + mean(step verdicts), on every
 * step that led to its last run. Pure. What is not known stays out: a single run has nothing before it,
 * and tests that the task itself edited prove nothing.
 */
import type { NextState, Observation, Turn } from '../journal/records.ts';
import { observed } from '../reward/verifiers.ts';

export type TaskOutcome = Extract<Observation, { kind: 'outcome' }>;

export interface TaskStep {
  turn: Turn;
  /** null = still open, e.g. an edit under review. */
  next: NextState | null;
}

const MOST_NAMES = 20;

/** @param steps of one task, in their order
 *  @returns null where the tests say nothing; `steps`: those up to the last run */
export function taskOutcome(steps: readonly TaskStep[]): { outcome: TaskOutcome; steps: TaskStep[] } | null {
  const runs = steps.flatMap((step, at) => (step.next === null ? [] : observed(step.next, 'tests').map((run) => ({ run, at }))));
  const [first, last] = [runs[0], runs.at(-1)];
  if (first === undefined || last === undefined) return null;
  const fixed = new Set<string>();
  const broken = new Set<string>();
  for (const { run } of runs.slice(1)) {
    // What broke on the way and was mended is neither.
    for (const name of run.fixed) if (!broken.delete(name)) fixed.add(name);
    for (const name of run.broken) if (!fixed.delete(name)) broken.add(name);
  }
  const score = scoreOf(fixed.size, broken.size, last.run, steps.slice(first.at, last.at));
  if (score === null) return null;
  const some = (names: ReadonlySet<string>): string[] => [...names].slice(0, MOST_NAMES);
  return { outcome: { kind: 'outcome', score, fixed: some(fixed), broken: some(broken), failures: last.run.failures ?? [] }, steps: steps.slice(0, last.at + 1) };
}

function scoreOf(fixed: number, broken: number, last: Extract<Observation, { kind: 'tests' }>, between: readonly TaskStep[]): 1 | -1 | null {
  if (broken > 0) return -1;
  if (fixed > 0) return last.testsEdited.length > 0 ? null : 1;
  const red = last.failed + last.errors > 0;
  const tried = between.some(({ turn }) => turn.modality === 'edit');
  return red && tried ? -1 : null;
}
