/**
 * Related files as snippets: the declarations of what the file imports, and where another file was changed
 * last. Imports are read with a few rules per language, which miss some; what they miss is left out. Pure.
 */
import { posix } from 'node:path';
import type { Snippet } from './snippet.ts';

/** Declarations of one imported file, and their length. */
const DECLARATIONS = 6;
const LINE = 120;
/** Lines around the latest change of another file. */
const AROUND = 4;
/** Lines before the cursor whose words say which import matters. */
const NEAR = 24;

export interface Import {
  /** Where it may be, in the order in which it is looked for; within the workspace. */
  candidates: string[];
  /** Names that it brings; empty = the module as a whole. */
  names: string[];
}

/** Where a file was changed last, UTF-16 offset in its text. */
export interface RecentEdit {
  path: string;
  text: string;
  offset: number;
}

/** @param read  a file of the workspace; null = there is none, or none that may be read
 *  @returns best first */
export function importSnippets(path: string, prefix: string, read: (path: string) => string | null): Snippet[] {
  const code = prefix.replace(SCRIPT_IMPORT, '').replace(PYTHON_IMPORT, '');
  const near = code.split('\n').slice(-NEAR - 1, -1).join('\n');
  const found = importsOf(path, prefix).flatMap(({ candidates, names }) => {
    for (const candidate of candidates) {
      const text = candidate === path || candidate.startsWith('../') ? null : read(candidate);
      if (text === null) continue;
      const used = names.filter((name) => near.includes(name));
      const lines = declarations(text, used.length > 0 ? used : names);
      return lines.length === 0 ? [] : [{ snippet: { path: candidate, text: lines.join('\n') }, used: used.length }];
    }
    return [];
  });
  return found.sort((a, b) => b.used - a.used).map(({ snippet }) => snippet);
}

export function recentSnippets(path: string, edits: readonly RecentEdit[]): Snippet[] {
  return edits.filter((edit) => edit.path !== path).map(({ path: where, text, offset }) => {
    const line = text.slice(0, offset).split('\n').length - 1;
    return { path: where, text: text.split('\n').slice(Math.max(0, line - AROUND), line + AROUND).join('\n') };
  });
}

export function importsOf(path: string, text: string): Import[] {
  return path.endsWith('.py') ? pythonImports(path, text) : SCRIPT.test(path) ? scriptImports(path, text) : [];
}

const SCRIPT = /\.[cm]?[jt]sx?$/;
const SCRIPT_IMPORT = /(?:^|\n)\s*(?:import|export)\s+(?:type\s+)?([^'";]*?)\s*from\s*['"](\.[^'"\n]*)['"]|(?:const|let|var)\s+([^=;]+?)\s*=\s*require\(\s*['"](\.[^'"\n]*)['"]\s*\)/g;
const SCRIPT_ENDINGS = ['.ts', '.tsx', '.js', '.jsx', '.mjs', '.cjs'];

function scriptImports(path: string, text: string): Import[] {
  return [...text.matchAll(SCRIPT_IMPORT)].map(([, brought, from, bound, required]) => {
    const target = posix.join(posix.dirname(path), from ?? required ?? '');
    const bare = target.replace(SCRIPT, '');
    return { candidates: [target, ...SCRIPT_ENDINGS.map((end) => bare + end), ...SCRIPT_ENDINGS.map((end) => `${target}/index${end}`)], names: namesIn(brought ?? bound ?? '', /\s+as\s+\S+|\btype\s+|:\s*\w+/g) };
  });
}

const PYTHON_IMPORT = /(?:^|\n)\s*from\s+(\.*)([\w.]*)\s+import\s+(\([^)]*\)|[^\n#]*)/g;

function pythonImports(path: string, text: string): Import[] {
  return [...text.matchAll(PYTHON_IMPORT)].map(([, dots = '', module = '', brought = '']) => {
    const from = dots === '' ? '' : posix.join(posix.dirname(path), '../'.repeat(dots.length - 1));
    const target = posix.join(from, module.replaceAll('.', '/'));
    return { candidates: [`${target}.py`, `${target}/__init__.py`, ...(dots === '' ? [`src/${target}.py`] : [])], names: namesIn(brought, /\s+as\s+\w+/g) };
  });
}

function namesIn(text: string, noise: RegExp): string[] {
  return (text.replace(noise, ' ').match(/[\p{L}_$][\p{L}\p{N}_$]*/gu) ?? []).filter((name) => name.length > 1);
}

const DECLARATION = /^\s*(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\*?|class|interface|type|enum|const|let|var|def)\s+([\p{L}_$][\p{L}\p{N}_$]*)/u;

/** The lines that declare the names, or the first ones that declare anything. */
function declarations(text: string, names: readonly string[]): string[] {
  const lines = text.split('\n').filter((line) => {
    const name = DECLARATION.exec(line)?.[1];
    return name !== undefined && (names.length === 0 ? /^\S/.test(line) : names.includes(name));
  });
  return lines.slice(0, DECLARATIONS).map((line) => line.trimEnd().slice(0, LINE));
}
