/**
 * Where practice works: a throw-away git worktree of the last commit. Its commands have no network, see
 * the user's own work tree read-only, and do not see git's store at all, in which later commits may hold
 * the answer. A machine that cannot give such a place does not practise.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { simpleGit } from 'simple-git';
import { HindsightError } from '../../protocol/errors.ts';
import type { TestReport } from '../../protocol/tests.ts';
import { workspaceFiles } from '../agent/tools/files.ts';
import { quoted } from '../agent/tests/runners.ts';
import { runTests } from '../agent/tests/run.ts';
import { isTestFile } from '../agent/tests/testFile.ts';
import { runInTerminal } from '../agent/terminal/run.ts';
import type { TerminalCommand, TerminalOutcome } from '../agent/terminal/run.ts';

const ISOLATED = ['-r', '-n', '-m'];
const TEST_MS = 600_000;
/** What decides how tests run, beside the tests. */
const HARNESS = /(^|\/)(package\.json|[^/]*\.config\.[cm]?[jt]s|pytest\.ini|conftest\.py|tox\.ini|setup\.cfg|pyproject\.toml|go\.mod|Cargo\.toml)$/;

/** $1 = the user's work tree, $2 = git's store, $3 = where, $4 = the command. Local servers of tests need the loopback. */
const INSIDE = 'mount --rbind "$1" "$1" && mount -o remount,ro,bind "$1" && mount -t tmpfs -o ro tmpfs "$2" && cd "$3" || exit 125; ip link set lo up 2>/dev/null; exec sh -c "$4"';

/** @throws unsupported where commands cannot be kept from the network and from git */
export async function requireIsolation(): Promise<void> {
  try {
    if (process.platform !== 'linux') throw new Error(`it needs namespaces of Linux, and this is ${process.platform}`);
    await promisify(execFile)('unshare', [...ISOLATED, '--', 'sh', '-c', 'mount -t tmpfs -o ro tmpfs /mnt']);
  } catch (thrown) {
    const problem = (thrown instanceof Error ? thrown.message : String(thrown)).trim().split('\n').at(-1) ?? '';
    throw new HindsightError('unsupported', { what: 'Practice', problem: `commands cannot be kept from the network and from git here (${problem})`, remedy: 'Practise on a Linux machine that allows `unshare -r -n -m`.' });
  }
}

export class Bench {
  private constructor(
    /** The workspace's folder in the worktree. */
    readonly folder: string,
    private readonly root: string,
    private readonly top: string,
    private readonly store: string,
  ) {}

  /** @param workspace  a folder in a git repository
   *  @throws badRequest where it is in none */
  static async open(workspace: string): Promise<Bench> {
    const git = simpleGit(workspace);
    const [top, store] = await Promise.all([git.revparse(['--show-toplevel']), git.revparse(['--path-format=absolute', '--git-common-dir'])]).catch(() => {
      throw new HindsightError('badRequest', { problem: `${workspace} is in no git repository with a commit`, remedy: 'Practise where the code is under git.' });
    });
    const root = path.join(await realpath(await mkdtemp(path.join(tmpdir(), 'hindsight-practice-'))), 'work');
    const inside = path.relative(await realpath(top), await realpath(workspace));
    const bench = new Bench(path.join(root, inside), root, top, store);
    try {
      await git.raw(['worktree', 'add', '--detach', '--quiet', root, 'HEAD']);
      // Installed packages are not under git; they are read-only to what runs here.
      for (const at of new Set(['', inside])) {
        const packages = path.join(top, at, 'node_modules');
        if (existsSync(packages) && !existsSync(path.join(root, at, 'node_modules'))) await symlink(packages, path.join(root, at, 'node_modules'));
      }
      return bench;
    } catch (thrown) {
      await bench.close();
      throw thrown;
    }
  }

  /** Removes the worktree, and git's note of it. */
  async close(): Promise<void> {
    await rm(path.dirname(this.root), { recursive: true, force: true });
    await simpleGit(this.top).raw(['worktree', 'prune']);
  }

  /** One command, with its exact end. */
  run(order: Omit<TerminalCommand, 'cwd'>): Promise<TerminalOutcome> {
    const words = ['unshare', ...ISOLATED, '--', 'sh', '-c', INSIDE, 'sh', this.top, this.store, this.folder, order.command];
    return runInTerminal({ ...order, command: words.map(quoted).join(' '), cwd: this.folder }).outcome;
  }

  /** @returns null where there are no tests, or their runner wrote no report */
  async test(signal: AbortSignal): Promise<TestReport | null> {
    const run = await runTests(this.folder, [], (command, cap) => this.run({ command, cap, deadlineMs: TEST_MS, signal }));
    return run?.report ?? null;
  }

  /** Tests and what says how they run, by file: to tell whether an attempt changed them. */
  async harness(): Promise<Map<string, string>> {
    const files = (await workspaceFiles(this.folder)).filter((file) => isTestFile(file) || HARNESS.test(file));
    return new Map(await Promise.all(files.map(async (file): Promise<[string, string]> => [file, await readFile(path.join(this.folder, file), 'utf8').catch(() => '')])));
  }
}
