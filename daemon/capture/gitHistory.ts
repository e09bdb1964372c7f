/** New commits of a workspace's repository, by git itself. It is asked only when the reflog has grown. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { simpleGit } from 'simple-git';
import type { SimpleGit } from 'simple-git';
import { LOG_FORMAT, parseLog } from './commits.ts';
import type { Commit } from './commits.ts';

/** A pull may bring thousands; what they contain is rarely the developer's. */
const MOST_COMMITS = 50;

export class GitHistory {
  readonly #folder: string | null;
  #size = -1;
  /** The reflog's file, wherever the repository keeps it: the folder may be a part of it, or a worktree. null = no repository. */
  #reflog: string | null | undefined;

  constructor(workspace: string) {
    this.#folder = workspace.startsWith('file:') ? fileURLToPath(workspace) : null;
  }

  /** @param since HEAD when it was last looked at; null = never
   *  @returns null where nothing is new, or there is no repository */
  async news(since: string | null): Promise<{ head: string; commits: Commit[] } | null> {
    if (this.#folder === null) return null;
    const git = simpleGit(this.#folder);
    this.#reflog ??= await reflogOf(git, this.#folder);
    const size = this.#reflog === null ? -1 : (statSync(this.#reflog, { throwIfNoEntry: false })?.size ?? -1);
    if (size < 0 || size === this.#size) return null;
    this.#size = size;
    const head = (await git.revparse(['HEAD'])).trim();
    if (head === since) return null;
    // A commit that git has thrown away since: what came after it cannot be told.
    if (since === null || !(await exists(git, since))) return { head, commits: [] };
    const log = await git.raw(['log', '--reverse', '--no-merges', '--unified=0', '--no-color', '--no-ext-diff', '-p', `-n${MOST_COMMITS}`, LOG_FORMAT, `${since}..${head}`]);
    return { head, commits: parseLog(log) };
  }
}

function exists(git: SimpleGit, commit: string): Promise<boolean> {
  return git.raw(['cat-file', '-e', `${commit}^{commit}`]).then(() => true, () => false);
}

async function reflogOf(git: SimpleGit, folder: string): Promise<string | null> {
  return git.revparse(['--git-path', 'logs/HEAD']).then((path) => resolve(folder, path.trim()), () => null);
}
