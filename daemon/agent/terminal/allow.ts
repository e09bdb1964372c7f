/**
 * Which commands run without being asked about. The list is the user's own, in two forms: an entry
 * that equals the command, or a prefix of words (`npm test`, `git status`) of a simple command.
 * Anything that a shell would take for more than words is never matched by a prefix: what a model
 * writes after an allowed word must not widen what was allowed.
 */

const WORD = /\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))(?=\s|$)\s*/y;

/** The words of a simple command; null for everything that a shell expands, joins, redirects or substitutes. */
export function simpleWords(command: string): string[] | null {
  if (/[`$\\;&|<>(){}[\]*?!~#\x00-\x1f\x7f]/.test(command)) return null;
  const words: string[] = [];
  WORD.lastIndex = 0;
  while (WORD.lastIndex < command.length) {
    const match = WORD.exec(command);
    // Quotes that touch another word, or are never closed, mean what only a shell can say.
    if (match === null) return null;
    words.push(match[1] ?? match[2] ?? match[3] ?? '');
  }
  // An assignment before the command changes what it does.
  return words.length === 0 || /^\w+=/.test(words[0] ?? '') ? null : words;
}

export function isAllowed(command: string, allowed: readonly string[]): boolean {
  const wanted = command.trim();
  if (wanted === '') return false;
  if (allowed.some((entry) => entry.trim() === wanted)) return true;
  const words = simpleWords(wanted);
  if (words === null) return false;
  return allowed.some((entry) => {
    const prefix = simpleWords(entry.trim());
    return prefix !== null && prefix.length <= words.length && prefix.every((word, index) => word === words[index]);
  });
}
