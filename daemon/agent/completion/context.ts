/** Which parts of other open files may help: windows of lines that share words with the cursor's
 *  surroundings. */
import { MemoryIndex } from './memory.ts';
import { lineBlocks } from './prompt.ts';
import type { Snippet } from './snippet.ts';

const MAX_FILES = 6;
const MAX_CHARACTERS = 60_000;
const WINDOW_LINES = 10;
const SNIPPETS = 2;

/** @param openFiles most recently used first, without the file that is written
 *  @returns best first. The query ends at the last block's start, so that it does not change with
 *  every key (see prompt.ts). */
export function contextSnippets(prefix: string, openFiles: readonly { path: string; text: string }[]): Snippet[] {
  if (openFiles.length === 0) return [];
  const index = new MemoryIndex();
  for (const file of openFiles.slice(0, MAX_FILES)) {
    const lines = file.text.slice(0, MAX_CHARACTERS).split('\n');
    for (let at = 0; at < lines.length; at += WINDOW_LINES) index.add({ path: file.path, text: lines.slice(at, at + WINDOW_LINES).join('\n') });
  }
  const blocks = lineBlocks(prefix.slice(-MAX_CHARACTERS));
  return index.search(blocks.slice(-3, -1).join('') || (blocks.at(-1) ?? ''), SNIPPETS);
}
