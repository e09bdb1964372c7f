/** How likely the engine finds given texts: the replay's `nextEditLogLikPerByte` and `forgettingPct`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import type { Engine } from '../engine/engine.ts';

/** A text that may follow a prompt. */
export interface Continuation {
  promptIds: readonly number[];
  /** White space that the prompt leaves to what follows it (Turn.healed). */
  healed: string;
  text: string;
}

/** Sequences of one call; together with their prompts they stay far below the message limit. */
const BATCH = 16;

/** log p of each continuation after its prompt, in nats, at temperature 1.
 *  @param adapter  engine name; null = the base model alone
 *  @throws internal where a token cannot be scored: an unknown number must not become a figure */
export async function logLikelihoods(engine: Engine, continuations: readonly Continuation[], adapter: string | null): Promise<number[]> {
  const nats: number[] = [];
  for (let from = 0; from < continuations.length; from += BATCH) {
    const batch = continuations.slice(from, from + BATCH);
    const { ids } = await engine.tokenize({ texts: batch.map((c) => c.healed + c.text) });
    const { sequences } = await engine.score({
      sequences: batch.map(({ promptIds }, index) => {
        const own = ids[index] ?? [];
        return { ids: [...promptIds, ...own], positions: own.map((_, at) => promptIds.length + at) };
      }),
      adapter,
      topK: 0,
    });
    nats.push(...sequences.map(({ logprobs }) => logprobs.reduce<number>((sum, value) => sum + known(value), 0)));
  }
  return nats;
}

function known(value: number | null): number {
  if (value === null || !Number.isFinite(value)) throw new HindsightError('internal', { message: 'the engine could not score a line of the replay' });
  return value;
}

/** Loss of the adapter on unrelated texts against the base model's, %; positive = forgot. */
export async function forgetting(engine: Engine, texts: readonly string[], adapter: string | null): Promise<number> {
  if (adapter === null) return 0;
  const { ids } = await engine.tokenize({ texts: [...texts] });
  const bos = engine.model.bos === null ? [] : [engine.model.bos];
  const sequences = ids.map((own) => [...bos, ...own]).map((own) => ({ ids: own, positions: own.slice(1).map((_, at) => at + 1) }));
  const loss = async (name: string | null): Promise<number> => {
    const scored = await engine.score({ sequences, adapter: name, topK: 0 });
    return -scored.sequences.flatMap((s) => s.logprobs).reduce<number>((sum, value) => sum + known(value), 0);
  };
  return 100 * ((await loss(adapter)) / (await loss(null)) - 1);
}

/** Texts of a folder, in the order of their names; its README is about them. */
export function unrelatedTexts(dir: string): string[] {
  return readdirSync(dir).filter((name) => !name.endsWith('.md')).sort().map((name) => readFileSync(join(dir, name), 'utf8'));
}
