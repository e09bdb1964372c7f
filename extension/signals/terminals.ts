// Commands in the user's terminals, by shell integration. A shell without it says nothing, and nothing is made up.
import * as vscode from 'vscode';
import { OutputEnds } from './outputEnds.ts';
import { isInside, type OwnWorkPlace } from './ownWork.ts';
import type { TaskProcesses } from './tasks.ts';

/** Output may come after the end was told, or never: the shell's own word is not waited for longer. */
const OUTPUT_MS = 1000;
const LONGEST_COMMAND = 4000;

interface Running {
  readonly execution: vscode.TerminalShellExecution;
  readonly shell: vscode.TerminalShellIntegration;
  readonly startedAt: number;
  readonly output: OutputEnds;
  readonly read: Promise<void>;
}

export function recordTerminals(place: OwnWorkPlace, tasks: TaskProcesses): vscode.Disposable {
  const running = new Map<vscode.Terminal, Running>();
  return vscode.Disposable.from(
    vscode.window.onDidStartTerminalShellExecution(({ terminal, execution, shellIntegration }) => {
      if (place.granted('terminal')) running.set(terminal, follow(execution, shellIntegration));
    }),
    vscode.window.onDidEndTerminalShellExecution(({ terminal, execution, shellIntegration, exitCode }) => {
      const run = running.get(terminal);
      // The editor may tell of the end with another object than of the start.
      if (run === undefined || (run.execution !== execution && run.shell !== shellIntegration)) return;
      running.delete(terminal);
      const endedAt = Date.now();
      void ended(place, tasks, terminal, run, exitCode, endedAt).catch((error: unknown) => place.log(`a command of a terminal was not recorded: ${String(error)}`));
    }),
    vscode.window.onDidCloseTerminal((terminal) => running.delete(terminal)),
  );
}

function follow(execution: vscode.TerminalShellExecution, shell: vscode.TerminalShellIntegration): Running {
  const output = new OutputEnds();
  // At once: what was written before somebody reads is lost.
  const stream = execution.read();
  const read = (async () => {
    for await (const chunk of stream) output.write(chunk);
  })();
  // A terminal that closes under its reader has ended; that is told elsewhere.
  read.catch(() => undefined);
  return { execution, shell, startedAt: Date.now(), output, read };
}

async function ended(place: OwnWorkPlace, tasks: TaskProcesses, terminal: vscode.Terminal, run: Running, exitCode: number | undefined, at: number): Promise<void> {
  const { execution, startedAt, output, read } = run;
  const cwd = execution.cwd;
  if (cwd !== undefined && !isInside(place.folder, cwd)) return;
  await within(OUTPUT_MS, read);
  // A task's own terminal: its end is the task's.
  if (tasks.has(await within(OUTPUT_MS, terminal.processId))) return;
  place.record({
    kind: 'terminal.ran',
    at,
    durationMs: Math.max(0, at - startedAt),
    command: execution.commandLine.value.slice(0, LONGEST_COMMAND),
    cwd: cwd?.toString() ?? null,
    exitCode: exitCode ?? null,
    output: output.text(),
  });
}

/** @returns undefined when it takes longer */
async function within<T>(ms: number, promise: Thenable<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return Promise.race([promise, late]).catch(() => undefined).finally(() => clearTimeout(timer));
}
