/**
 * What the developer accepted and typed, found again by its words (BM25). The method `memory` puts
 * it into the prompt and trains nothing; open files are searched in the same way.
 */
import type { Snippet } from './snippet.ts';

/** Okapi BM25's usual constants. */
const K1 = 1.2;
const B = 0.75;

/** A snippet with its words counted, so that it can be put into several indexes for nothing. */
export interface Entry {
  snippet: Snippet;
  counts: ReadonlyMap<string, number>;
  length: number;
}

export function entryOf(snippet: Snippet): Entry {
  const counts = wordCounts(snippet.text);
  return { snippet, counts, length: total(counts) };
}

export class MemoryIndex {
  private readonly entries: Entry[] = [];
  private readonly documents = new Map<string, number>();
  private words = 0;

  /** @param capacity entries beyond which the oldest is forgotten */
  constructor(private readonly capacity = 2000) {}

  get size(): number {
    return this.entries.length;
  }

  add(snippet: Snippet | Entry): void {
    const entry = 'counts' in snippet ? snippet : entryOf(snippet);
    if (entry.length === 0) return;
    this.entries.push(entry);
    this.words += entry.length;
    for (const word of entry.counts.keys()) this.documents.set(word, (this.documents.get(word) ?? 0) + 1);
    if (this.entries.length > this.capacity) this.removeOldest();
  }

  /** Best first; entries that share no word with the query are never found, and of equal texts only
   *  the newest is. */
  search(query: string, limit: number): Snippet[] {
    const words = [...wordCounts(query).keys()];
    const scored = this.entries.map((entry, index) => ({ entry, index, score: this.score(entry, words) })).filter(({ score }) => score > 0);
    scored.sort((a, b) => b.score - a.score || b.index - a.index);
    const found = new Map<string, Snippet>();
    for (const { entry } of scored) {
      if (found.size === limit) break;
      if (!found.has(entry.snippet.text)) found.set(entry.snippet.text, entry.snippet);
    }
    return [...found.values()];
  }

  private score({ counts, length }: Entry, words: readonly string[]): number {
    const mean = this.words / this.entries.length;
    let score = 0;
    for (const word of words) {
      const count = counts.get(word);
      if (count === undefined) continue;
      const having = this.documents.get(word) ?? 0;
      const rarity = Math.log(1 + (this.entries.length - having + 0.5) / (having + 0.5));
      score += (rarity * count * (K1 + 1)) / (count + K1 * (1 - B + (B * length) / mean));
    }
    return score;
  }

  private removeOldest(): void {
    const oldest = this.entries.shift();
    if (!oldest) return;
    this.words -= oldest.length;
    for (const word of oldest.counts.keys()) {
      const having = (this.documents.get(word) ?? 0) - 1;
      if (having > 0) this.documents.set(word, having);
      else this.documents.delete(word);
    }
  }
}

/** Identifiers, whole and in their parts: `readFile` is found by `file` too. */
export function wordCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (word: string): void => void counts.set(word, (counts.get(word) ?? 0) + 1);
  for (const [name] of text.matchAll(/[\p{L}_$][\p{L}\p{N}_$]*/gu)) {
    const parts = name.match(/\p{Lu}?[\p{Ll}\p{N}]+|\p{Lu}+(?!\p{Ll})/gu) ?? [];
    for (const word of new Set([name, ...parts])) if (word.length > 1) count(word.toLowerCase());
  }
  return counts;
}

function total(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}
