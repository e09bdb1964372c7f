/**
 * One command of the agent in a terminal of its own (node-pty), from its start to its end, within a
 * deadline and a cap.
 *
 * Exactness. A pty loses what was not read when its child is reaped, and its library waits for it
 * only 200 ms. So the command runs under a shell that, once the command ended, prints a mark with the
 * exit code and then waits to be killed: when the mark is read, everything before it has been read.
 * The mark has a nonce, so that no output can be taken for it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { spawn } from 'node-pty';
import type { IPty } from 'node-pty';
import { HindsightError } from '../../../protocol/errors.ts';
import { HeadTail } from './headTail.ts';
import type { Cap } from './headTail.ts';
import { PlainText } from './plainText.ts';

export interface TerminalCommand {
  /** A line, or a script, for the user's shell. */
  command: string;
  cwd: string;
  deadlineMs?: number;
  cap?: Cap;
  /** Added to the environment. */
  env?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
  /** What the terminal prints, as it comes: for a person to look at. */
  onData?: (data: string) => void;
}

export interface TerminalOutcome {
  /** null = it was ended: past its deadline, or stopped. */
  exitCode: number | null;
  ended: 'itself' | 'deadline' | 'stopped';
  /** As a terminal shows it, without its colours, capped at head and tail. */
  output: string;
  /** UTF-16 units of the output before the cap. */
  outputChars: number;
  durationMs: number;
}

export interface RunningTerminal {
  readonly outcome: Promise<TerminalOutcome>;
  /** Keys of a person: `\x03` is ctrl-C. */
  write(keys: string): void;
}

export const TERMINAL_LIMITS = { deadlineMs: 120_000, cap: { head: 6_000, tail: 18_000 } } as const;

const COLUMNS = 120;
const ROWS = 40;
/** Between asking a command to end and ending it, and at most until its terminal is given up. */
const GRACE_MS = 500;

/** $1 = the command, $2 = the nonce, $3 = the shell. Its own interrupts are the command's; what it would say about a
 *  killed child is not the command's output. */
const WRAPPER = `trap : INT QUIT
exec 3>&2 2>/dev/null
"$3" -c "$1" 2>&3 3>&-
printf '\\033]697;%s;%d\\007' "$2" "$?"
while read -r _; do :; done
sleep 60`;

/** Starts it at once.
 *  @throws badRequest where the folder does not exist; unsupported where no terminal can be made */
export function runInTerminal(order: TerminalCommand): RunningTerminal {
  if (!statSync(order.cwd, { throwIfNoEntry: false })?.isDirectory()) {
    throw new HindsightError('badRequest', { problem: `There is no folder ${order.cwd} to run a command in`, remedy: 'Name a folder of the workspace.' });
  }
  return new Run(order);
}

class Run implements RunningTerminal {
  readonly outcome: Promise<TerminalOutcome>;
  readonly #startedAt = performance.now();
  readonly #nonce = randomBytes(12).toString('hex');
  readonly #kept: HeadTail;
  readonly #plain: PlainText;
  readonly #pty: IPty;
  readonly #timers: NodeJS.Timeout[] = [];
  #resolve: (outcome: TerminalOutcome) => void = () => undefined;
  /** The end of what was read, which may be the beginning of the mark. */
  #held = '';
  #ended: TerminalOutcome['ended'] = 'itself';
  #done = false;

