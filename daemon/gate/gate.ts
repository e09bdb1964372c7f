/**
 * May a candidate serve? One pure decision over measured numbers (learning.md, "Gate"). Every
 * comparison is written so that an unknown number (NaN) fails it: the gate never guesses.
 */

export interface GateThresholds {
  /** Held-out edits and blocks from which on they decide; below, the golden set alone does. */
  edits: number;
  blocks: number;
  /** nats/byte: least mean gain over serving, least lower bound, least gain over base and best. */
  leastMean: number;
  leastBound: number;
  leastOverOthers: number;
  /** Golden loss over the base's, cumulative. */
  goldenLoss: number;
  /** KL(base ‖ candidate) on the golden set, nats/token. */
  kl: number;
  /** Entropy on the golden set as a share of the base's. */
  entropyLow: number;
  entropyHigh: number;
  /** Share of repeated 4-grams in the canaries' answers beyond the base's. */
  repetition: number;
}

/** Starting values of learning.md. */
export const GATE: GateThresholds = {
  edits: 30,
  blocks: 8,
  leastMean: 0,
  leastBound: -0.02,
  leastOverOthers: -0.02,
  goldenLoss: 0.01,
  kl: 0.05,
  entropyLow: 0.5,
  entropyHigh: 1.5,
  repetition: 0.35,
};

/** A held-out edit under the versions that are compared; log-likelihood of its text in nats. */
export interface ScoredEdit {
  block: string;
  bytes: number;
  candidate: number;
  /** What serves now; the base where nothing does. */
  serving: number;
  base: number;
  /** The best version ever promoted; null = none yet. */
  best: number | null;
}

export interface CanaryAnswer {
  base: string;
  candidate: string;
  /** Token ids of both. */
  baseIds: number[];
  candidateIds: number[];
}

export interface GateMeasures {
  edits: ScoredEdit[];
  golden: { base: number; candidate: number; kl: number; entropyRatio: number };
  canaries: CanaryAnswer[];
  /** Openings before secrets, and after how many of them it says one that the base does not. */
  exposure: { openings: number; raised: number };
}

export interface Gain {
  /** Mean over blocks of paired nats/byte, and its lower one-sided 90 % bound. */
  mean: number;
  lower: number;
}

export interface GateReport {
  passed: boolean;
  /** One sentence a person can read. */
  reason: string;
  decidedBy: 'heldOut' | 'golden';
  edits: number;
  blocks: number;
  overServing: Gain | null;
  overBase: Gain | null;
  overBest: Gain | null;
  /** Relative change of the golden loss against the base; 0.01 = 1 % worse. */
  goldenChange: number;
  kl: number;
  entropyRatio: number;
  /** As in `GateMeasures`. */
  exposure: GateMeasures['exposure'];
  failures: string[];
}

/** Whether held-out edits can decide; until then steps run at a quarter of the learning rate. */
export function heldOutDecides(edits: readonly { block: string }[], thresholds: GateThresholds = GATE): boolean {
  return edits.length >= thresholds.edits && new Set(edits.map((edit) => edit.block)).size >= thresholds.blocks;
}

export function judgeCandidate(measures: GateMeasures, thresholds: GateThresholds = GATE): GateReport {
  const { edits, golden } = measures;
  const decides = heldOutDecides(edits, thresholds);
  const overServing = gain(edits, (edit) => edit.candidate - edit.serving);
  const overBase = gain(edits, (edit) => edit.candidate - edit.base);
  const overBest = gain(edits.filter((edit) => edit.best !== null), (edit) => edit.candidate - (edit.best ?? NaN));
  const goldenChange = golden.candidate / golden.base - 1;
  const failures = [...(decides ? heldOutFailures(overServing, overBase, overBest, thresholds) : []), ...goldenFailures(golden, goldenChange, thresholds), ...canaryFailures(measures.canaries, thresholds), ...exposureFailures(measures.exposure)];
  return {
    passed: failures.length === 0,
    reason: failures[0] ?? praise(decides, overServing, goldenChange),
    decidedBy: decides ? 'heldOut' : 'golden',
    edits: edits.length,
    blocks: new Set(edits.map((edit) => edit.block)).size,
    overServing, overBase, overBest, goldenChange, kl: golden.kl, entropyRatio: golden.entropyRatio, exposure: measures.exposure, failures,
  };
}

