/**
 * The tenants of a listening engine: one per token. They share the frozen weights and the processor
 * and nothing else: adapters, files, answers, counts and queues are each tenant's own.
 * What a daemon holds here outlives its link, so that it finds it again after a cut.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { ModelInfo, modelLoad, StoredFile } from '../../../protocol/engine.ts';
import { REMOTE_MESSAGE_BYTES } from '../../../protocol/engine.ts';
import { HindsightError } from '../../../protocol/errors.ts';
import type { Params } from '../../../protocol/message.ts';
import { openModel } from '../model.ts';
import type { OpenModel } from '../model.ts';
import type { OpenOptions } from '../native.ts';
import type { EnginePlace, Loaded, Metrics, Transfer, Work } from '../place.ts';
import type { FairQueue } from './fair.ts';
import { FileStore, hashOf } from './fileStore.ts';
import { PagedAdapters } from './paging.ts';
import type { PagingLimits } from './paging.ts';

export interface TenantLimits extends PagingLimits {
  /** Bytes of files on disk. */
  fileBytes: number;
  /** Daemons that may share a token. */
  clients: number;
}

export const TENANT_LIMITS: TenantLimits = { residentBytes: 2 ** 30, adapters: 64, fileBytes: 8 * 2 ** 30, clients: 8 };

/** Answers that are kept for calls which are sent again. */
const REMEMBERED = 64;
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'chat_template.jinja', 'special_tokens_map.json'];

/** The models of an engine, each opened when it is first asked for, then held for all. */
export class SharedModels {
  readonly #dirs = new Map<string, string>();
  readonly #open = new Map<string, Promise<OpenModel>>();

  constructor(dirs: readonly string[], private readonly options: Omit<OpenOptions, 'dir'>) {
    for (const dir of dirs) this.#dirs.set(basename(resolve(dir)), resolve(dir));
  }

