/** Two small models that learn accept or reject from a few hundred offers, and their average. */

export interface Logistic {
  kind: 'logistic';
  mean: number[];
  scale: number[];
  weights: number[];
  bias: number;
}

/** A tree node: a leaf has a value, a split sends x[feature] <= threshold to the left. */
export type TreeNode = { value: number } | { feature: number; threshold: number; left: TreeNode; right: TreeNode };

export interface Boosted {
  kind: 'boosted';
  prior: number;
  trees: TreeNode[];
}

export interface Average {
  kind: 'average';
  members: (Logistic | Boosted)[];
}

export type FilterModel = Logistic | Boosted | Average;

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Log-odds that the suggestion is accepted. */
export function logOdds(model: FilterModel, x: readonly number[]): number {
  if (model.kind === 'average') return model.members.reduce((sum, member) => sum + logOdds(member, x), 0) / model.members.length;
  if (model.kind === 'logistic') return model.weights.reduce((sum, weight, j) => sum + weight * (((x[j] ?? 0) - (model.mean[j] ?? 0)) / (model.scale[j] ?? 1)), model.bias);
  return model.trees.reduce((sum, tree) => sum + leafOf(tree, x), model.prior);
}

function leafOf(tree: TreeNode, x: readonly number[]): number {
  let node = tree;
  while (!('value' in node)) node = (x[node.feature] ?? 0) <= node.threshold ? node.left : node.right;
  return node.value;
}

/** L2-penalised logistic regression on standardised features, by Newton steps on the exact Hessian.
 *  @param penalty  weight of |w|²/2 against the summed log-loss */
export function fitLogistic(rows: readonly (readonly number[])[], labels: readonly boolean[], penalty: number): Logistic {
  const columns = rows[0]?.length ?? 0;
  const mean = Array.from({ length: columns }, (_, j) => rows.reduce((sum, row) => sum + (row[j] ?? 0), 0) / rows.length);
  const scale = mean.map((m, j) => Math.sqrt(rows.reduce((sum, row) => sum + ((row[j] ?? 0) - m) ** 2, 0) / rows.length) || 1);
  const z = rows.map((row) => [...row.map((value, j) => (value - (mean[j] ?? 0)) / (scale[j] ?? 1)), 1]);
  const w = new Array<number>(columns + 1).fill(0);
  for (let step = 0; step < 25; step++) {
    const gradient = w.map((weight, j) => (j < columns ? penalty * weight : 0));
    const hessian = w.map((_, j) => w.map((__, k) => (j === k ? (j < columns ? penalty : 1e-6) : 0)));
    z.forEach((row, i) => {
      const p = sigmoid(row.reduce((sum, value, j) => sum + value * (w[j] ?? 0), 0));
      const curvature = Math.max(1e-6, p * (1 - p));
      for (let j = 0; j <= columns; j++) {
        gradient[j] = (gradient[j] ?? 0) + (p - (labels[i] === true ? 1 : 0)) * (row[j] ?? 0);
        const line = hessian[j] ?? [];
        for (let k = 0; k <= j; k++) line[k] = (line[k] ?? 0) + curvature * (row[j] ?? 0) * (row[k] ?? 0);
      }
    });
    const delta = solve(hessian, gradient);
    delta.forEach((d, j) => (w[j] = (w[j] ?? 0) - d));
    if (Math.max(...delta.map(Math.abs)) < 1e-7) break;
  }
  return { kind: 'logistic', mean, scale, weights: w.slice(0, columns), bias: w[columns] ?? 0 };
}

/** Solves A x = b for a positive definite A of which the lower half is given (Cholesky). */
function solve(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const n = b.length;
  const l = Array.from({ length: n }, () => new Float64Array(n));
  const at = (i: number, j: number): number => l[i]?.[j] ?? 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i]?.[j] ?? 0;
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k);
      const row = l[i];
      if (row !== undefined) row[j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at(j, j);
    }
  }
  const y = new Array<number>(n).fill(0);
  for (let i = 0; i < n; i++) y[i] = ((b[i] ?? 0) - y.slice(0, i).reduce((sum, value, k) => sum + at(i, k) * value, 0)) / at(i, i);
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = y[i] ?? 0;
    for (let k = i + 1; k < n; k++) sum -= at(k, i) * (x[k] ?? 0);
    x[i] = sum / at(i, i);
  }
  return x;
}

