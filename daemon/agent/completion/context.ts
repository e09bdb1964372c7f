/** Which parts of other open files may help: windows of lines that share words with the cursor's
 *  surroundings. */
import { entryOf, MemoryIndex } from './memory.ts';
import type { Entry } from './memory.ts';
import { lineBlocks } from './prompt.ts';
import type { Snippet } from './snippet.ts';

const MAX_FILES = 6;
const MAX_CHARACTERS = 40_000;
const WINDOW_LINES = 10;
const SNIPPETS = 2;

interface OpenFile {
  path: string;
  text: string;
}

/** @param openFiles most recently used first, without the file that is written
 *  @returns best first. The query ends at the last block's start, so that it does not change with
 *  every key (see prompt.ts). */
export function contextSnippets(prefix: string, openFiles: readonly OpenFile[]): Snippet[] {
  if (openFiles.length === 0) return [];
  const index = new MemoryIndex();
  for (const file of openFiles.slice(0, MAX_FILES)) for (const entry of windowsOf(file)) index.add(entry);
  const blocks = lineBlocks(prefix);
  return index.search(blocks.slice(-3, -1).join('') || (blocks.at(-1) ?? ''), SNIPPETS);
}

/** Counted windows of the files seen last: while one file is typed in, the others stay as they are,
 *  and counting them anew at every key would hold the event loop for milliseconds. */
const counted = new Map<string, { text: string; entries: Entry[] }>();
const COUNTED_FILES = 64;

function windowsOf({ path, text }: OpenFile): Entry[] {
  const known = counted.get(path);
  if (known?.text === text) return known.entries;
  const lines = text.slice(0, MAX_CHARACTERS).split('\n');
  const entries: Entry[] = [];
  for (let at = 0; at < lines.length; at += WINDOW_LINES) entries.push(entryOf({ path, text: lines.slice(at, at + WINDOW_LINES).join('\n') }));
  counted.delete(path);
  counted.set(path, { text, entries });
  const oldest = counted.keys().next();
  if (counted.size > COUNTED_FILES && !oldest.done) counted.delete(oldest.value);
  return entries;
}
