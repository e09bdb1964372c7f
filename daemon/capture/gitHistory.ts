/** New commits of a workspace's repository, by git itself. It is asked only when the reflog has grown. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { simpleGit } from 'simple-git';
import { LOG_FORMAT, parseLog } from './commits.ts';
import type { Commit } from './commits.ts';

/** A pull may bring thousands; what they contain is rarely the developer's. */
const MOST_COMMITS = 50;

export class GitHistory {
  readonly #folder: string | null;
  #size = -1;

  constructor(workspace: string) {
    this.#folder = workspace.startsWith('file:') ? fileURLToPath(workspace) : null;
  }

  /** @param since HEAD when it was last looked at; null = never
   *  @returns null where nothing is new, or there is no repository */
  async news(since: string | null): Promise<{ head: string; commits: Commit[] } | null> {
    if (this.#folder === null) return null;
    const size = statSync(join(this.#folder, '.git', 'logs', 'HEAD'), { throwIfNoEntry: false })?.size ?? -1;
    if (size < 0 || size === this.#size) return null;
    this.#size = size;
    const git = simpleGit(this.#folder);
    const head = (await git.revparse(['HEAD'])).trim();
    if (head === since) return null;
    if (since === null) return { head, commits: [] };
    const log = await git.raw(['log', '--reverse', '--no-merges', '--unified=0', '--no-color', '--no-ext-diff', '-p', `-n${MOST_COMMITS}`, LOG_FORMAT, `${since}..${head}`]);
    return { head, commits: parseLog(log) };
  }
}
