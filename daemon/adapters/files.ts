/** Adapter folders on disk: written under a temporary name, synced, renamed; read only after their
 *  hash was compared. What is in them is PEFT's format and a receipt, see design.md. */
import { createHash } from 'node:crypto';
import { closeSync, cpSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const WEIGHTS = 'adapter_model.safetensors';
export const CONFIG = 'adapter_config.json';
export const RECEIPT = 'receipt.json';
export const OPTIMIZER = 'optimizer.safetensors';
/** Folders with this ending were never finished. */
const UNFINISHED = '.tmp';

/** Key of a workspace in paths and adapter names: readable, and different for different folders. */
export function workspaceKey(workspace: string): string {
  const name = basename(workspace).replace(/[^A-Za-z0-9_-]/g, '').slice(0, 24) || 'workspace';
  return `${name}-${createHash('sha256').update(workspace).digest('hex').slice(0, 12)}`;
}

/** Fills a new folder and puts it in place at once; an earlier folder of that name is replaced. */
export async function writeFolder(dir: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${dir}${UNFINISHED}`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  await fill(temporary);
  for (const file of readdirSync(temporary)) sync(join(temporary, file));
  sync(temporary);
  rmSync(dir, { recursive: true, force: true });
  renameSync(temporary, dir);
  sync(dirname(dir));
}

/** Replaces one file of a folder in one step. */
export function replaceFile(path: string, text: string): void {
  const temporary = `${path}${UNFINISHED}`;
  const file = openSync(temporary, 'w');
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  sync(dirname(path));
}

/** null where there is no such file. */
export function hashFile(path: string): string | null {
  return existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : null;
}

export function copyAdapter(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const file of [WEIGHTS, CONFIG, RECEIPT]) if (existsSync(join(from, file))) cpSync(join(from, file), join(to, file));
}

/** Removes the folders under `root/<workspace>/` that are not among `named`. */
export function removeUnnamed(root: string, named: ReadonlySet<string>): void {
  if (!existsSync(root)) return;
  for (const workspace of readdirSync(root, { withFileTypes: true })) {
    if (!workspace.isDirectory()) continue;
    for (const version of readdirSync(join(root, workspace.name))) {
      const dir = join(root, workspace.name, version);
      if (!named.has(dir)) rmSync(dir, { recursive: true, force: true });
    }
  }
}

export function removeFile(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

function sync(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