export interface BoostSettings {
  rounds: number;
  depth: number;
  rate: number;
  /** Least offers in a leaf, and the L2 penalty on its value. */
  leaf: number;
  penalty: number;
}

/** Gradient-boosted trees on the log-loss with Newton leaves (Chen & Guestrin 2016, eq. 5 to 7). */
export function fitBoosted(rows: readonly (readonly number[])[], labels: readonly boolean[], settings: BoostSettings): Boosted {
  const positives = labels.filter(Boolean).length;
  const prior = Math.log((positives + 1) / (labels.length - positives + 1));
  const margin = rows.map(() => prior);
  const sorted = Array.from({ length: rows[0]?.length ?? 0 }, (_, j) => rows.map((_row, i) => i).sort((a, b) => (rows[a]?.[j] ?? 0) - (rows[b]?.[j] ?? 0)));
  const trees: TreeNode[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    const slope = margin.map((m, i) => sigmoid(m) - (labels[i] === true ? 1 : 0));
    const curvature = margin.map((m) => Math.max(1e-6, sigmoid(m) * (1 - sigmoid(m))));
    const tree = grow({ rows, sorted, slope, curvature, settings }, rows.map(() => true), settings.depth);
    rows.forEach((row, i) => (margin[i] = (margin[i] ?? 0) + leafOf(tree, row)));
    trees.push(tree);
  }
  return { kind: 'boosted', prior, trees };
}

interface Growth {
  rows: readonly (readonly number[])[];
  /** Row numbers by each feature's value. */
  sorted: readonly (readonly number[])[];
  slope: readonly number[];
  curvature: readonly number[];
  settings: BoostSettings;
}

function grow(growth: Growth, inside: readonly boolean[], depth: number): TreeNode {
  const { rows, slope, curvature, settings } = growth;
  let [g, h] = [0, 0];
  inside.forEach((member, i) => {
    if (!member) return;
    g += slope[i] ?? 0;
    h += curvature[i] ?? 0;
  });
  const leaf = { value: (-settings.rate * g) / (h + settings.penalty) };
  const split = depth > 0 ? bestSplit(growth, inside, g, h) : null;
  if (split === null) return leaf;
  const goesLeft = rows.map((row) => (row[split.feature] ?? 0) <= split.threshold);
  return {
    ...split,
    left: grow(growth, inside.map((member, i) => member && goesLeft[i] === true), depth - 1),
    right: grow(growth, inside.map((member, i) => member && goesLeft[i] !== true), depth - 1),
  };
}

function bestSplit(growth: Growth, inside: readonly boolean[], g: number, h: number): { feature: number; threshold: number } | null {
  const { rows, sorted, slope, curvature, settings } = growth;
  const size = inside.filter(Boolean).length;
  const worth = (a: number, b: number): number => (a * a) / (b + settings.penalty);
  let best: { feature: number; threshold: number } | null = null;
  let bestGain = worth(g, h) + 1e-6;
  sorted.forEach((order, feature) => {
    const members = order.filter((i) => inside[i]);
    let [gl, hl] = [0, 0];
    members.forEach((i, rank) => {
      gl += slope[i] ?? 0;
      hl += curvature[i] ?? 0;
      const here = rows[i]?.[feature] ?? 0;
      const next = rows[members[rank + 1] ?? -1]?.[feature];
      if (next === undefined || next === here || rank + 1 < settings.leaf || size - rank - 1 < settings.leaf) return;
      const gain = worth(gl, hl) + worth(g - gl, h - hl);
      if (gain > bestGain) {
        bestGain = gain;
        best = { feature, threshold: (here + next) / 2 };
      }
    });
  });
  return best;
}
