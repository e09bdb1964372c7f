/** Proposing an edit: a piece of a file replaced, or a new file. The user reviews it hunk by hunk. */
import path from 'node:path';
import { z } from 'zod';
import { insideWorkspace } from './paths.ts';
import { done, failed, tool } from './tool.ts';

const LARGEST = 2 * 1024 * 1024;

export const editFileTool = tool({
  name: 'edit_file',
  description: 'Replaces a piece of a file. old_text must be in the file exactly once, with its white space; give enough lines around it. With an empty old_text a new file is made.',
  parameters: z.object({ path: z.string(), old_text: z.string(), new_text: z.string() }),
  title: ({ path: file }) => `Edit ${file}`,
  async run({ path: named, old_text: old, new_text: replacement }, context) {
    const file = await insideWorkspace(context.folder, named);
    const before = await context.readText(file);
    const after = replaced(named, before, old, replacement);
    if ('problem' in after) return failed(after.problem);
    if (after.text.length > LARGEST) return failed(`${named} would be over ${LARGEST / 1024 / 1024} MB.`);
    const problem = await context.applyEdit({ turn: context.turn, path: file, before, after: after.text });
    if (problem !== null) return failed(problem);
    context.task.editedFiles.add(path.relative(context.folder, file).replaceAll('\\', '/'));
    return done(before === null ? `Made ${named}.` : `Edited ${named}.`);
  },
});

/** The file's text after the edit, or in one sentence why there is none. Line ends of the file are kept. */
export function replaced(named: string, before: string | null, old: string, replacement: string): { text: string } | { problem: string } {
  if (before === null) return old === '' ? { text: replacement } : { problem: `There is no file ${named}.` };
  if (old === '') return before.trim() === '' ? { text: replacement } : { problem: `${named} exists. Name the text to replace.` };
  const windows = before.includes('\r\n');
  const ends = (text: string): string => (windows ? text.replace(/\r?\n/g, '\r\n') : text);
  const [wanted, written] = [ends(old), ends(replacement)];
  const at = before.indexOf(wanted);
  if (at < 0) return { problem: `old_text is not in ${named}. Read the file again: it must match exactly, white space included.` };
  if (before.indexOf(wanted, at + 1) >= 0) return { problem: `old_text is in ${named} more than once. Give more lines around it.` };
  if (wanted === written) return { problem: 'new_text is the same as old_text.' };
  return { text: before.slice(0, at) + written + before.slice(at + wanted.length) };
}
