// Signals on disk until the daemon has them: one append-only file per session, one sealed JSON object per line.
// The first line is the header, in plain text. Lines are not synced one by one: an editor that dies with its machine may
// lose the last moments, an editor that dies alone loses nothing that was appended.
import { mkdir, open, readdir, readFile, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { signal, type Signal } from '../../protocol/signals.ts';
import type { Seal } from './seal.ts';

const SUFFIX = '.signals.jsonl';

const header = z.object({ session: z.string(), workspace: z.string(), pid: z.int() });
export type SpoolHeader = z.output<typeof header>;

const line = z.object({ seq: z.int().nonnegative(), signal });
export interface NumberedSignal {
  readonly seq: number;
  readonly signal: Signal;
}

export class Spool {
  #file: FileHandle | undefined;
  #bytes = 0;
  #holdsSignals = false;

  private constructor(
    private readonly path: string,
    private readonly seal: Seal,
  ) {}

  static async create(folder: string, head: SpoolHeader, seal: Seal): Promise<Spool> {
    await mkdir(folder, { recursive: true });
    const spool = new Spool(path.join(folder, `${head.session}${SUFFIX}`), seal);
    spool.#file = await open(spool.path, 'a', 0o600);
    await spool.#write(`${JSON.stringify(head)}\n`);
    return spool;
  }

  /** Bytes since the last `clear`. */
  get bytes(): number {
    return this.#bytes;
  }

  get holdsSignals(): boolean {
    return this.#holdsSignals;
  }

  async append(signals: readonly NumberedSignal[]): Promise<void> {
    this.#holdsSignals = true;
    await this.#write(signals.map((each) => `${this.seal.close(JSON.stringify(each))}\n`).join(''));
  }

  /** Forgets everything but the header: all of it is acknowledged. */
  async clear(head: SpoolHeader): Promise<void> {
    await this.#open().truncate(0);
    this.#bytes = 0;
    this.#holdsSignals = false;
    await this.#write(`${JSON.stringify(head)}\n`);
  }

  /** Ends writing; the file stays for the next window. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }

  async #write(text: string): Promise<void> {
    await this.#open().appendFile(text);
    this.#bytes += Buffer.byteLength(text);
  }

  #open(): FileHandle {
    if (this.#file === undefined) throw new Error(`the spool ${this.path} is closed`);
    return this.#file;
  }
}

/** What an earlier window left behind without an acknowledgement. */
export interface LeftSpool extends SpoolHeader {
  readonly path: string;
  readonly signals: readonly NumberedSignal[];
  /** It holds lines that this user's key does not open. */
  readonly sealed: boolean;
}

/** The spools of ended windows of one workspace.
 *  @param isAlive  whether a process still runs; a living window delivers its own spool */
export async function leftSpools(folder: string, workspace: string, seal: Seal, isAlive: (pid: number) => boolean): Promise<LeftSpool[]> {
  const found: LeftSpool[] = [];
  for (const name of await namesIn(folder)) {
    const file = path.join(folder, name);
    const spool = parseSpool(await readFile(file, 'utf8'), seal);
    if (spool === undefined) {
      // A window that died before its header was written has left nothing to deliver.
      await rm(file, { force: true });
      continue;
    }
    if (spool.head.workspace === workspace && !isAlive(spool.head.pid)) found.push({ ...spool.head, path: file, signals: spool.signals, sealed: spool.sealed });
  }
  return found;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(SUFFIX)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Reads up to the first line that is not whole: a window can die in the middle of a write. */
function parseSpool(text: string, seal: Seal): { head: SpoolHeader; signals: NumberedSignal[]; sealed: boolean } | undefined {
  const [first, ...rest] = text.split('\n');
  const head = header.safeParse(parseJson(first ?? ''));
  if (!head.success) return undefined;
  const signals: NumberedSignal[] = [];
  for (const each of rest) {
    const parsed = line.safeParse(parseJson(seal.open(each) ?? ''));
    if (!parsed.success) break;
    signals.push(parsed.data);
  }
  return { head: head.data, signals, sealed: signals.length === 0 && rest.some((each) => each !== '') };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
