/**
 * The prompt of a completion within a token budget: snippets, the file's path, what precedes the
 * cursor and, under fill-in-the-middle, what follows it.
 *
 * The prefix is cut at fixed lines (every eighth), and snippets are chosen by whole blocks too, so
 * that the prompts of one typing session share their beginning and the engine's prefix cache works.
 */
import type { Turn } from '../../journal/records.ts';
import { renderedIds, renderHeader, renderSnippet } from './snippet.ts';
import type { Snippet, SnippetEngine } from './snippet.ts';

export interface Document {
  path: string;
  /** Before and after the cursor, whole. */
  prefix: string;
  suffix: string;
}

export interface PromptBudget {
  /** Tokens of the prompt without snippets: the file's own lines never give way to another's. */
  total: number;
  /** Of it at most for what follows the cursor. */
  suffix: number;
  /** Beside it at most for snippets, where there are any. */
  snippets: number;
}

/** Small models on two cores: 480 tokens are read in about a tenth of a second. */
export const DEFAULT_BUDGET: PromptBudget = { total: 352, suffix: 64, snippets: 128 };

export interface Prompt {
  ids: number[];
  /** White space before the cursor that the response starts with; see Turn.healed. */
  healed: string;
}

const BLOCK_LINES = 8;
/** The cursor's own line counts in such steps, and is cut by them where it alone is over the budget:
 *  its tokens come and go while it is typed, and the cut before it must not. */
const STEP_TOKENS = 32;
/** Characters of text that no budget reaches beyond: long white space is the longest token. */
const CHARACTERS_PER_TOKEN = 8;

/** @param snippets best first; the best one stands nearest to the file */
export async function buildPrompt(engine: SnippetEngine, document: Document, snippets: readonly Snippet[], mode: Turn['promptMode'], budget: PromptBudget): Promise<Prompt> {
  const { fim, bos } = engine.model;
  const fileSep = fim?.fileSep ?? null;
  const { kept, healed } = mode === 'prefix' ? heal(lineEnds(document.prefix)) : { kept: lineEnds(document.prefix), healed: '' };
  const lineStart = kept.lastIndexOf('\n') + 1;
  const reach = budget.total * CHARACTERS_PER_TOKEN;
  const blocks = lastBlocks(lineBlocks(kept.slice(0, lineStart)), reach);
  const line = kept.slice(lineStart).slice(-reach);
  const header = renderHeader(document.path, fileSep);
  const rendered = snippets.map((snippet) => renderSnippet(snippet, fileSep));
  const suffix = mode === 'fim' ? lineEnds(document.suffix).slice(0, budget.suffix * CHARACTERS_PER_TOKEN) : '';
  const { ids } = await engine.tokenize({ texts: [header.text, suffix, line, ...rendered.map((one) => one.text), ...blocks] });
  const headerIds = renderedIds(header, ids[0] ?? []);
  const suffixIds = (ids[1] ?? []).slice(0, budget.suffix);
  const snippetIds = within(rendered.map((one, index) => renderedIds(one, ids[index + 3] ?? [])), budget.snippets);
  const fixed = headerIds.length + suffixIds.length + (mode === 'fim' ? 3 : 0) + (bos === null ? 0 : 1);
  const prefixIds = prefixWithin(ids.slice(3 + rendered.length), ids[2] ?? [], Math.max(STEP_TOKENS, budget.total - fixed));
  const body = mode === 'fim' && fim ? [fim.prefix, ...prefixIds, fim.suffix, ...suffixIds, fim.middle] : prefixIds;
  return { ids: [...(bos === null ? [] : [bos]), ...snippetIds, ...headerIds, ...body], healed };
}

/** Takes the last space or tab off the prefix: byte-level vocabularies join it with the word that
 *  follows, so text that ends with it is text the model never saw. A line end stays. */
export function heal(prefix: string): { kept: string; healed: string } {
  const last = prefix.at(-1);
  return last === ' ' || last === '\t' ? { kept: prefix.slice(0, -1), healed: last } : { kept: prefix, healed: '' };
}

/** Blocks of lines that start at every eighth line of the file, or at the next one that is not
 *  blank: several line ends in a row are one token. */
export function lineBlocks(text: string): string[] {
  const blocks: string[] = [];
  let from = 0;
  let line = 0;
  for (let at = 0; at < text.length; line++) {
    if (line > 0 && line % BLOCK_LINES === 0) {
      while (at < text.length && isBlankLine(text, at)) at = lineEnd(text, at);
      if (at > from && at < text.length) {
        blocks.push(text.slice(from, at));
        from = at;
      }
    }
    at = lineEnd(text, at);
  }
  blocks.push(text.slice(from));
  return blocks;
}

function isBlankLine(text: string, at: number): boolean {
  const end = text.indexOf('\n', at);
  return end >= 0 && text.slice(at, end).trim() === '';
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end + 1;
}

/** The last blocks that budgets can reach; more are not worth encoding. */
function lastBlocks(blocks: readonly string[], characters: number): string[] {
  let first = blocks.length;
  for (let left = characters; first > 0 && left > 0; first--) left -= blocks[first - 1]?.length ?? 0;
  return blocks.slice(first);
}

/** The cursor's line, and before it as many of the last blocks as fit. */
function prefixWithin(blocks: readonly (readonly number[])[], line: readonly number[], room: number): number[] {
  const steps = (count: number): number => Math.ceil(count / STEP_TOKENS) * STEP_TOKENS;
  if (line.length > room) return line.slice(steps(line.length - room));
  let first = blocks.length;
  let left = room - Math.max(STEP_TOKENS, steps(line.length));
  while (first > 0 && (blocks[first - 1]?.length ?? 0) <= left) left -= blocks[--first]?.length ?? 0;
  return [...blocks.slice(first).flat(), ...line];
}

/** The best snippets that fit, the best one last. */
function within(snippets: readonly number[][], room: number): number[] {
  const taken: number[][] = [];
  let used = 0;
  for (const ids of snippets) {
    if (used + ids.length > room) continue;
    taken.unshift(ids);
    used += ids.length;
  }
  return taken.flat();
}

function lineEnds(text: string): string {
  return text.replaceAll('\r\n', '\n');
}
