// What the agent's requests found: a copy of each file as it was before the first change, so that a whole request can be
// taken back, also days later. Only files that the agent touched, within a bound; what stands there at a restore is
// copied first. Nothing is renamed, cleaned or deleted but files that the request itself made.
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { t } from '../translate.ts';

export interface CheckpointLimits {
  /** A larger file is not copied, and its edit is refused: what cannot be taken back is not done. */
  readonly fileBytes: number;
  /** Of all copies together; the oldest checkpoint goes first. */
  readonly totalBytes: number;
}

export const CHECKPOINT_LIMITS: CheckpointLimits = { fileBytes: 2 * 1024 * 1024, totalBytes: 64 * 1024 * 1024 };

export interface Checkpoint {
  readonly id: string;
  readonly at: number;
  /** In the user's words: what was asked for. */
  readonly title: string;
  readonly files: readonly CheckpointFile[];
}

export interface CheckpointFile {
  readonly file: string;
  /** Name of the copy; null = there was no such file. */
  readonly copy: string | null;
}

/** How files are read and written: the editor's, so that unsaved text counts and an undo stays possible. */
export interface CheckpointFiles {
  /** null = there is none. */
  read(file: string): Promise<string | null>;
  write(file: string, text: string): Promise<void>;
  remove(file: string): Promise<void>;
}

const MANIFEST = 'checkpoint.json';

export class Checkpoints {
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly folder: string,
    private readonly files: CheckpointFiles,
    private readonly now: () => number,
    private readonly limits: CheckpointLimits = CHECKPOINT_LIMITS,
  ) {}

  /** Before a change of the request: the file as it is, the first time only.
   *  @throws when the file is too large, or belongs to git */
  take(id: string, title: string, file: string): Promise<void> {
    return this.#next(async () => {
      if (file.split(/[\\/]/).some((part) => part.toLowerCase() === '.git')) throw new Error(t('Files of git are not changed.'));
      const known = await this.#read(id);
      if (known?.files.some((each) => each.file === file)) return;
      const text = await this.files.read(file);
      if (text !== null && Buffer.byteLength(text) > this.limits.fileBytes) throw new Error(t('{0} is over {1} MB, too large to be taken back; it is not changed.', path.basename(file), Math.round(this.limits.fileBytes / 1024 / 1024)));
      const copy = text === null ? null : `${known?.files.length ?? 0}.copy`;
      await mkdir(this.#place(id), { recursive: true });
      if (copy !== null) await writeFile(path.join(this.#place(id), copy), text ?? '');
      await this.#write({ id, at: known?.at ?? this.now(), title: known?.title ?? title, files: [...(known?.files ?? []), { file, copy }] });
      await this.#bound(id);
    });
  }

  /** Newest first. */
  async list(): Promise<Checkpoint[]> {
    const names = await readdir(this.folder).catch(() => []);
    const found = await Promise.all(names.map((name) => this.#read(name)));
    return found.filter((each) => each !== undefined).sort((a, b) => b.at - a.at);
  }

  /** The files are as the request found them. What stood there is a checkpoint of its own.
   *  @returns the id of that one */
  restore(id: string): Promise<string> {
    return this.#next(async () => {
      const checkpoint = await this.#read(id);
      if (checkpoint === undefined) throw new Error(t('This checkpoint is no longer there: older ones make room for newer ones.'));
      const rescue = `rescue-${this.now()}`;
      await mkdir(this.#place(rescue), { recursive: true });
      const files: CheckpointFile[] = [];
      for (const { file } of checkpoint.files) {
        const text = await this.files.read(file);
        const copy = text === null ? null : `${files.length}.copy`;
        if (copy !== null) await writeFile(path.join(this.#place(rescue), copy), text ?? '');
        files.push({ file, copy });
      }
      await this.#write({ id: rescue, at: this.now(), title: t('Before going back: {0}', checkpoint.title), files });
      for (const { file, copy } of checkpoint.files) {
        if (copy === null) await this.files.remove(file);
        else await this.files.write(file, await readFile(path.join(this.#place(id), copy), 'utf8'));
      }
      await this.#bound(rescue);
      return rescue;
    });
  }

  #place(id: string): string {
    return path.join(this.folder, id.replace(/[^\w.-]/g, '_'));
  }

  async #read(id: string): Promise<Checkpoint | undefined> {
    try {
      return JSON.parse(await readFile(path.join(this.#place(id), MANIFEST), 'utf8')) as Checkpoint;
    } catch {
      // None, or one whose making was cut off.
      return undefined;
    }
  }

  async #write(checkpoint: Checkpoint): Promise<void> {
    const file = path.join(this.#place(checkpoint.id), MANIFEST);
    await writeFile(`${file}.new`, JSON.stringify(checkpoint));
    await rename(`${file}.new`, file);
  }

  /** The oldest go while all together are over the bound; the one in use stays. */
  async #bound(inUse: string): Promise<void> {
    const all = await this.list();
    let total = 0;
    for (const { id } of [...all.filter((each) => each.id === inUse), ...all.filter((each) => each.id !== inUse)]) {
      for (const name of await readdir(this.#place(id)).catch(() => [])) total += (await stat(path.join(this.#place(id), name)).catch(() => ({ size: 0 }))).size;
      if (total > this.limits.totalBytes && id !== inUse) await rm(this.#place(id), { recursive: true, force: true });
    }
  }

  /** One after another: a request makes its checkpoint file by file. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}
