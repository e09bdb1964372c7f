/** What the developer wrote in a workspace, for the methods with `memory`: found again by its words and
 *  put into the prompt, as a hint would be. */
import { MemoryIndex } from '../agent/completion/memory.ts';
import type { Snippet } from '../agent/completion/snippet.ts';
import { pathOf } from '../hindsight/inject.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';

const SNIPPETS = 2;
const ENTRIES = 2000;
/** Frame of a remembered text: full lines before it and lines after it. A larger frame fills the
 *  prompt's budget with one place. */
const LINES_BEFORE = 2;
const LINES_AFTER = 1;
/** Lines around the cursor whose words are looked for; more of them find what is near in subject
 *  rather than alike (docs/learning.md). */
const QUERY_BEFORE = 3;
const QUERY_AFTER = 1;

export class WorkspaceMemory {
  readonly #indexes = new Map<string, MemoryIndex>();

  constructor(private readonly journal: Journal) {}

  /** A turn closed. */
  add(turn: Turn, next: NextState): void {
    const index = this.#indexes.get(turn.workspace);
    // An index that nobody asked yet is made from the journal, which has this turn.
    if (index) for (const snippet of snippetOf(turn, next)) index.add(snippet);
  }

  /** Something was taken out of the journal: the next search reads it anew. */
  forget(workspace: string): void {
    this.#indexes.delete(workspace);
  }

  forgetAll(): void {
    this.#indexes.clear();
  }

  /** Best first. The query leaves the cursor's own line out, so that a prompt's beginning stays the
   *  same from key to key. */
  search(workspace: string, prefix: string, suffix: string): Snippet[] {
    const before = filled(prefix.split('\n').slice(0, -1)).slice(-QUERY_BEFORE);
    const after = filled(suffix.split('\n', 12).slice(1)).slice(0, QUERY_AFTER);
    return this.#index(workspace).search([...before, ...after].join('\n'), SNIPPETS);
  }

  #index(workspace: string): MemoryIndex {
    const known = this.#indexes.get(workspace);
    if (known) return known;
    const index = new MemoryIndex(ENTRIES);
    this.#indexes.set(workspace, index);
    for (const turn of this.journal.turnsOf({ workspace, open: false, role: 'main', limit: ENTRIES }).reverse()) {
      const next = this.journal.nextState(turn.id);
      if (next !== null) for (const snippet of snippetOf(turn, next)) index.add(snippet);
    }
    return index;
  }
}

function filled(lines: readonly string[]): string[] {
  return lines.filter((line) => line.trim() !== '');
}

function snippetOf(turn: Turn, next: NextState): Snippet[] {
  const text = next.developerText;
  if (text === null || text.trim() === '') return [];
  const before = turn.before.split('\n').slice(-LINES_BEFORE - 1).join('\n');
  const rest = text.endsWith('\n') && turn.after.startsWith('\n') ? turn.after.slice(1) : turn.after;
  const after = rest.split('\n').slice(0, LINES_AFTER + (text.endsWith('\n') ? 0 : 1)).join('\n');
  return [{ path: pathOf(turn), text: before + text + after }];
}
