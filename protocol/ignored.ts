/**
 * Files of a workspace of which nothing is recorded: the user's globs, `.hindsightignore` at its root,
 * and what git ignores. The one rule of both sides: the editor does not send what it covers, and the
 * daemon neither stores it nor puts it into a prompt.
 */
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ignore, { type Ignore } from 'ignore';

/** The default of the setting `hindsight.privacy.ignoredFiles`; patterns as in `.gitignore`. */
export const IGNORED_BY_DEFAULT: readonly string[] = ['.env', '.env.*', '*.pem', '*.key', '*.p12', '*.pfx', '*.kdbx', 'id_rsa*', 'id_ed25519*', '.netrc', '.npmrc', '.pypirc'];

/** A change of a rule is seen after so long; a decision in between costs a look into a map. */
const FRESH_MS = 5000;
/** Names of the files that hold rules, the root's own first. */
const OWN_RULES = '.hindsightignore';
const GIT_RULES = '.gitignore';
const GIT_EXCLUDE = join('.git', 'info', 'exclude');

export class IgnoredFiles {
  readonly #root: string | null;
  #globs: Ignore;
  #decisions = new Map<string, boolean>();
  #folders = new Map<string, Ignore | null>();
  #readAt = -Infinity;

  /** @param workspace  folder URI; rules are read from disk where it is a `file:` one */
  constructor(workspace: string, globs: readonly string[] = IGNORED_BY_DEFAULT, private readonly now: () => number = Date.now) {
    this.#root = pathOf(workspace);
    this.#globs = ignore().add([...globs]);
  }

  setGlobs(globs: readonly string[]): void {
    this.#globs = ignore().add([...globs]);
    this.#readAt = -Infinity;
  }

  /** Whether nothing may be recorded of a document. What lies outside the workspace is not this rule's to say. */
  ignores(uri: string): boolean {
    if (this.now() - this.#readAt >= FRESH_MS) {
      this.#decisions = new Map();
      this.#folders = new Map();
      this.#readAt = this.now();
    }
    const known = this.#decisions.get(uri);
    if (known !== undefined) return known;
    const decision = this.#decide(uri);
    this.#decisions.set(uri, decision);
    return decision;
  }

  #decide(uri: string): boolean {
    const file = pathOf(uri);
    if (file === null || this.#root === null) return false;
    const path = relative(this.#root, file).replaceAll('\\', '/');
    if (path === '' || path.startsWith('..') || !ignore.isPathValid(path)) return false;
    if (this.#globs.ignores(path) || this.#rules('', OWN_RULES)?.ignores(path)) return true;
    // As git does: what is in an ignored folder is ignored, whatever rules stand inside it.
    const parts = path.split('/');
    return parts.some((_, at) => this.#ignoredByGit(parts, at + 1));
  }

  /** Of the file, or of a folder above it; the rules nearest to it decide. */
  #ignoredByGit(parts: readonly string[], length: number): boolean {
    for (let above = length - 1; above >= 0; above -= 1) {
      const rules = this.#rules(parts.slice(0, above).join('/'), GIT_RULES);
      const inside = parts.slice(above, length).join('/') + (length < parts.length ? '/' : '');
      const { ignored, unignored } = rules?.test(inside) ?? {};
      if (ignored || unignored) return ignored === true;
    }
    return this.#rules('', GIT_EXCLUDE)?.ignores(parts.slice(0, length).join('/') + (length < parts.length ? '/' : '')) ?? false;
  }

  #rules(folder: string, name: string): Ignore | null {
    const path = join(this.#root ?? '', folder, name);
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const rules = read(path);
    this.#folders.set(path, rules);
    return rules;
  }
}

function read(path: string): Ignore | null {
  try {
    return ignore().add(readFileSync(path, 'utf8'));
  } catch {
    // There is none, or nobody may read it: it says nothing.
    return null;
  }
}

function pathOf(uri: string): string | null {
  try {
    return uri.startsWith('file:') ? fileURLToPath(uri) : null;
  } catch {
    return null;
  }
}
