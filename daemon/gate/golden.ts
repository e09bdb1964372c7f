/**
 * The frozen golden set: forty texts in many styles, scored under the base once and under every
 * candidate. It answers what a developer's own edits cannot: has the rest been forgotten, how far
 * has the distribution moved, has it collapsed?
 */
import { createHash } from 'node:crypto';
import texts from '../../testdata/golden/texts.json' with { type: 'json' };
import type { Engine } from '../engine/engine.ts';
import type { Journal } from '../journal/journal.ts';
import { reportedKl } from '../hindsight/distill.ts';

export interface GoldenText {
  path: string;
  text: string;
}

export const GOLDEN_TEXTS: readonly GoldenText[] = texts;

/** Distributions are compared at every so many tokens; the loss is taken at all of them. */
const EVERY = 4;
const TOP_K = 20;

interface Row {
  /** [T] */
  ids: number[];
  /** Positions at which distributions are compared, and the base's top-K there. */
  positions: number[];
  topIds: number[][];
  topLogprobs: (number | null)[][];
}

export interface GoldenBase {
  rows: Row[];
  nats: number;
  bytes: number;
  /** Mean entropy over top-K and tail at the compared positions, nats. */
  entropy: number;
}

export interface GoldenScore {
  /** -log p of all texts, nats, and their bytes. */
  nats: number;
  bytes: number;
  /** KL(base ‖ candidate), nats per compared token. */
  kl: number;
  entropy: number;
}

/** The base's scores; once per model fingerprint and golden set, kept in the journal. */
export async function goldenBase(engine: Engine, journal: Pick<Journal, 'get' | 'set'>, set: readonly GoldenText[] = GOLDEN_TEXTS): Promise<GoldenBase> {
  const key = `golden/${engine.model.fingerprint}/${createHash('sha256').update(JSON.stringify(set)).digest('hex').slice(0, 16)}`;
  const known = journal.get(key) as GoldenBase | null | undefined;
  if (known) return known;
  const measured = await measureBase(engine, set);
  journal.set(key, measured);
  return measured;
}

async function measureBase(engine: Engine, set: readonly GoldenText[]): Promise<GoldenBase> {
  const { ids } = await engine.tokenize({ texts: set.map((item) => item.text) });
  const bos = engine.model.bos;
  const sequences = ids.map((own) => (bos === null ? own : [bos, ...own])).filter((own) => own.length > 1);
  const scored = await engine.score({ sequences: sequences.map((own) => ({ ids: own, positions: all(own) })), adapter: null, topK: TOP_K });
  const rows = sequences.map((own, index) => {
    const result = scored.sequences[index];
    const positions = all(own).filter((position) => position % EVERY === 0);
    return { ids: own, positions, topIds: positions.map((p) => result?.topIds[p - 1] ?? []), topLogprobs: positions.map((p) => result?.topLogprobs[p - 1] ?? []) };
  });
  return {
    rows,
    nats: -total(scored.sequences.flatMap((result) => result.logprobs)),
    bytes: total(set.map((item) => Buffer.byteLength(item.text, 'utf8'))),
    entropy: mean(rows.flatMap((row) => row.topLogprobs.map(entropy))),
  };
}

/** One pass of the candidate over the golden set. */
export async function scoreGolden(engine: Engine, adapter: string | null, base: GoldenBase): Promise<GoldenScore> {
  const { sequences } = await engine.score({
    sequences: base.rows.map((row) => ({ ids: row.ids, positions: all(row.ids), candidates: all(row.ids).map((position) => row.topIds[row.positions.indexOf(position)] ?? []) })),
    adapter,
    topK: 0,
  });
  const compared = base.rows.flatMap((row, index) =>
    row.positions.map((position, at) => ({ base: row.topLogprobs[at] ?? [], candidate: sequences[index]?.candidateLogprobs[position - 1] ?? [] })),
  );
  return {
    nats: -total(sequences.flatMap((result) => result.logprobs)),
    bytes: base.bytes,
    kl: mean(compared.map((pair) => reportedKl(pair.base, pair.candidate) ?? NaN)),
    entropy: mean(compared.map((pair) => entropy(pair.candidate))),
  };
}

/** Over the listed tokens, and the rest as one. */
function entropy(logprobs: readonly (number | null)[]): number {
  let sum = 0;
  let rest = 1;
  for (const logprob of logprobs) {
    if (logprob === null) return NaN;
    sum -= Math.exp(logprob) * logprob;
    rest -= Math.exp(logprob);
  }
  return rest > 1e-9 ? sum - rest * Math.log(rest) : sum;
}

function all(ids: readonly number[]): number[] {
  return Array.from({ length: ids.length - 1 }, (_, index) => index + 1);
}

/** An unknown among them makes the sum unknown: the gate then refuses, it does not guess. */
function total(values: readonly (number | null)[]): number {
  return values.reduce<number>((sum, value) => sum + (value ?? NaN), 0);
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? NaN : total(values) / values.length;
}
