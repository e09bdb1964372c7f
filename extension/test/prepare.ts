// Prepares a real VS Code for the suites: its server, packed in code-server, and its Node from npm, Chromium from the system.
// Everything but Chromium lives in one ignored folder; deleting that folder is always safe.
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runToEnd } from './commandLine.ts';
import { restoreProposedApiCheck } from './proposedApi.ts';

/** What can be run: a version of code-server, and the Node that it asks for, whatever Node runs this harness. */
interface Edition {
  readonly codeServer: string;
  readonly node: string;
  /** The native modules of VS Code's server that have no prebuilt binary in their package. */
  readonly rebuilt: readonly string[];
  /** Dependencies that its manifest names by a commit, as releases of the registry. */
  readonly released?: Readonly<Record<string, string>>;
}

export const EDITIONS = {
  newest: { codeServer: '4.139.1', node: '24.21.0', rebuilt: ['@vscode/spdlog', '@vscode/native-watchdog', 'node-pty'] },
  /** The floor of the manifest, engines.vscode. */
  oldest: { codeServer: '4.106.3', node: '22.23.5', rebuilt: ['@vscode/spdlog', 'native-watchdog', 'node-pty'], released: { '@parcel/watcher': '2.5.1' } },
} as const satisfies Record<string, Edition>;
export type EditionName = keyof typeof EDITIONS;

/** Raise when the steps below change, so that existing caches are prepared anew. */
const RECIPE = 1;

export interface PreparedEditor {
  /** The version of VS Code. */
  readonly version: string;
  readonly node: string;
  /** VS Code's own server, which takes the options of its tests; the entry of code-server 4.106 hands none on. */
  readonly serverEntry: string;
  readonly chromium: string;
}

export async function prepareEditor(cacheFolder: string, name: EditionName, say: (line: string) => void): Promise<PreparedEditor> {
  if (process.platform !== 'linux') {
    throw new Error('the browser-hosted editor is prepared on Linux only; set HINDSIGHT_VSCODE to a desktop VS Code, or pass --desktop to download one');
  }
  const chromium = await prepareChromium(say);
  const edition: Edition = EDITIONS[name];
  const nodePackage = `node-linux-${process.arch}`;
  const install = path.join(cacheFolder, `code-server-${edition.codeServer}`);
  const nodeFolder = path.join(install, 'node_modules', nodePackage);
  const stampFile = path.join(install, 'prepared.json');
  const stamp = JSON.stringify({ recipe: RECIPE, ...edition, arch: process.arch });
  if ((await readIfThere(stampFile)) !== stamp) {
    // The stamp is written last, so a folder without the right one is a broken or an old install.
    await rm(install, { recursive: true, force: true });
    await mkdir(install, { recursive: true });
    await installEditor(edition, install, nodePackage, nodeFolder, say);
    await writeFile(stampFile, stamp);
    say('editor prepared');
  }
  return {
    version: edition.codeServer.replace(/^4/, '1'),
    node: path.join(nodeFolder, 'bin', 'node'),
    serverEntry: path.join(install, 'node_modules/code-server/lib/vscode/out/server-main.js'),
    chromium,
  };
}

async function installEditor({ codeServer, node, rebuilt, released }: Edition, install: string, nodePackage: string, nodeFolder: string, say: (line: string) => void): Promise<void> {
  await writeFile(path.join(install, 'package.json'), JSON.stringify({ name: 'hindsight-editor-under-test', private: true }));
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  say(`installing Node ${node}`);
  // --no-save, and the next install would prune it: so both are named in the second call.
  await runToEnd('npm', ['install', `${nodePackage}@${node}`, ...quiet], { cwd: install });
  const env = {
    ...process.env,
    PATH: `${path.join(nodeFolder, 'bin')}${path.delimiter}${process.env['PATH'] ?? ''}`,
    // Headers from the package: node-gyp would otherwise download them.
    npm_config_nodedir: nodeFolder,
  };
  say(`installing code-server ${codeServer}`);
  await runToEnd('npm', ['install', `code-server@${codeServer}`, '--ignore-scripts', ...quiet], { cwd: install, env });
  const vscode = path.join(install, 'node_modules/code-server/lib/vscode');
  if (released !== undefined) await Promise.all([vscode, path.join(vscode, 'extensions')].map((folder) => useReleases(folder, released)));
  say('installing the editor\'s own packages');
  await runToEnd('npm', ['install', '--omit=dev', '--ignore-scripts', ...quiet], { cwd: vscode, env });
  say('compiling the editor\'s native modules');
  await runToEnd('npm', ['rebuild', ...rebuilt, '--loglevel=error'], { cwd: vscode, env });
  say('installing the built-in extensions\' packages');
  await runToEnd('npm', ['install', '--omit=dev', '--ignore-scripts', ...quiet], { cwd: path.join(vscode, 'extensions'), env });
  await restoreProposedApiCheck(path.join(vscode, 'out/vs/workbench/api/node/extensionHostProcess.js'));
}

/** What only its developers need is looked up as well, though it is left out; and its lock file holds the commits, too. */
async function useReleases(folder: string, released: Readonly<Record<string, string>>): Promise<void> {
  const file = path.join(folder, 'package.json');
  const { dependencies, ...manifest } = JSON.parse(await readFile(file, 'utf8')) as { dependencies: Record<string, string> };
  const named = Object.entries(dependencies).map(([name, version]) => [name, released[name] ?? version]);
  await writeFile(file, JSON.stringify({ ...manifest, dependencies: Object.fromEntries(named), devDependencies: {} }, null, 2));
  await rm(path.join(folder, 'npm-shrinkwrap.json'), { force: true });
}

async function prepareChromium(say: (line: string) => void): Promise<string> {
  const found = findChromium();
  if (found !== undefined) return found;
  const remedy = 'install Chromium (Debian: apt-get install chromium) or set HINDSIGHT_CHROMIUM to its executable';
  if (onPath('apt-get') === undefined || process.getuid?.() !== 0) throw new Error(`the editor suites need Chromium: ${remedy}`);
  say('installing Chromium with apt');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await runToEnd('apt-get', ['update'], { env });
    await runToEnd('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], { env });
  } catch (error) {
    throw new Error(`Chromium could not be installed with apt; ${remedy}`, { cause: error });
  }
  const installed = findChromium();
  if (installed === undefined) throw new Error(`apt installed chromium, but no executable of it is on PATH; ${remedy}`);
  return installed;
}

function findChromium(): string | undefined {
  const named = process.env['HINDSIGHT_CHROMIUM'];
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`HINDSIGHT_CHROMIUM names ${named}, which does not exist`);
    return named;
  }
  return ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'].map(onPath).find((file) => file !== undefined);
}

function onPath(program: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
    const file = path.join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      continue;
    }
  }
  return undefined;
}

async function readIfThere(file: string): Promise<string | undefined> {
  return existsSync(file) ? readFile(file, 'utf8') : undefined;
}