  constructor(private readonly order: TerminalCommand) {
    this.#kept = new HeadTail(order.cap ?? TERMINAL_LIMITS.cap);
    this.#plain = new PlainText((text) => this.#kept.write(text));
    this.outcome = new Promise((resolve) => (this.#resolve = resolve));
    this.#pty = open(order, this.#nonce);
    this.#pty.onData((data) => this.#read(data));
    this.#pty.onExit(({ exitCode, signal }) => this.#finish(signal ? 128 + signal : exitCode));
    this.#timers.push(setTimeout(() => this.#stop('deadline'), order.deadlineMs ?? TERMINAL_LIMITS.deadlineMs));
    if (order.signal?.aborted) this.#stop('stopped');
    else order.signal?.addEventListener('abort', this.#onAbort);
  }

  write(keys: string): void {
    if (!this.#done) this.#pty.write(keys);
  }

  readonly #onAbort = (): void => this.#stop('stopped');

  #read(data: string): void {
    if (this.#done) return;
    const text = this.#held + data;
    const mark = `\x1b]697;${this.#nonce};`;
    const at = text.indexOf(mark);
    const end = at < 0 ? -1 : text.indexOf('\x07', at);
    if (end >= 0) {
      this.#held = '';
      this.#show(text.slice(0, at));
      return this.#finish(Number(text.slice(at + mark.length, end)));
    }
    const hold = at >= 0 ? at : holdFrom(text, mark);
    this.#held = text.slice(hold);
    this.#show(text.slice(0, hold));
  }

  #show(data: string): void {
    if (data === '') return;
    this.#plain.write(data);
    this.order.onData?.(data);
  }

  #stop(why: 'deadline' | 'stopped'): void {
    if (this.#done || this.#ended !== 'itself') return;
    this.#ended = why;
    signalGroup(this.#pty, 'SIGTERM');
    // The wrapper's mark, or its exit, comes next; if not, nobody waits for it.
    this.#timers.push(setTimeout(() => this.#finish(null), GRACE_MS));
  }

  #finish(exitCode: number | null): void {
    if (this.#done) return;
    this.#done = true;
    this.#show(this.#held);
    this.#plain.end();
    for (const timer of this.#timers) clearTimeout(timer);
    this.order.signal?.removeEventListener('abort', this.#onAbort);
    end(this.#pty);
    const { text, total } = this.#kept.result();
    this.#resolve({
      exitCode: this.#ended === 'itself' ? exitCode : null,
      ended: this.#ended,
      output: text,
      outputChars: total,
      durationMs: Math.round(performance.now() - this.#startedAt),
    });
  }
}

function open(order: TerminalCommand, nonce: string): IPty {
  const [file, args] = shellCommand(order.command, nonce);
  try {
    return spawn(file, args, { name: 'xterm-256color', cols: COLUMNS, rows: ROWS, cwd: order.cwd, env: { ...environment(process.env), ...order.env } });
  } catch (thrown) {
    throw new HindsightError('unsupported', { what: 'A terminal', problem: thrown instanceof Error ? thrown.message : String(thrown), remedy: 'Run `hindsight doctor`.' });
  }
}

/** On Windows there is no such wrapper; the console's end is the command's end. */
function shellCommand(command: string, nonce: string): [string, string[]] {
  if (process.platform === 'win32') return ['cmd.exe', ['/d', '/s', '/c', command]];
  const shell = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
  return [shell, ['-c', WRAPPER, shell, command, nonce, shell]];
}

/** The user's environment without what belongs to this process, and with nothing that waits for keys. */
function environment(env: NodeJS.ProcessEnv): Record<string, string> {
  const own = /^(ELECTRON_RUN_AS_NODE|HINDSIGHT_|VSCODE_|NODE_OPTIONS$)/;
  const kept = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && !own.test(entry[0]));
  return { ...Object.fromEntries(kept), TERM: 'xterm-256color', PAGER: 'cat', GIT_PAGER: 'cat', GIT_TERMINAL_PROMPT: '0' };
}

/** Where a beginning of the mark could stand at the end of the text. */
function holdFrom(text: string, mark: string): number {
  const from = text.lastIndexOf('\x1b', text.length);
  return from >= 0 && mark.startsWith(text.slice(from)) ? from : text.length;
}

/** Nothing that the command left running in its terminal stays. */
function end(pty: IPty): void {
  signalGroup(pty, 'SIGKILL');
  try {
    pty.kill('SIGKILL');
  } catch {
    // It has ended already.
  }
}

function signalGroup(pty: IPty, signal: NodeJS.Signals): void {
  if (process.platform === 'win32') return pty.kill();
  try {
    process.kill(-pty.pid, signal);
  } catch {
    // It has ended already.
  }
}
