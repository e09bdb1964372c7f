/**
 * Adapters of one tenant, of which only so many bytes are on the device at a time; the others wait on
 * disk and come back when they are used. An adapter with gradients that no step has taken yet cannot
 * be written, so it stays; what a step has changed is written when it has to go.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterConfig, NativeModel } from '../../../native/index.ts';
import type { StoredFile } from '../../../protocol/engine.ts';
import { HindsightError } from '../../../protocol/errors.ts';
import type { Adapters, AdapterSource, Change } from '../place.ts';
import type { FileStore } from './fileStore.ts';

export interface PagingLimits {
  /** Bytes of adapters on the device. */
  residentBytes: number;
  /** Names at once. */
  adapters: number;
}

interface Entry {
  native: NativeModel;
  /** null = on disk. */
  handle: number | null;
  /** Its files, as last read or written; null = only in memory. */
  dir: string | null;
  training: boolean;
  /** A step changed it since `dir` was written. */
  changed: boolean;
  /** Gradients wait for their step. */
  pending: boolean;
  users: number;
  usedAt: number;
  retired: boolean;
  bytes: number;
}

const WEIGHTS = 'adapter_model.safetensors';
/** fp32 weights alone, or with gradient and both moments. */
const COPIES = { serving: 1, training: 4 } as const;

export class PagedAdapters {
  readonly #entries = new Map<string, Entry>();
  readonly #retired = new Set<Entry>();
  readonly #bases = new Map<NativeModel, Promise<number>>();
  #folders = 0;
  #clock = 0;
  /** Loads and evictions, one after another. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @param dir  a folder of its own, emptied here: nothing in it outlives the process */
  constructor(
    private readonly dir: string,
    private readonly files: FileStore,
    private readonly limits: PagingLimits,
  ) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  get residentBytes(): number {
    return [...this.#entries.values(), ...this.#retired].reduce((sum, one) => sum + (one.handle === null ? 0 : one.bytes), 0);
  }

  /** The names of one daemon on one model; another's are not there. */
  scope(client: string, native: NativeModel): Adapters {
    const key = (name: string): string => `${client} ${name}`;
    const entries = this.#entries;
    const prefix = key('');
    return {
      get names() {
        return [...entries.keys()].filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length));
      },
      create: (name, config) => this.#create(key(name), native, config),
      load: (name, source, training) => this.#load(key(name), name, native, source, training),
      write: (name, dir, optimizer) => this.#write(key(name), name, dir, optimizer),
      delete: (name) => this.#delete(key(name), name),
      use: async (name, change, work) => (name === null ? work(await this.#base(native)) : this.#use(key(name), name, change, work)),
    };
  }

  /** The tenant is gone. */
  async close(): Promise<void> {
    for (const [native, base] of this.#bases) await native.deleteAdapter(await base).catch(() => undefined);
    this.#bases.clear();
  }

  /** Everything of a daemon that will not come back. */
  async forget(client: string): Promise<void> {
    for (const key of [...this.#entries.keys()]) if (key.startsWith(`${client} `)) await this.#delete(key, key);
  }

  /** The base model under a handle of this tenant's own: an adapter that adds exactly nothing. The prefix
   *  cache is kept by handle; on a common one a tenant could find out what another has asked. */
  #base(native: NativeModel): Promise<number> {
    const base = this.#bases.get(native) ?? native.createAdapter({ rank: 1, alpha: 1, targets: ['q_proj'], seed: 0 });
    this.#bases.set(native, base);
    return base;
  }

  async #create(key: string, native: NativeModel, config: AdapterConfig): Promise<void> {
    this.#admit(key);
    const bytes = sizeOf(native, config) * COPIES.training;
    const handle = await this.#alone(async () => {
      await this.#makeRoom(bytes);
      return native.createAdapter(config);
    });
    this.#put(key, { native, handle, dir: null, training: true, changed: true, bytes });
  }

