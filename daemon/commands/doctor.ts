/** `hindsight doctor`: what works on this machine, what does not, and what to do about it. Each check
 *  does the real thing: loads, spawns, writes. */
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Command } from 'commander';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import { loadNative } from '../../native/index.ts';
import { startEngine } from '../engine/client.ts';
import { Journal } from '../journal/journal.ts';
import { bundledModel } from '../models/bundled.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { journalPath, makeHome } from '../server/home.ts';
import { connectDaemon, workspaceUri } from './client.ts';
import { print, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

export interface Finding {
  check: string;
  state: 'ok' | 'missing' | 'broken';
  /** What was found, or what to do. */
  says: string;
}

interface Check {
  name: string;
  /** @returns what was found; what it throws is the problem */
  run: () => Promise<string> | string;
  remedy: string;
  /** Nothing but the project's own tests needs it. */
  optional?: true;
}

const REINSTALL = 'Run `npm ci`, or reinstall the extension.';
const NODE = 20;
const FREE_BYTES = 2 ** 30;
const SECONDS = 10;

const CHECKS: readonly Check[] = [
  { name: 'Node.js', run: nodeVersion, remedy: `Install Node.js ${NODE} or newer.` },
  { name: 'home folder', run: homeWritable, remedy: 'Make it writable, or set HINDSIGHT_HOME to another folder.' },
  { name: 'disk', run: diskFree, remedy: 'Free some space: an adapter takes up to 200 MB.' },
  { name: 'native engine', run: () => `loads; its best kernels here are ${loadNative().isas.at(-1)}`, remedy: 'Run `npm run build`, or reinstall the extension.' },
  { name: 'CUDA', run: cudaUsable, remedy: 'The CPU engine serves and trains without it.', optional: true },
  { name: 'model', run: modelRuns, remedy: 'See the error; `hindsight model info` checks a model folder.' },
  { name: 'vscode-languageserver', run: async () => has((await import('vscode-languageserver')).createConnection), remedy: REINSTALL },
  { name: 'vscode-languageclient', run: languageClient, remedy: REINSTALL },
  { name: 'vscode-jsonrpc', run: async () => has((await import('vscode-jsonrpc/node')).createMessageConnection), remedy: REINSTALL },
  { name: 'simple-git', run: gitVersion, remedy: 'Install git and put it on the PATH.' },
  { name: 'node-pty', run: terminalRuns, remedy: REINSTALL },
  { name: 'onnxruntime-node', run: onnxBackends, remedy: REINSTALL },
  { name: '@vscode/test-electron', run: () => resolvable('@vscode/test-electron'), remedy: 'Only the project\'s own tests need it.', optional: true },
  { name: 'journal', run: journalSound, remedy: 'See `hindsight journal verify`.' },
  { name: 'daemon', run: daemonAnswers, remedy: 'See daemon.log in the home folder.' },
];

export function registerDoctor(program: Command): void {
  withJson(program.command('doctor'))
    .description('what works on this machine, what does not, and what to do about it')
    .action(async (flags: JsonOption) => {
      const findings = await examine(CHECKS);
      const lines = findings.map(({ check, state, says }) => `${state === 'ok' ? 'ok     ' : state === 'missing' ? '-      ' : 'BROKEN '} ${check.padEnd(24)} ${says}`);
      const broken = findings.filter(({ state }) => state === 'broken');
      print({ ok: broken.length === 0, findings }, lines.join('\n'), flags);
      if (broken.length > 0) throw new HindsightError('badRequest', { problem: `${broken.length} of ${findings.length} checks failed: ${broken.map(({ check }) => check).join(', ')}`, remedy: broken[0]?.says ?? '' });
    });
}

async function examine(checks: readonly Check[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, run, remedy, optional } of checks) {
    try {
      findings.push({ check: name, state: 'ok', says: await within(run) });
    } catch (thrown) {
      const problem = toHindsightError(thrown);
      // A catalogue error names its own remedy.
      const says = problem.errorName === 'internal' ? `${String(problem.details['message'])}. ${remedy}` : problem.message;
      findings.push({ check: name, state: optional ? 'missing' : 'broken', says });
    }
  }
  return findings;
}

