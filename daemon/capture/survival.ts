/** How much of an accepted text is still there. */

const GRAM = 4;

/**
 * 4-gram similarity of characters (UTF-16 units), Dice's coefficient over multisets:
 * 2·|A ∩ B| / (|A| + |B|), in [0, 1]. White space is folded to one blank first, so that a formatter
 * costs nothing. A text shorter than 4 is its own single gram, so that "x" against "x" is 1.
 */
export function fourGramSimilarity(accepted: string, current: string): number {
  const a = grams(accepted);
  const b = grams(current);
  if (a.size === 0 && b.size === 0) return 1;
  let common = 0;
  for (const [gram, count] of a) common += Math.min(count, b.get(gram) ?? 0);
  return (2 * common) / (total(a) + total(b));
}

function grams(text: string): Map<string, number> {
  const folded = text.trim().replace(/\s+/g, ' ');
  const counts = new Map<string, number>();
  const add = (gram: string): void => void counts.set(gram, (counts.get(gram) ?? 0) + 1);
  if (folded.length > 0 && folded.length < GRAM) add(folded);
  for (let at = 0; at + GRAM <= folded.length; at++) add(folded.slice(at, at + GRAM));
  return counts;
}

function total(counts: Map<string, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}
