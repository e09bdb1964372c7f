/**
 * Names of adapters to native handles. The daemon speaks of names; a name may be given to another
 * adapter, or forgotten, while requests run on it: they end on the handle they began with, and the
 * handle is freed after the last of them (invariant 4 of docs/architecture.md's design).
 */
import { HindsightError } from '../../protocol/errors.ts';

interface Entry {
  readonly handle: number;
  users: number;
  retired: boolean;
}

export class AdapterTable {
  private readonly byName = new Map<string, Entry>();

  /** @param free gives a native handle back */
  constructor(private readonly free: (handle: number) => Promise<void>) {}

  get names(): string[] {
    return [...this.byName.keys()];
  }

  /** Puts a handle under a name, between two requests. */
  set(name: string, handle: number): void {
    const before = this.byName.get(name);
    this.byName.set(name, { handle, users: 0, retired: false });
    if (before) this.retire(before);
  }

  /** @throws adapterMissing */
  delete(name: string): void {
    const entry = this.entry(name);
    this.byName.delete(name);
    this.retire(entry);
  }

  /** Runs `work` on the handle that the name has now; null is the base model, handle 0.
   *  @throws adapterMissing */
  async use<T>(name: string | null, work: (handle: number) => Promise<T>): Promise<T> {
    if (name === null) return work(0);
    const entry = this.entry(name);
    entry.users++;
    try {
      return await work(entry.handle);
    } finally {
      entry.users--;
      this.freeUnused(entry);
    }
  }

  private entry(name: string): Entry {
    const entry = this.byName.get(name);
    if (!entry) throw new HindsightError('adapterMissing', { adapter: name });
    return entry;
  }

  private retire(entry: Entry): void {
    entry.retired = true;
    this.freeUnused(entry);
  }

  private freeUnused(entry: Entry): void {
    if (!entry.retired || entry.users > 0) return;
    entry.users = Number.NaN; // freed once
    void this.free(entry.handle).catch(() => undefined); // the model itself may be gone by now
  }
}
