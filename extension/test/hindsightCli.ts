// The product's own command line, as a witness that does not go through the editor.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const DEADLINE_MS = 60_000;

/** What `journal export` writes of a turn; the fields that the suites look at. */
export interface ExportedTurn {
  readonly turn: {
    readonly id: string;
    readonly session: string;
    readonly uri: string;
    readonly promptIds: number[];
    readonly responseIds: number[];
    readonly logprobs: (number | null)[];
    readonly shownText: string;
    readonly adapter: number | null;
    readonly split: 'train' | 'holdout';
  };
  readonly nextState: { readonly outcome: string; readonly acceptedChars: number; readonly survival: [number, number | null][] } | null;
  readonly verdicts: { readonly score: number }[];
}

export interface DaemonFacts {
  readonly consent: string;
  readonly daemon: { readonly pid: number };
  readonly state: string;
  readonly adapter: number | null;
  readonly remote: { readonly link: 'up' | 'down'; readonly train: 'remote' | 'local' } | null;
  readonly pipe: { readonly samplesReady: number; readonly samplesConsumed: number; readonly steps: number; readonly turnsClosed: number };
}

export class HindsightCli {
  constructor(
    private readonly root: string,
    private readonly home: string,
  ) {}

  /** @throws with what the command said on stderr */
  async run(...args: string[]): Promise<string> {
    const env = { ...process.env, HINDSIGHT_HOME: this.home, ELECTRON_RUN_AS_NODE: '1' };
    const program = path.join(this.root, 'dist/hindsight.js');
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { env, timeout: DEADLINE_MS, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  }

  async status(workspace: string): Promise<DaemonFacts> {
    return JSON.parse(await this.run('status', '--workspace', workspace, '--json', '-')) as DaemonFacts;
  }

  /** Signals on disk, of all sessions. */
  async signals(): Promise<number> {
    return (JSON.parse(await this.run('journal', 'stats', '--json', '-')) as { signals: number }).signals;
  }

  async turns(): Promise<ExportedTurn[]> {
    const lines = (await this.run('journal', 'export', '-')).split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as ExportedTurn);
  }

  async verify(): Promise<{ sound: boolean; problems: string[] }> {
    return JSON.parse(await this.run('journal', 'verify', '--json', '-')) as { sound: boolean; problems: string[] };
  }
}