  get names(): string[] {
    return [...this.#dirs.keys()];
  }

  /** @throws modelMissing for a name that is not offered: paths are none */
  async open(name: string): Promise<OpenModel & { dir: string }> {
    const dir = this.#dirs.get(name);
    if (dir === undefined) throw new HindsightError('modelMissing', { path: name.slice(0, 100), problem: `this engine offers ${this.names.join(', ')}` });
    const opening = this.#open.get(name) ?? openModel({ dtype: undefined, device: undefined, threads: undefined, isa: undefined, ...this.options, dir });
    this.#open.set(name, opening);
    return { ...(await opening.catch((thrown: unknown) => (this.#open.delete(name), Promise.reject(thrown)))), dir };
  }
}

export interface Engine {
  boot: string;
  /** What it computes on, as people call it. */
  device: string;
  home: string;
  models: SharedModels;
  queue: FairQueue;
  limits: TenantLimits;
}

export class Tenant {
  readonly files: FileStore;
  readonly adapters: PagedAdapters;
  readonly #clients = new Map<string, Client>();

  constructor(readonly id: string, readonly engine: Engine) {
    const home = tenantHome(engine.home, id);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    this.files = new FileStore(join(home, 'files'), engine.limits.fileBytes);
    this.adapters = new PagedAdapters(join(home, 'adapters'), this.files, engine.limits);
  }

  /** What a daemon left here, or a new place; the one that was away longest makes room.
   *  @throws engineBusy when all are connected */
  client(id: string): Client {
    const key = createHash('sha256').update(id).digest('hex').slice(0, 16);
    const known = this.#clients.get(key);
    if (known) return known;
    if (this.#clients.size >= this.engine.limits.clients) {
      const [away] = [...this.#clients].filter(([, one]) => one.close === null).sort(([, a], [, b]) => a.seenAt - b.seenAt);
      if (away === undefined) throw new HindsightError('engineBusy', { problem: `${this.#clients.size} daemons use this token at once` });
      this.#clients.delete(away[0]);
      void this.adapters.forget(away[0]);
    }
    const client = new Client(key);
    this.#clients.set(key, client);
    return client;
  }

  /** The token was revoked: its links end and what it held goes. */
  async revoke(): Promise<void> {
    for (const [key, client] of this.#clients) {
      client.close?.();
      await this.adapters.forget(key);
    }
    this.#clients.clear();
    await this.adapters.close();
    rmSync(tenantHome(this.engine.home, this.id), { recursive: true, force: true });
  }
}

const tenantHome = (home: string, id: string): string => join(home, 'tenants', id);

/** One daemon among those of a token: what it loaded, and what it was answered. */
export class Client {
  loaded: (Loaded & { dir: string }) | null = null;
  /** Ends the link that it has now; null while it has none. */
  close: (() => void) | null = null;
  seenAt = 0;
  readonly #answers = new Map<string, Promise<unknown>>();

  constructor(readonly key: string) {}

  once<T>(key: string | undefined, task: () => Promise<T>): Promise<T> {
    if (key === undefined) return task();
    const known = this.#answers.get(key);
    if (known) return known as Promise<T>;
    const answer = task();
    this.#answers.set(key, answer);
    // What was not admitted was not done: the same call may be tried again.
    answer.catch((thrown: unknown) => {
      if (thrown instanceof HindsightError && thrown.errorName === 'engineBusy') this.#answers.delete(key);
    });
    for (const old of this.#answers.keys()) {
      if (this.#answers.size <= REMEMBERED) break;
      this.#answers.delete(old);
    }
    return answer;
  }
}

/** The place of one link: a tenant's, and of one of its daemons from `hello` on. */
export class TenantPlace implements EnginePlace {
  readonly messageBytes = REMOTE_MESSAGE_BYTES;
  readonly transfer: Transfer;
  #client: Client;

  constructor(
    private readonly tenant: Tenant,
    private readonly close: () => void,
  ) {
    this.#client = new Client('');
    const { files } = tenant;
    this.transfer = {
      open: (sha256, bytes) => Promise.resolve(files.open(sha256, bytes)),
      write: (sha256, offset, data) => files.write(sha256, offset, data),
      read: async (sha256, offset) => files.read(sha256, offset),
      modelFiles: () => this.#modelFiles(),
    };
  }

  get boot(): string {
    return this.tenant.engine.boot;
  }

  get device(): string {
    return this.tenant.engine.device;
  }

  get models(): string[] {
    return this.tenant.engine.models.names;
  }

  get loaded(): Loaded | null {
    return this.#client.loaded;
  }

  /** A daemon that comes back takes over: the link that it lost may not have noticed yet. */
  enter(id: string | undefined): void {
    if (id === undefined) throw new HindsightError('invalidParams', { method: 'hello', problem: 'a listening engine needs `client`' });
    this.#client = this.tenant.client(id);
    this.#client.close?.();
    this.#client.close = this.close;
    this.#client.seenAt = Date.now();
  }

  leave(): void {
    if (this.#client.close === this.close) this.#client.close = null;
    this.#client.seenAt = Date.now();
  }

  async load({ dir, dtype, threads, isa }: Params<typeof modelLoad>): Promise<ModelInfo> {
    if (dtype !== undefined || threads !== undefined || isa !== undefined) {
      throw new HindsightError('unsupported', { what: 'Choosing how a shared model is held', problem: 'others use the same weights', remedy: 'Leave dtype, threads and isa to whoever starts the engine.' });
    }
    const model = await this.tenant.engine.models.open(dir);
    const before = this.#client.loaded;
    if (before?.native === model.native) return model.info;
    if (before !== null) await this.tenant.adapters.forget(this.#client.key);
    this.#client.loaded = { ...model, adapters: this.tenant.adapters.scope(this.#client.key, model.native) };
    return model.info;
  }

  /** A tenant's own numbers: what the others do is not told. */
  metrics(): Metrics {
    const { adapters, engine, id } = this.tenant;
    return { queued: engine.queue.waitingOf(id), cacheTokens: 0, cacheBytes: 0, peakRssBytes: adapters.residentBytes };
  }

  run<T>(work: Work, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    return this.tenant.engine.queue.run(this.tenant.id, work, signal, task);
  }

  once<T>(key: string | undefined, task: () => Promise<T>): Promise<T> {
    return this.#client.once(key, task);
  }

  async #modelFiles(): Promise<StoredFile[]> {
    const { loaded } = this.#client;
    if (loaded === null) throw new HindsightError('badRequest', { problem: 'No model is loaded', remedy: 'Send `model/load` first.' });
    const paths = TOKENIZER_FILES.map((name) => join(loaded.dir, name)).filter((path) => existsSync(path));
    return Promise.all(
      paths.map(async (path) => {
        const sha256 = await hashOf(path);
        return { name: basename(path), sha256, bytes: this.tenant.files.share(sha256, path) };
      }),
    );
  }
}