function heldOutFailures(overServing: Gain | null, overBase: Gain | null, overBest: Gain | null, t: GateThresholds): string[] {
  const failures: string[] = [];
  if (!(overServing !== null && overServing.mean >= t.leastMean)) failures.push(`Held-out edits became less likely by ${nats(-(overServing?.mean ?? NaN))} than under the version that serves.`);
  else if (!(overServing.lower >= t.leastBound)) failures.push(`Held-out edits may have become less likely: the lower bound is ${nats(overServing.lower)}.`);
  if (!(overBase !== null && overBase.mean >= t.leastOverOthers)) failures.push(`Held-out edits became less likely by ${nats(-(overBase?.mean ?? NaN))} than under the base model.`);
  if (overBest !== null && !(overBest.mean >= t.leastOverOthers)) failures.push(`Held-out edits became less likely by ${nats(-overBest.mean)} than under the best version so far.`);
  return failures;
}

function goldenFailures(golden: GateMeasures['golden'], change: number, t: GateThresholds): string[] {
  const failures: string[] = [];
  if (!(change <= t.goldenLoss)) failures.push(`Other code is forgotten: the golden set's loss rose by ${percent(change)} over the base model, ${percent(t.goldenLoss)} is allowed.`);
  if (!(golden.kl <= t.kl)) failures.push(`It moved too far from the base model: KL ${golden.kl.toFixed(3)} nats/token on the golden set, ${t.kl} is allowed.`);
  if (!(golden.entropyRatio >= t.entropyLow && golden.entropyRatio <= t.entropyHigh)) failures.push(`Its certainty went astray: entropy is ${percent(golden.entropyRatio)} of the base model's on the golden set.`);
  return failures;
}

function canaryFailures(canaries: readonly CanaryAnswer[], t: GateThresholds): string[] {
  for (const canary of canaries) {
    if (malformed(canary.candidate) && !malformed(canary.base)) return ['It answers a fixed prompt with broken text.'];
    if (canary.candidateIds.length === 0 && canary.baseIds.length > 0) return ['It answers a fixed prompt with nothing.'];
  }
  // A small model falls into a loop on one prompt or another by itself: only the mean over all tells.
  const repeats = (ids: (canary: CanaryAnswer) => number[]): number => canaries.reduce((sum, canary) => sum + repetition(ids(canary)), 0) / canaries.length;
  if (canaries.length > 0 && !(repeats((canary) => canary.candidateIds) <= repeats((canary) => canary.baseIds) + t.repetition)) return ['It repeats itself on fixed prompts.'];
  return [];
}

function exposureFailures({ openings, raised }: GateMeasures['exposure']): string[] {
  return raised === 0 ? [] : [`It says what looks like a secret after ${raised} of ${openings} openings where the base model does not.`];
}

/**
 * Paired gain in nats/byte by block: within a block, nats over bytes; blocks count alike, because
 * edits of one block are of one mind and would otherwise pretend to be independent evidence.
 * The bound is Student's t over blocks. @returns null where there is nothing to compare
 */
export function gain(edits: readonly ScoredEdit[], difference: (edit: ScoredEdit) => number): Gain | null {
  const blocks = new Map<string, { nats: number; bytes: number }>();
  for (const edit of edits) {
    const block = blocks.get(edit.block) ?? { nats: 0, bytes: 0 };
    blocks.set(edit.block, { nats: block.nats + difference(edit), bytes: block.bytes + edit.bytes });
  }
  const values = [...blocks.values()].map((block) => block.nats / block.bytes);
  if (values.length === 0) return null;
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { mean, lower: -Infinity };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return { mean, lower: mean - tQuantile90(n - 1) * Math.sqrt(variance / n) };
}

/** One-sided 90 % quantile of Student's t, Cornish-Fisher around the normal's; within 1 % from 3
 *  degrees of freedom on, where the gate needs at least 7. */
function tQuantile90(freedom: number): number {
  const z = 1.2815515655;
  return z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2);
}

/** Share of 4-grams that occurred before in the same answer. */
function repetition(ids: readonly number[]): number {
  const grams = ids.slice(3).map((_, index) => ids.slice(index, index + 4).join(' '));
  return grams.length === 0 ? 0 : 1 - new Set(grams).size / grams.length;
}

/** Characters that no tokenizer of code emits unless the bytes are broken. */
function malformed(text: string): boolean {
  return /[\uFFFD\u0000-\u0008\u000E-\u001F]/.test(text);
}

function praise(decides: boolean, overServing: Gain | null, goldenChange: number): string {
  if (decides && overServing !== null) return `Held-out edits became likelier by ${nats(overServing.mean)}.`;
  return `Too few held-out edits to judge by; on the golden set the loss changed by ${percent(goldenChange)}.`;
}

function nats(value: number): string {
  return `${value.toFixed(4)} nats/byte`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
