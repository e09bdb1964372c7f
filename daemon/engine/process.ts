/** One run of the engine program: a child on a pipe, from its start to its end. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import type { MessageConnection } from 'vscode-jsonrpc/node';
import { streamLink } from '../../protocol/links.ts';
import { CHANNEL_VARIABLE } from './channel.ts';
import { engineEntry } from './entry.ts';

const CHANNEL = 3;
const MILLISECONDS_TO_END = 2000;

export interface EngineProcess {
  readonly link: MessageConnection;
  readonly pid: number | undefined;
  /** Resolves once, with the reason in words, when the process or its pipe is gone. */
  readonly ended: Promise<string>;
  /** The pipe is closed, so `ended` is near: a call that fails now fails because of that. */
  readonly lost: boolean;
  /** Asks it to end by closing the pipe, and kills it if it does not. */
  close(): Promise<void>;
}

/** @param log gets each line that the engine prints
 *  @throws engineUnavailable where its program is missing */
export function spawnEngine(log: (line: string) => void): EngineProcess {
  const child = spawn(process.execPath, ['--enable-source-maps', engineEntry()], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', [CHANNEL_VARIABLE]: String(CHANNEL) },
  });
  const pipe = child.stdio[CHANNEL] as Duplex;
  const link = streamLink(pipe, pipe);
  for (const stream of [child.stdout, child.stderr]) lines(stream, log);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`it could not be started (${error.message})`));
    child.once('exit', (code, signal) => resolve(signal ? `it was ended by ${signal}` : `it ended with code ${code}`));
  });
  const ended = exited.then((reason) => {
    link.dispose();
    pipe.destroy();
    return reason;
  });
  // A broken pipe is noticed as the process's end; these only keep it from being an uncaught error.
  pipe.on('error', () => undefined);
  let lost = false;
  const onLost = (): void => {
    lost = true;
    setTimeout(() => child.kill('SIGKILL'), MILLISECONDS_TO_END).unref();
  };
  link.onError(() => {
    onLost();
    child.kill('SIGKILL');
  });
  link.onClose(onLost);
  child.once('exit', onLost);
  link.listen();
  const close = (): Promise<void> => {
    lost = true;
    return end(child, pipe, ended);
  };
  return { link, pid: child.pid, ended, get lost() { return lost; }, close };
}

async function end(child: ChildProcess, pipe: Duplex, ended: Promise<string>): Promise<void> {
  pipe.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), MILLISECONDS_TO_END);
  await ended;
  clearTimeout(timer);
}

function lines(stream: NodeJS.ReadableStream | null, log: (line: string) => void): void {
  let rest = '';
  stream?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    parts.filter((line) => line !== '').forEach(log);
  });
}
