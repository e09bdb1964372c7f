/**
 * Hinted self-distillation, the numbers: which tokens are compared, how far the teacher would move
 * each of them, and how much each counts (learning.md, "Support", "Splice"; OpenClaw-RL v2, A_v).
 * null is "unknown" everywhere and masks; it never becomes 0.
 */
type Known = number | null;

export interface Support {
  tokens: number[];
  /** log p of each token under the student, the step's starting weights. */
  student: number[];
  /** softmax of `student` over the support, the developer's token lifted to its floor; sums to 1. */
  weights: number[];
}

/**
 * S = the student's own top K and the developer's token, whose weight is at least `floor` before
 * renormalising: a token the student does not think of would otherwise never be raised.
 * @returns null where nothing of it is known
 */
export function support(topIds: readonly number[], topLogprobs: readonly Known[], developer: { token: number; logprob: Known }, floor: number): Support | null {
  const entries = topIds.flatMap((token, index) => pair(token, topLogprobs[index] ?? null));
  if (!entries.some((entry) => entry.token === developer.token)) entries.push(...pair(developer.token, developer.logprob));
  if (entries.length === 0) return null;
  const plain = softmax(entries.map((entry) => entry.logprob));
  const lifted = entries.map((entry, index) => (entry.token === developer.token ? Math.max(floor, plain[index] ?? 0) : (plain[index] ?? 0)));
  const total = sum(lifted);
  return { tokens: entries.map((entry) => entry.token), student: entries.map((entry) => entry.logprob), weights: lifted.map((weight) => weight / total) };
}

/** D_v = clip(log p_teacher(v) - log p_student(v), ±clip); unknown stays unknown. Both must come of
 *  the same engine pass settings: a temperature mismatch alone makes every D non-zero.
 *  @param student  or with contrast the teacher under an unrelated hint, see contrast.ts */
export function delta(teacher: readonly Known[], student: readonly Known[], clip: number): Known[] {
  return student.map((own, index) => {
    const other = teacher[index] ?? null;
    return other === null || own === null ? null : Math.max(-clip, Math.min(clip, other - own));
  });
}

export interface Target {
  tokens: number[];
  /** Probabilities over `tokens`, sum 1; constant in the loss. */
  targets: number[];
}

/** Splice: the hinted teacher's distribution over its own top K and the developer's token, which
 *  gets at least `floor`. @returns null where the teacher is unknown */
export function spliceTarget(topIds: readonly number[], topLogprobs: readonly Known[], developer: { token: number; logprob: Known }, floor: number): Target | null {
  const entries = topIds.flatMap((token, index) => pair(token, topLogprobs[index] ?? null));
  if (!entries.some((entry) => entry.token === developer.token)) entries.push(...pair(developer.token, developer.logprob));
  if (!entries.some((entry) => entry.token === developer.token)) return null;
  const plain = softmax(entries.map((entry) => entry.logprob));
  const own = plain[entries.findIndex((entry) => entry.token === developer.token)] ?? 0;
  const lifted = Math.max(own, floor);
  // The others keep their proportions: what the floor takes is taken from all of them alike.
  const rest = own < 1 ? (1 - lifted) / (1 - own) : 0;
  return { tokens: entries.map((entry) => entry.token), targets: entries.map((entry, index) => (entry.token === developer.token ? lifted : (plain[index] ?? 0) * rest)) };
}

/** KL(p‖q) over listed tokens and one bucket for all others, nats; at most the true KL, 0 iff the
 *  listed and the rest agree. For reports and the gate only, never in a loss. null where unknown. */
export function reportedKl(p: readonly Known[], q: readonly Known[]): Known {
  let kl = 0;
  let restP = 1;
  let restQ = 1;
  for (let index = 0; index < p.length; index++) {
    const a = p[index] ?? null;
    const b = q[index] ?? null;
    if (a === null || b === null) return null;
    kl += Math.exp(a) * (a - b);
    restP -= Math.exp(a);
    restQ -= Math.exp(b);
  }
  const tail = 1e-9;
  if (restP > tail) kl += restP * Math.log(restP / Math.max(restQ, tail));
  return Math.max(0, kl);
}

function pair(token: number, logprob: Known): { token: number; logprob: number }[] {
  return logprob === null || !Number.isFinite(logprob) ? [] : [{ token, logprob }];
}

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const total = sum(powers);
  return powers.map((power) => power / total);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