async function within(run: Check['run']): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${SECONDS} s`)), SECONDS * 1000);
  });
  return Promise.race([Promise.resolve().then(run), late]).finally(() => clearTimeout(timer));
}

function nodeVersion(): string {
  if (Number(process.versions.node.split('.')[0]) < NODE) throw new Error(`${process.versions.node} is too old`);
  return process.versions.node;
}

function homeWritable(): string {
  const home = hindsightHome();
  makeHome(home);
  const probe = join(home, `doctor-${process.pid}`);
  writeFileSync(probe, '');
  rmSync(probe);
  return home;
}

function diskFree(): string {
  const { bavail, bsize } = statfsSync(hindsightHome());
  const free = bavail * bsize;
  if (free < FREE_BYTES) throw new Error(`${Math.round(free / 2 ** 20)} MB are free`);
  return `${Math.round(free / 2 ** 30)} GB free`;
}

/** The CPU is enough: what is missing is a finding, not a fault. */
function cudaUsable(): string {
  const why = loadNative().whyNoCuda();
  if (why === '') return 'can be used: `hindsight serve --device cuda`';
  throw new HindsightError('unsupported', { what: 'CUDA', problem: why.replace(/^CUDA is not used: /, '').replace(/\.$/, ''), remedy: 'The CPU engine serves and trains without it.' });
}

async function modelRuns(): Promise<string> {
  const engine = await startEngine({ modelDir: bundledModel() });
  try {
    const { name, device, dtype, fingerprint } = engine.model;
    return `${name} loads in an engine of its own (${device}, ${dtype}, ${fingerprint.slice(0, 12)})`;
  } finally {
    await engine.close();
  }
}

/** It needs an editor around it: it is resolved here, and part of the extension's bundle. */
function languageClient(): string {
  const bundle = join(__dirname, 'window.js');
  return existsSync(bundle) ? 'part of the extension' : resolvable('vscode-languageclient/node');
}

async function gitVersion(): Promise<string> {
  const { simpleGit } = await import('simple-git');
  const version = await simpleGit().version();
  if (!version.installed) throw new Error('git was not found');
  return `git ${version.major}.${version.minor}`;
}

async function terminalRuns(): Promise<string> {
  const { spawn } = await import('node-pty');
  const [file, args] = process.platform === 'win32' ? ['cmd.exe', ['/c', 'exit', '0']] : ['/bin/sh', ['-c', 'exit 0']];
  const terminal = spawn(file as string, args as string[], {});
  const { exitCode } = await new Promise<{ exitCode: number }>((resolve) => terminal.onExit(resolve));
  if (exitCode !== 0) throw new Error(`a command in a terminal ended with ${exitCode}`);
  return 'runs a command';
}

async function onnxBackends(): Promise<string> {
  const { listSupportedBackends } = await import('onnxruntime-node');
  return `backends: ${listSupportedBackends().map(({ name }) => name).join(', ')}`;
}

function journalSound(): string {
  const path = journalPath(hindsightHome());
  if (!existsSync(path)) return 'none yet';
  const journal = Journal.open(path);
  try {
    const [problem] = journal.verify();
    if (problem !== undefined) throw new Error(problem);
    return `sound, ${journal.stats().signals} signals`;
  } finally {
    journal.close();
  }
}

async function daemonAnswers(): Promise<string> {
  const daemon = await connectDaemon(workspaceUri());
  if (daemon === null) return 'not running; an editor or `hindsight serve` starts it';
  daemon.link.dispose();
  return `process ${daemon.hello.daemon.pid}, version ${daemon.hello.daemon.version}`;
}

function resolvable(name: string): string {
  try {
    createRequire(__filename).resolve(name);
  } catch {
    throw new Error('not installed');
  }
  return 'installed';
}

function has(value: unknown): string {
  if (typeof value !== 'function') throw new Error('it loads, but not as expected');
  return 'loads';
}