  async #load(key: string, name: string, native: NativeModel, { dir, files }: AdapterSource, training: boolean): Promise<void> {
    if (dir !== undefined || files === undefined) throw new HindsightError('unsupported', { what: 'A folder', problem: 'this engine is on another machine', remedy: 'Send the files, then name them by their sha256.' });
    this.#admit(key);
    const folder = this.#newFolder();
    try {
      for (const [file, sha256] of Object.entries(files)) this.files.link(sha256, join(folder, file));
      const weights = statSync(join(folder, WEIGHTS), { throwIfNoEntry: false })?.size;
      if (weights === undefined) throw new HindsightError('adapterCorrupt', { adapter: name, problem: `${WEIGHTS} is missing` });
      const bytes = weights * (training ? COPIES.training : COPIES.serving);
      const handle = await this.#alone(async () => {
        await this.#makeRoom(bytes);
        return native.loadAdapter(folder, training);
      });
      this.#put(key, { native, handle, dir: folder, training, changed: false, bytes });
    } catch (thrown) {
      rmSync(folder, { recursive: true, force: true });
      throw thrown;
    }
  }

  async #write(key: string, name: string, dir: string | undefined, optimizer: boolean): Promise<StoredFile[]> {
    if (dir !== undefined) throw new HindsightError('unsupported', { what: 'A folder', problem: 'this engine is on another machine', remedy: 'Leave it out, and read the files by their sha256.' });
    const folder = this.#newFolder();
    try {
      await this.#use(key, name, 'nothing', (handle) => this.#entry(key, name).native.writeAdapter(handle, folder, optimizer));
      return await Promise.all(readdirSync(folder).map(async (file) => ({ name: file, ...(await this.files.add(join(folder, file))) })));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async #delete(key: string, name: string): Promise<void> {
    const entry = this.#entry(key, name);
    this.#entries.delete(key);
    await this.#retire(entry);
  }

  async #use<T>(key: string, name: string, change: Change, work: (handle: number) => Promise<T>): Promise<T> {
    const entry = this.#entry(key, name);
    // Counted first: what somebody waits for is not evicted.
    entry.users++;
    entry.usedAt = ++this.#clock;
    try {
      const handle = entry.handle ?? (await this.#alone(() => this.#pageIn(entry)));
      if (change === 'gradients') entry.pending = true;
      const result = await work(handle);
      if (change === 'weights') Object.assign(entry, { pending: false, changed: true });
      return result;
    } finally {
      entry.users--;
      if (entry.retired) await this.#retire(entry);
    }
  }

  async #pageIn(entry: Entry): Promise<number> {
    if (entry.handle !== null) return entry.handle;
    if (entry.dir === null) throw new HindsightError('internal', { message: 'an adapter is neither in memory nor on disk' });
    await this.#makeRoom(entry.bytes);
    return (entry.handle = await entry.native.loadAdapter(entry.dir, entry.training));
  }

  async #makeRoom(bytes: number): Promise<void> {
    if (bytes > this.limits.residentBytes) throw new HindsightError('quotaExceeded', { problem: `an adapter of ${bytes} bytes is over the ${this.limits.residentBytes} that it may have in memory` });
    while (this.residentBytes + bytes > this.limits.residentBytes) {
      const idle = [...this.#entries.values()].filter((one) => one.handle !== null && one.users === 0 && !one.pending).sort((a, b) => a.usedAt - b.usedAt)[0];
      if (idle === undefined) throw new HindsightError('engineBusy', { problem: 'all adapters that fit into memory are in use' });
      await this.#evict(idle);
    }
  }

  async #evict(entry: Entry): Promise<void> {
    const { native, handle } = entry;
    if (handle === null) return;
    if (entry.changed) {
      const folder = this.#newFolder();
      await native.writeAdapter(handle, folder, entry.training);
      if (entry.dir !== null) rmSync(entry.dir, { recursive: true, force: true });
      Object.assign(entry, { dir: folder, changed: false });
    }
    // Somebody may have begun to use it while it was written.
    if (entry.users > 0) return;
    entry.handle = null;
    await native.deleteAdapter(handle);
  }

  #put(key: string, facts: Pick<Entry, 'native' | 'handle' | 'dir' | 'training' | 'changed' | 'bytes'>): void {
    const before = this.#entries.get(key);
    this.#entries.set(key, { ...facts, pending: false, users: 0, usedAt: ++this.#clock, retired: false });
    if (before) void this.#retire(before);
  }

  /** Requests in flight end on what they began with; the last of them frees it. */
  async #retire(entry: Entry): Promise<void> {
    entry.retired = true;
    this.#retired.add(entry);
    if (entry.users > 0) return;
    this.#retired.delete(entry);
    const { handle, dir } = entry;
    Object.assign(entry, { handle: null, dir: null, users: Number.NaN });
    if (handle !== null) await entry.native.deleteAdapter(handle).catch(() => undefined);
    if (dir !== null) rmSync(dir, { recursive: true, force: true });
  }

  #entry(key: string, name: string): Entry {
    const entry = this.#entries.get(key);
    if (!entry) throw new HindsightError('adapterMissing', { adapter: name });
    return entry;
  }

  #admit(key: string): void {
    if (!this.#entries.has(key) && this.#entries.size >= this.limits.adapters) throw new HindsightError('quotaExceeded', { problem: `it has ${this.#entries.size} adapters already` });
  }

  #newFolder(): string {
    const folder = join(this.dir, String(++this.#folders));
    mkdirSync(folder);
    return folder;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

/** Bytes of fp32 A and B of an adapter. */
function sizeOf({ info }: NativeModel, { rank, targets }: AdapterConfig): number {
  const { hiddenSize: h, heads, kvHeads, headDim, intermediateSize: m, layers } = info;
  const widths: Record<string, number> = {
    q_proj: h + heads * headDim, k_proj: h + kvHeads * headDim, v_proj: h + kvHeads * headDim, o_proj: heads * headDim + h,
    gate_proj: h + m, up_proj: h + m, down_proj: m + h,
  };
  return 4 * layers * rank * targets.reduce((sum, target) => sum + (widths[target] ?? 0), 0);
}
