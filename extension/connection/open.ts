// Opens a socket to the daemon of this user, and starts that daemon when nobody listens.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { socketPath } from '../../protocol/address.ts';
import { t } from '../translate.ts';

export interface DaemonProgram {
  /** `dist/hindsight.js`. */
  readonly script: string;
  /** Additional arguments of `serve`. */
  readonly args: readonly string[];
  /** What the daemon prints before it has a log of its own; the newest start only. */
  readonly startLog: string;
}

/** A daemon that does not listen after this long has failed. Loading a model is not part of it. */
const START_DEADLINE_MS = 20_000;
const POLL_MS = 100;

/** @throws when the daemon neither answers nor can be started; the message names where to look */
export async function openDaemon(home: string, program: DaemonProgram, signal: AbortSignal, say: (line: string) => void): Promise<Socket> {
  const path = socketPath(home);
  const running = await tryConnect(path);
  if (running !== undefined) return running;
  say(`starting the daemon: serve on ${path}`);
  const started = startDaemon(home, program);
  for (const deadline = Date.now() + START_DEADLINE_MS; Date.now() < deadline; ) {
    signal.throwIfAborted();
    const socket = await tryConnect(path);
    if (socket !== undefined) return socket;
    // Not yet a failure: another window's daemon may have won the race for the socket and be about to listen.
    if (started.endedWith() !== undefined && (await endedForGood(path))) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const ended = started.endedWith();
  const how = ended === undefined ? t('The Hindsight daemon does not listen after {0} s.', START_DEADLINE_MS / 1000) : t('The Hindsight daemon ended at once ({0}).', ended);
  throw new Error(`${how} ${t('See {0}, or run `hindsight doctor`.', program.startLog)}`);
}

async function endedForGood(socket: string): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const late = await tryConnect(socket);
  late?.destroy();
  return late === undefined;
}

/** @returns undefined when nobody listens there */
export async function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy();
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(error);
    });
  });
}

/** Detached and in a session of its own: the daemon serves other windows too and outlives this one. */
function startDaemon(home: string, program: DaemonProgram): { endedWith(): string | undefined } {
  mkdirSync(path.dirname(program.startLog), { recursive: true });
  const log = openSync(program.startLog, 'w');
  try {
    const child = spawn(process.execPath, [program.script, 'serve', ...program.args], {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...withoutEditor(process.env), HINDSIGHT_HOME: home, ELECTRON_RUN_AS_NODE: '1' },
    });
    let ended: string | undefined;
    child.once('exit', (code, signal) => {
      ended = code === null ? t('signal {0}', signal ?? '') : t('exit code {0}', code);
    });
    child.once('error', (error) => {
      ended = error.message;
    });
    child.unref();
    return { endedWith: () => ended };
  } finally {
    closeSync(log);
  }
}

/** What the extension host was started with is not meant for a process that outlives it. */
function withoutEditor(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$|APPLICATION_INSIGHTS)/.test(name)));
}
