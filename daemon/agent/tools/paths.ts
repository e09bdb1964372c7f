/** Paths that a model may name: inside the workspace, links followed, and never git's own files. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { HindsightError } from '../../../protocol/errors.ts';

/** @returns the absolute path; the file need not exist
 *  @throws badRequest */
export async function insideWorkspace(folder: string, named: string): Promise<string> {
  const refuse = (problem: string): HindsightError => new HindsightError('badRequest', { problem, remedy: 'Name a file of the workspace.' });
  if (named.includes('\0')) throw refuse('A path has no zero byte');
  const root = await realpath(folder);
  const wanted = path.resolve(root, named);
  const real = await realOf(wanted);
  const inside = path.relative(root, real);
  if (inside.startsWith('..') || path.isAbsolute(inside)) throw refuse(`${named} is outside the workspace`);
  if (inside.split(path.sep).some((part) => part.toLowerCase() === '.git')) throw refuse(`${named} belongs to git`);
  return real;
}

/** Of a file that is not there, the real place where it would be. */
async function realOf(file: string): Promise<string> {
  try {
    return await realpath(file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT' || path.dirname(file) === file) throw thrown;
    return path.join(await realOf(path.dirname(file)), path.basename(file));
  }
}
