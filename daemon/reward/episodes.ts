/** Rewards of a task's steps from the outcome of the whole: what OpenClaw-RL calls process plus
 *  outcome (learning.md, "Episodes"). Pure. */

export interface EpisodeStep {
  task: string;
  /** Index of the step within its task. */
  step: number;
  /** Valid verdicts of the step, each in [-1, 1]; empty = none was valid. */
  verdicts: readonly number[];
  /** Of the whole episode. */
  outcome: -1 | 1;
}

const EPSILON = 1e-6;

/** R_t = o + mean(valid step verdicts); a step without one has the outcome alone. */
export function stepReturn({ outcome, verdicts }: Pick<EpisodeStep, 'outcome' | 'verdicts'>): number {
  return verdicts.length === 0 ? outcome : outcome + verdicts.reduce((sum, verdict) => sum + verdict, 0) / verdicts.length;
}

/**
 * Returns z-scored within (task, step index), by the population's standard deviation.
 * @returns one advantage a step, in order; 0 where a bucket has one step, null (dropped, not trained)
 *          where all returns of a bucket are the same
 */
export function episodeAdvantages(steps: readonly EpisodeStep[]): (number | null)[] {
  const returns = steps.map(stepReturn);
  const buckets = new Map<string, number[]>();
  steps.forEach(({ task, step }, index) => {
    const key = JSON.stringify([task, step]);
    buckets.set(key, [...(buckets.get(key) ?? []), index]);
  });
  const advantages: (number | null)[] = steps.map(() => null);
  for (const members of buckets.values()) {
    const values = members.map((index) => returns[index] ?? 0);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    members.forEach((index, i) => {
      if (members.length === 1) advantages[index] = 0;
      else if (deviation > EPSILON) advantages[index] = ((values[i] ?? 0) - mean) / (deviation + EPSILON);
    });
  }
  return advantages;
}
