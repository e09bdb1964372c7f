/** What the developer wrote in a workspace, for the method `memory`: found again by its words and put
 *  into the prompt, as a hint would be. Nothing of it trains. */
import { MemoryIndex } from '../agent/completion/memory.ts';
import { lineBlocks } from '../agent/completion/prompt.ts';
import type { Snippet } from '../agent/completion/snippet.ts';
import { hintSnippets } from '../hindsight/inject.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';

const SNIPPETS = 2;
const ENTRIES = 2000;
/** Text before the cursor that is looked at for words. */
const CHARACTERS = 4000;

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

  /** Best first. The query ends before the line that is written, so that a prompt's beginning stays
   *  the same from key to key. */
  search(workspace: string, prefix: string): Snippet[] {
    const blocks = lineBlocks(prefix.slice(-CHARACTERS));
    return this.#index(workspace).search(blocks.slice(-3, -1).join('') || (blocks.at(-1) ?? ''), SNIPPETS);
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

function snippetOf(turn: Turn, next: NextState): Snippet[] {
  return next.developerText === null ? [] : hintSnippets(turn, next.developerText).slice(0, 1);
}
