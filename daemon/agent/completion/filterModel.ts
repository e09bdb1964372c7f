/** A small model that learns accept or reject from a few hundred offers, in milliseconds. */

export interface Logistic {
  mean: number[];
  scale: number[];
  weights: number[];
  bias: number;
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Log-odds that the suggestion is accepted. */
export function logOdds(model: Logistic, x: readonly number[]): number {
  return model.weights.reduce((sum, weight, j) => sum + weight * (((x[j] ?? 0) - (model.mean[j] ?? 0)) / (model.scale[j] ?? 1)), model.bias);
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
  return { mean, scale, weights: w.slice(0, columns), bias: w[columns] ?? 0 };
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
