// The oldest Linux on which a target's binaries load, read from the symbol versions that they ask for.
import { execFileSync } from 'node:child_process';

const byNumber = (left, right) => {
  const [a, b] = [left, right].map((each) => each.split('.').map(Number));
  for (let i = 0; i < Math.max(a.length, b.length); i += 1) if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0);
  return 0;
};

/** @returns {{glibc: string | null, glibcxx: string | null}} the highest version of each that a file needs */
export function floorOf(file) {
  const symbols = execFileSync('objdump', ['-T', file], { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 });
  const highest = (pattern) => [...symbols.matchAll(pattern)].map((match) => match[1]).sort(byNumber).at(-1) ?? null;
  return { glibc: highest(/\bGLIBC_([\d.]+)/g), glibcxx: highest(/\bGLIBCXX_([\d.]+)/g) };
}

/** @returns {boolean} whether a system with `allowed` has what is `needed` */
export const isAtMost = (needed, allowed) => needed === null || byNumber(needed, allowed) <= 0;
