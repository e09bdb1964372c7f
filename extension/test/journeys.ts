// What `npm run test:editor` runs, in this order.
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { runToEnd } from './commandLine.ts';
import { HindsightCli } from './hindsightCli.ts';
import type { Journey, JourneyPlace } from './journey.ts';

/** A daemon of the journey's own: its journal, its adapters, its socket. */
const homeOf = (place: JourneyPlace): string => path.join(place.folder, 'home');
const ownDaemon = (place: JourneyPlace): Record<string, string> => ({ HINDSIGHT_HOME: homeOf(place) });

/** The suites run what the sources say, not what was built last. */
const buildExtension = (place: JourneyPlace): Promise<void> => runToEnd(process.execPath, ['esbuild.config.mjs'], { cwd: place.root });

/** What is typed is what stands there; nothing is learned meanwhile, which would only take its time; and few tabs stay open. */
const KNOWN_OUTCOMES = { 'editor.suggestOnTriggerCharacters': false, 'workbench.editor.limit.enabled': true, 'workbench.editor.limit.value': 12, 'hindsight.daemonArguments': ['--set', 'stepSamples=1000', '--set', 'quietSeconds=36000'] };

export const JOURNEYS: readonly Journey[] = [
  {
    name: 'harness',
    extension: 'extension/test/fixture',
    launches: [{ suites: ['harness', 'cost'], timeoutMs: 180_000 }],
  },
  {
    name: 'untrusted',
    extension: '.',
    trust: 'withheld',
    arrange: buildExtension,
    env: ownDaemon,
    launches: [{ suites: ['untrusted'], timeoutMs: 120_000 }],
  },
  {
    name: 'journey',
    extension: '.',
    arrange: buildExtension,
    env: ownDaemon,
    launches: [
      { suites: ['journey'], timeoutMs: 600_000 },
      { suites: ['restart'], timeoutMs: 240_000, before: killDaemon },
      { suites: ['learning'], timeoutMs: 900_000 },
    ],
    cleanUp: endDaemon,
  },
  {
    name: 'agent',
    extension: '.',
    settings: { 'chat.disableAIFeatures': false, 'editor.minimap.enabled': false },
    arrange: async (place) => {
      await buildExtension(place);
      await makeProject(place.workspace);
    },
    env: ownDaemon,
    launches: [
      { suites: ['agent'], timeoutMs: 600_000 },
      { suites: ['agentAgain'], timeoutMs: 240_000, before: killDaemon },
    ],
    cleanUp: endDaemon,
  },
  {
    name: 'ownWork',
    extension: '.',
    settings: { 'editor.minimap.enabled': false, 'terminal.integrated.shellIntegration.enabled': true },
    arrange: async (place) => {
      await buildExtension(place);
      await makeProject(place.workspace, 'works');
      const git = (...args: string[]): Promise<void> => runToEnd('git', ['-c', 'user.name=A', '-c', 'user.email=a@b.c', ...args], { cwd: place.workspace });
      await git('add', '.');
      await git('commit', '-q', '-m', 'first');
    },
    env: ownDaemon,
    launches: [{ suites: ['ownWork'], timeoutMs: 900_000 }],
    cleanUp: endDaemon,
  },
  {
    name: 'remote',
    extension: '.',
    // No file is held out: every suggestion that was answered teaches.
    settings: { 'hindsight.daemonArguments': ['--when', 'always', '--set', 'holdoutShare=0'] },
    arrange: async (place) => {
      await buildExtension(place);
      await startEngine(place);
    },
    env: ownDaemon,
    launches: [{ suites: ['remote'], timeoutMs: 600_000 }],
    cleanUp: async (place) => {
      await endDaemon(place);
      await endEngine(place);
    },
  },
  {
    name: 'suggestions',
    extension: '.',
    settings: KNOWN_OUTCOMES,
    arrange: buildExtension,
    env: ownDaemon,
    launches: [{ suites: ['accuracy', 'latency', 'heap', 'ghostText'], timeoutMs: 3_000_000 }],
    cleanUp: endDaemon,
  },
  {
    name: 'installed',
    extension: 'extension/test/fixture',
    vsix: '.cache/package/installed.vsix',
    full: true,
    arrange: async (place) => {
      await buildExtension(place);
      await runToEnd(process.execPath, ['extension/package/main.mjs', '--out', '.cache/package/installed.vsix'], { cwd: place.root });
    },
    env: ownDaemon,
    launches: [{ suites: ['installed'], timeoutMs: 300_000 }],
    cleanUp: endDaemon,
  },
];

const engineFile = (place: JourneyPlace): string => path.join(place.folder, 'engine.json');

/** An engine on loopback, as its operator starts it; the suite reads its pairing line and its pid. */
async function startEngine(place: JourneyPlace): Promise<void> {
  const env = { ...process.env, HINDSIGHT_HOME: path.join(place.folder, 'engine-home') };
  const child = spawn(process.execPath, [path.join(place.root, 'dist/hindsight.js'), 'engine', '--listen', '127.0.0.1:0', '--threads', '1'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const line = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const found = /hindsight:\/\/\S+(?=\n)/.exec(said)?.[0];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`the engine ended with ${code}`)));
  });
  await writeFile(engineFile(place), JSON.stringify({ line, pid: child.pid }));
}

/** Wherever the suite came to, also where it left it stopped. */
async function endEngine(place: JourneyPlace): Promise<void> {
  const { pid } = JSON.parse(await readFile(engineFile(place), 'utf8')) as { pid: number };
  process.kill(pid, 'SIGKILL');
}

/** A small project with a failing test, for the agent to work in. */
async function makeProject(folder: string, sum: 'fails' | 'works' = 'fails'): Promise<void> {
  await writeFile(path.join(folder, 'package.json'), JSON.stringify({ name: 'cart', type: 'module', scripts: { test: 'node --test' } }, null, 2));
  await writeFile(path.join(folder, 'total.js'), `export function total(prices) {\n  let sum = 0;\n  for (const price of prices) sum ${sum === 'works' ? '+' : '-'}= price;\n  return sum;\n}\n`);
  await writeFile(
    path.join(folder, 'total.test.js'),
    "import test from 'node:test';\nimport assert from 'node:assert/strict';\nimport { total } from './total.js';\n\ntest('adds the prices', () => assert.equal(total([2, 3]), 5));\n",
  );
  await runToEnd('git', ['init', '-q'], { cwd: folder });
}

async function daemonPid(place: JourneyPlace): Promise<number> {
  return (await new HindsightCli(place.root, homeOf(place)).status(pathToFileURL(place.workspace).href)).daemon.pid;
}

/** With nobody there it has been killed already, by the suite before. */
async function killDaemon(place: JourneyPlace): Promise<void> {
  const pid = await daemonPid(place).catch(() => undefined);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
}

/** The daemon outlives the window on purpose; a test must not leave one behind. */
async function endDaemon(place: JourneyPlace): Promise<void> {
  const pid = await daemonPid(place).catch(() => undefined);
  if (pid !== undefined) process.kill(pid, 'SIGTERM');
}
