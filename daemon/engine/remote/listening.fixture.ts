/** A listening engine as its operator starts it: the real program, in a home of its own, for tests. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parsePairing } from '../../../protocol/pairing.ts';
import type { Pairing } from '../../../protocol/pairing.ts';

const HINDSIGHT = resolve('dist/hindsight.js');
const START_MS = 60_000;
/** Linux's USER_HZ. */
const CLOCK_TICKS = 100;

export interface ListeningEngine {
  home: string;
  pid: number;
  pairing: Pairing;
  line: string;
  /** Resident memory now, bytes. */
  rss(): number;
  /** Processor time so far, seconds: what it took does not depend on what else the machine does. */
  cpuSeconds(): number;
  alive(): boolean;
  /** Lets one more machine in. */
  token(name: string): Pairing;
  hindsight(...args: string[]): string;
  stop(): Promise<void>;
}

export interface ListeningOptions {
  listen?: string;
  args?: string[];
  /** Put before the command, e.g. to run it in a network namespace. */
  prefix?: string[];
  /** A home that exists: an engine that is started anew. Its pairing is the one given. */
  again?: { home: string; pairing: Pairing };
}

export async function startListening({ listen = '127.0.0.1:0', args = [], prefix = [], again }: ListeningOptions = {}): Promise<ListeningEngine> {
  const home = again?.home ?? mkdtempSync(join(tmpdir(), 'hindsight-listen-'));
  const env = { ...process.env, HINDSIGHT_HOME: home };
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, '--enable-source-maps', HINDSIGHT, 'engine', '--listen', listen, '--threads', '1', ...args];
  const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = await output(child, again === undefined ? /hindsight:\/\/\S+\n/ : /listens on \S+/);
  const line = again === undefined ? (/hindsight:\/\/\S+/.exec(said)?.[0] ?? '') : '';
  const pairing = again?.pairing ?? parsePairing(line);
  const hindsight = (...command: string[]): string => execFileSync(process.execPath, [HINDSIGHT, ...command], { env, encoding: 'utf8' });
  return {
    home, pid: child.pid ?? 0, pairing, line, hindsight,
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024,
    cpuSeconds: () => {
      const [utime = 0, stime = 0] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ').slice(11, 13).map(Number);
      return (utime + stime) / CLOCK_TICKS;
    },
    alive: () => child.exitCode === null && child.signalCode === null,
    token: (name) => ({ ...parsePairing((JSON.parse(hindsight('engine', 'tokens', 'add', name, '--json', '-')) as { pairing: string }).pairing), host: pairing.host, port: pairing.port }),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((done) => child.once('exit', done));
        child.kill('SIGKILL');
        await ended;
      }
      if (again === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}

function output(child: ChildProcess, until: RegExp): Promise<string> {
  return new Promise((done, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`the engine said only: ${said}`)), START_MS);
    const more = (text: string): void => {
      said += text;
      if (!until.test(said)) return;
      clearTimeout(timer);
      done(said);
    };
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', more);
    child.once('exit', (code) => reject(new Error(`the engine ended with ${code}: ${said}`)));
  });
}
