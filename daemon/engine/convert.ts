/** Between the wire's plain arrays (null = unknown, ragged rows) and the addon's typed ones (NaN, -1). */
import type { LossSettings, ScoreResult, TrainSequence } from '../../protocol/engine.ts';
import type * as native from '../../native/index.ts';

type Numbers = readonly (number | null)[];

export function floats(values: Numbers): Float32Array {
  return Float32Array.from(values, (value) => value ?? Number.NaN);
}

/** What JSON cannot say (NaN, ±∞) travels as null. */
export function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

export function numbers(values: Float32Array): (number | null)[] {
  return Array.from(values, known);
}

/** Ragged rows to [rows][k], filled up. */
function table<T>(rows: readonly (readonly T[])[], k: number, fill: number, of: (value: T) => number): number[] {
  return rows.flatMap((row) => Array.from({ length: k }, (_, i) => (i < row.length ? of(row[i] as T) : fill)));
}

function width(rows: readonly (readonly unknown[])[]): number {
  return rows.reduce((most, row) => Math.max(most, row.length), 0);
}

export function idTable(rows: readonly (readonly number[])[]): { k: number; tokens: Int32Array } {
  const k = width(rows);
  return { k, tokens: Int32Array.from(table(rows, k, -1, (id) => id)) };
}

function floatTable(rows: readonly Numbers[], k: number): Float32Array {
  return Float32Array.from(table(rows, k, Number.NaN, (value) => value ?? Number.NaN));
}

function rows<T>(flat: readonly T[], counts: readonly number[], stride: number): T[][] {
  return counts.map((count, row) => flat.slice(row * stride, row * stride + count));
}

/** @param candidates of the request; the answer has the same shape */
export function scored(result: native.ScoreResult, positions: number, candidates: readonly (readonly number[])[] | undefined): ScoreResult['sequences'][number] {
  const k = positions === 0 ? 0 : result.topIds.length / positions;
  const ks = Array.from({ length: positions }, () => k);
  return {
    logprobs: numbers(result.logprobs),
    topIds: rows(Array.from(result.topIds), ks, k),
    topLogprobs: rows(numbers(result.topLogprobs), ks, k),
    candidateLogprobs: candidates ? rows(numbers(result.candidateLogprobs), candidates.map((row) => row.length), width(candidates)) : [],
  };
}

export function trainSequence(sequence: TrainSequence): native.TrainSequence {
  const { pg, opd, splice, kl, ce } = sequence;
  const at = (term: { positions: number[] }): { positions: Int32Array } => ({ positions: Int32Array.from(term.positions) });
  const opdTable = opd && idTable(opd.tokens);
  const spliceTable = splice && idTable(splice.tokens);
  return {
    ids: Int32Array.from(sequence.ids),
    temperature: sequence.temperature,
    ...(pg && { pg: { ...at(pg), advantages: floats(pg.advantages), ...(pg.old && { old: floats(pg.old) }), ...(pg.behaviour && { behaviour: floats(pg.behaviour) }) } }),
    ...(opd && opdTable && { opd: { ...at(opd), ...opdTable, delta: floatTable(opd.delta, opdTable.k), weights: floatTable(opd.weights, opdTable.k), ...(opd.old && { old: floatTable(opd.old, opdTable.k) }) } }),
    ...(splice && spliceTable && { splice: { ...at(splice), ...spliceTable, targets: floatTable(splice.targets, spliceTable.k) } }),
    ...(kl && { kl: at(kl) }),
    ...(ce && { ce: at(ce) }),
  };
}

export function lossSettings(settings: LossSettings): native.LossSettings {
  return { ...settings, divisor: { ...settings.divisor } };
}
