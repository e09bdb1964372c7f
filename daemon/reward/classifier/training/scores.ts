/** How good predicted probabilities are. */

/** Area under the ROC curve: the chance that a positive outranks a negative, ties count half.
 *  @returns NaN where one of the two kinds is absent */
export function auc(scores: readonly number[], positive: readonly boolean[]): number {
  const order = scores.map((score, i) => ({ score, positive: positive[i] ?? false })).sort((a, b) => a.score - b.score);
  let rankSum = 0;
  let positives = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && order[end]?.score === order[start]?.score) end += 1;
    const meanRank = (start + 1 + end) / 2;
    for (let i = start; i < end; i++) {
      if (order[i]?.positive !== true) continue;
      rankSum += meanRank;
      positives += 1;
    }
    start = end;
  }
  const negatives = order.length - positives;
  return positives === 0 || negatives === 0 ? NaN : (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Expected calibration error in `bins` equal-width bins of confidence (Guo et al. 2017, eq. 3). */
export function calibrationError(confidence: readonly number[], correct: readonly boolean[], bins = 10): number {
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, correct: 0 }));
  confidence.forEach((value, i) => {
    const bin = sums[Math.min(bins - 1, Math.floor(value * bins))];
    if (bin === undefined) return;
    bin.count += 1;
    bin.confidence += value;
    bin.correct += correct[i] === true ? 1 : 0;
  });
  return sums.reduce((total, bin) => total + Math.abs(bin.confidence - bin.correct), 0) / confidence.length;
}
