/** A progress line on a terminal, for what takes over a second; nothing in a pipe. */

export interface Progress {
  /** @param note what is being done, a few words */
  at(done: number, of: number, note?: string): void;
  end(): void;
}

const WIDTH = 28;
const SHOW_AFTER_MS = 1000;
const REDRAW_MS = 100;

export function progress(title: string, stream: NodeJS.WriteStream = process.stderr): Progress {
  const began = Date.now();
  let drawn = 0;
  return {
    at(done, of, note = '') {
      const now = Date.now();
      if (!stream.isTTY || now - began < SHOW_AFTER_MS || now - drawn < REDRAW_MS) return;
      drawn = now;
      const share = of > 0 ? Math.min(1, done / of) : 0;
      const filled = Math.round(share * WIDTH);
      const left = share > 0.02 ? `, ${clock(((now - began) / share) * (1 - share))} left` : '';
      const line = `${title} [${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${Math.round(100 * share)} %${left} ${note}`;
      stream.write(`\r\u001b[K${line.slice(0, Math.max(20, (stream.columns || 100) - 1))}`);
    },
    end() {
      if (drawn > 0) stream.write('\r\u001b[K');
    },
  };
}

function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
