/** Reading the workspace: files, listings, search. Ignored files are not listed or searched. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { simpleGit } from 'simple-git';
import { z } from 'zod';
import { insideWorkspace } from './paths.ts';
import { done, failed, tool } from './tool.ts';
import type { ToolContext } from './tool.ts';

const LINES = 400;
const LINE_CHARS = 2000;
const ENTRIES = 400;
const MATCHES = 100;
/** A folder without git is walked; no further than this. */
const WALK = 20_000;
const LARGEST_FILE = 4 * 1024 * 1024;
const SKIPPED = new Set(['node_modules', '.git', 'dist', 'build', 'target', '.venv', '__pycache__', '.cache']);

export const readFileTool = tool({
  name: 'read_file',
  description: `Reads a text file of the workspace, with line numbers. At most ${LINES} lines at once.`,
  parameters: z.object({ path: z.string(), from_line: z.int().min(1).optional() }),
  title: ({ path: file }) => `Read ${file}`,
  async run({ path: named, from_line: from = 1 }, context) {
    const text = await context.readText(await insideWorkspace(context.folder, named));
    if (text === null) return failed(`There is no file ${named}.`);
    if (text.includes('\0')) return failed(`${named} is not a text file.`);
    const lines = text.split('\n');
    const shown = lines.slice(from - 1, from - 1 + LINES).map((line, at) => `${from + at}\t${line.slice(0, LINE_CHARS)}`);
    const rest = lines.length - (from - 1) - shown.length;
    return done(shown.join('\n') + (rest > 0 ? `\n[${rest} more lines]` : ''));
  },
});

export const listFilesTool = tool({
  name: 'list_files',
  description: 'Lists the files of the workspace, or of one folder of it.',
  parameters: z.object({ folder: z.string().optional() }),
  title: ({ folder }) => `List ${folder ?? 'the workspace'}`,
  async run({ folder = '.' }, context) {
    await insideWorkspace(context.folder, folder);
    const files = (await workspaceFiles(context.folder)).filter((file) => isUnder(folder, file));
    if (files.length === 0) return failed(`There are no files in ${folder}.`);
    return done(files.slice(0, ENTRIES).join('\n') + (files.length > ENTRIES ? `\n[${files.length - ENTRIES} more files]` : ''));
  },
});

export const searchTool = tool({
  name: 'search',
  description: 'Finds lines of the workspace that contain a text, or match a JavaScript regular expression.',
  parameters: z.object({ text: z.string().min(1), regex: z.boolean().optional(), folder: z.string().optional() }),
  title: ({ text }) => `Search for ${text}`,
  async run({ text, regex = false, folder = '.' }, context) {
    await insideWorkspace(context.folder, folder);
    const matches = matcher(text, regex);
    if (matches === null) return failed(`${text} is no regular expression.`);
    const found: string[] = [];
    for (const file of await workspaceFiles(context.folder)) {
      if (!isUnder(folder, file) || context.signal.aborted) continue;
      for (const line of await matchingLines(context, file, matches)) found.push(line);
      if (found.length > MATCHES) break;
    }
    if (found.length === 0) return done(`No line contains ${text}.`);
    return done(found.slice(0, MATCHES).join('\n') + (found.length > MATCHES ? '\n[more lines match: search for something longer]' : ''));
  },
});

async function matchingLines(context: ToolContext, file: string, matches: (line: string) => boolean): Promise<string[]> {
  const absolute = path.join(context.folder, file);
  const facts = await stat(absolute).catch(() => null);
  if (facts === null || !facts.isFile() || facts.size > LARGEST_FILE) return [];
  const text = await readable(context, absolute);
  if (text === null || text.includes('\0')) return [];
  return text.split('\n').flatMap((line, at) => (line.length <= LINE_CHARS && matches(line) ? [`${file}:${at + 1}: ${line.trim().slice(0, 200)}`] : []));
}

/** null = there is none, or it is an ignored one. */
async function readable(context: ToolContext, file: string): Promise<string | null> {
  try {
    return await context.readText(file);
  } catch {
    return null;
  }
}

function matcher(text: string, regex: boolean): ((line: string) => boolean) | null {
  if (!regex) return (line) => line.includes(text);
  try {
    const pattern = new RegExp(text);
    return (line) => pattern.test(line);
  } catch {
    return null;
  }
}

/** Tracked and untracked files, without ignored ones; relative, with slashes. */
export async function workspaceFiles(folder: string): Promise<string[]> {
  try {
    const listed = await simpleGit(folder).raw(['ls-files', '-z', '--cached', '--others', '--exclude-standard']);
    return [...new Set(listed.split('\0').filter((file) => file !== ''))].sort();
  } catch {
    return (await walk(folder, '', [])).sort();
  }
}

async function walk(root: string, inside: string, files: string[]): Promise<string[]> {
  for (const entry of await readdir(path.join(root, inside), { withFileTypes: true }).catch(() => [])) {
    if (files.length >= WALK) break;
    const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) await walk(root, name, files);
    else if (entry.isFile()) files.push(name);
  }
  return files;
}

function isUnder(folder: string, file: string): boolean {
  const wanted = path.posix.normalize(folder.replaceAll('\\', '/')).replace(/\/$/, '');
  return wanted === '.' || file === wanted || file.startsWith(`${wanted}/`);
}
