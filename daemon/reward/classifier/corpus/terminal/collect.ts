/** Runs every scenario for real and records what the terminal showed. Needs a Unix shell and the tools. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { capText, stripControl } from '../../normalize.ts';
import { Random } from '../random.ts';
import type { CorpusRecord } from '../record.ts';
import { BUILDS } from './builds.ts';
import { COMPILERS } from './compilers.ts';
import { project, type Scenario, type Tool } from './scenario.ts';
import { SHELL } from './shell.ts';
import { TEST_RUNNERS } from './tests.ts';
import { VERSIONS } from './versions.ts';

const TOOLS: Tool[] = [...SHELL, ...VERSIONS, ...BUILDS, ...COMPILERS, ...TEST_RUNNERS];
const HOMES = ['/home/dev/src', '/home/maria/work', '/Users/sam/code', '/srv/app', '/workspaces', '/home/lee/projects', '/Users/ana/Documents/repos'];
const SECONDS = 40;

/** @param nodeModules  where npx finds tsc, eslint, mocha and vitest
 *  @param share        of the runs of each tool, for a quick look */
export function collectTerminal(seed: number, nodeModules: string, share: number, progress: (text: string) => void): CorpusRecord[] {
  const records: CorpusRecord[] = [];
  TOOLS.forEach((tool, index) => {
    const random = new Random(seed * 1000 + index);
    let kept = 0;
    const wanted = Math.ceil(tool.runs * share);
    for (let run = 0; run < wanted; run++) {
      const record = collectOne(tool, random, nodeModules);
      if (record !== null) {
        kept += 1;
        records.push(record);
      }
    }
    progress(`${tool.family}: ${kept} of ${wanted} runs ended as labelled`);
  });
  return records;
}

function collectOne(tool: Tool, random: Random, nodeModules: string): CorpusRecord | null {
  const scenario = tool.make(random);
  const root = mkdtempSync(join(tmpdir(), 'hs-'));
  const name = project(random);
  const dir = join(root, name);
  try {
    writeFiles(dir, scenario.files);
    if (scenario.command.startsWith('npx ')) symlinkSync(nodeModules, join(dir, 'node_modules'));
    for (const command of scenario.setup ?? []) spawnSync('bash', ['-c', command], { cwd: dir, timeout: SECONDS * 1000, env: environment(root) });
    return record(tool, scenario, random, dir, root, nodeModules);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function record(tool: Tool, scenario: Scenario, random: Random, dir: string, root: string, nodeModules: string): CorpusRecord | null {
  const run = spawnSync('bash', ['-c', `${scenario.command.includes('2>&1') ? scenario.command : `{ ${scenario.command}\n} 2>&1`}`], { cwd: dir, timeout: SECONDS * 1000, encoding: 'utf8', maxBuffer: 1 << 26, env: environment(root), input: '' });
  const exitCode = run.status ?? 128;
  if (run.error !== undefined || (scenario.exit === 'zero' && exitCode !== 0) || (scenario.exit === 'nonzero' && exitCode === 0)) return null;
  const shown = `${random.pick(HOMES)}/${dir.slice(root.length + 1)}`;
  const text = scrub(run.stdout + run.stderr, [[dir, shown], [dirname(nodeModules), shown], [root, dirname(shown)]]);
  return { kind: 'terminal', family: tool.family, label: scenario.label, command: scenario.command, exitCode, text: capText(text) };
}

/** The corpus names no machine: paths of the collecting one become those of nobody. */
function scrub(output: string, places: [string, string][]): string {
  let text = stripControl(output);
  for (const [from, to] of places) text = text.replaceAll(from, to);
  text = text.replace(/\/root\b/g, '/home/dev').replace(/\/tmp\/hs-\w+/g, '/tmp/x');
  return text.replace(/^npm warn Unknown (user|project|env) config.*\n/gm, '').replace(/^Looking in links:.*\n/gm, '');
}

function environment(home: string): NodeJS.ProcessEnv {
  const { PATH, LANG, CARGO_HOME, RUSTUP_HOME, PYENV_ROOT, HOME } = process.env;
  const kept = { CARGO_HOME: CARGO_HOME ?? join(HOME ?? '', '.cargo'), RUSTUP_HOME: RUSTUP_HOME ?? join(HOME ?? '', '.rustup'), PYENV_ROOT: PYENV_ROOT ?? join(HOME ?? '', '.pyenv') };
  return { PATH, LANG, ...kept, HOME: home, GIT_PAGER: 'cat', PAGER: 'cat', GIT_EDITOR: 'true', npm_config_update_notifier: 'false', npm_config_cache: join(home, '.npm'), PIP_DISABLE_PIP_VERSION_CHECK: '1', PYTEST_DISABLE_PLUGIN_AUTOLOAD: '1' };
}

function writeFiles(dir: string, files: Record<string, string>): void {
  mkdirSync(dir, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
}
