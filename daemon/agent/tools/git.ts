/** What git knows, read only: nothing here writes to a repository or talks to a remote. */
import { simpleGit } from 'simple-git';
import { z } from 'zod';
import { done, failed, tool } from './tool.ts';

const CHARS = 16_000;
const COMMITS = 20;

export const gitTool = tool({
  name: 'git',
  description: 'Reads the repository: status, diff of the working tree, log of the latest commits, or one commit.',
  parameters: z.object({ show: z.enum(['status', 'diff', 'log', 'commit']), path: z.string().optional(), commit: z.string().optional() }),
  title: ({ show, path }) => `git ${show}${path === undefined ? '' : ` ${path}`}`,
  async run({ show, path, commit }, context) {
    // A name that begins with a dash would be an option.
    if (commit !== undefined && !/^[\w][\w./~^-]*$/.test(commit)) return failed(`${commit} is not the name of a commit.`);
    const rest = path === undefined ? [] : ['--', path];
    const commands = {
      status: ['status', '--short', '--branch', ...rest],
      diff: ['diff', '--no-color', '--no-ext-diff', '--no-textconv', 'HEAD', ...rest],
      log: ['log', '--no-color', `--max-count=${COMMITS}`, '--date=short', '--format=%h %ad %an: %s', ...rest],
      commit: ['show', '--no-color', '--no-ext-diff', '--no-textconv', '--stat', '--patch', commit ?? 'HEAD', ...rest],
    };
    try {
      const text = await simpleGit(context.folder, { timeout: { block: 20_000 } }).raw(commands[show]);
      if (text.trim() === '') return done('Nothing.');
      return done(text.length <= CHARS ? text : `${text.slice(0, CHARS)}\n[cut]`);
    } catch (thrown) {
      return failed(thrown instanceof Error ? thrown.message.trim() : String(thrown));
    }
  },
});
