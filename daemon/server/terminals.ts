/** The agent's terminals that run now, mirrored to the window that asked: in pieces a screen can follow,
 *  and no more of them than anyone would scroll through. */
import { randomUUID } from 'node:crypto';
import { runInTerminal } from '../agent/terminal/run.ts';
import type { RunningTerminal, TerminalCommand, TerminalOutcome } from '../agent/terminal/run.ts';

const PIECE_MS = 40;
const MIRRORED_CHARS = 1_000_000;

export interface Mirrored {
  terminal: string;
  command: string;
  data: string;
  ended: string | null;
}

export class Terminals {
  readonly #running = new Map<string, RunningTerminal>();

  async run(order: TerminalCommand, mirror: (data: Mirrored) => void): Promise<TerminalOutcome> {
    const terminal = `p-${randomUUID()}`;
    const { command } = order;
    let waiting = '';
    let shown = 0;
    const flush = (ended: string | null): void => {
      if (waiting !== '' || ended !== null) mirror({ terminal, command, data: waiting, ended });
      waiting = '';
    };
    const flushing = setInterval(() => flush(null), PIECE_MS);
    try {
      const running = runInTerminal({
        ...order,
        onData: (data) => {
          if (shown >= MIRRORED_CHARS) return;
          shown += data.length;
          waiting += shown < MIRRORED_CHARS ? data : '\r\n\x1b[0m[the rest is not shown here]\r\n';
        },
      });
      this.#running.set(terminal, running);
      // The terminal is there before its first output.
      mirror({ terminal, command, data: '', ended: null });
      const outcome = await running.outcome;
      flush(endOf(outcome));
      return outcome;
    } finally {
      clearInterval(flushing);
      this.#running.delete(terminal);
    }
  }

  press(terminal: string, keys: string): void {
    this.#running.get(terminal)?.write(keys);
  }
}

function endOf({ ended, exitCode, durationMs }: TerminalOutcome): string {
  const how = ended === 'itself' ? `exit code ${exitCode}` : ended === 'deadline' ? 'ended at its deadline' : 'stopped';
  return `${how}, ${durationMs < 1000 ? `${durationMs} ms` : `${(durationMs / 1000).toFixed(1)} s`}`;
}
