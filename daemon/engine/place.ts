/**
 * What an engine's link works on: models, adapters by name, and who goes next. A child of the daemon
 * has a process of its own (`OwnPlace`); on a listening engine each token has its part of a shared
 * one (listen/tenants.ts). The host, and everything above it, cannot tell the two apart.
 */
import { randomUUID } from 'node:crypto';
import type { AdapterConfig, NativeModel } from '../../native/index.ts';
import type { AdapterFile, ModelInfo, modelLoad, StoredFile } from '../../protocol/engine.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { MAX_MESSAGE_BYTES } from '../../protocol/handshake.ts';
import type { Params } from '../../protocol/message.ts';
import { AdapterTable } from './adapters.ts';
import { openModel } from './model.ts';
import type { OpenModel } from './model.ts';
import type { OpenOptions } from './native.ts';
import type { ModelTokenizer } from './tokenizer.ts';

/** A loaded model with everything that hangs on it. */
export interface Loaded {
  info: ModelInfo;
  native: NativeModel;
  tokenizer: ModelTokenizer;
  adapters: Adapters;
}

/** Where an adapter is read from: a folder of this machine, or files that were sent, by their sha256. */
export interface AdapterSource {
  dir?: string | undefined;
  files?: Partial<Record<AdapterFile, string>> | undefined;
}

/** What a call leaves changed: gradients are only in memory, weights can be written. */
export type Change = 'nothing' | 'gradients' | 'weights';

export interface Adapters {
  readonly names: string[];
  create(name: string, config: AdapterConfig): Promise<void>;
  /** @throws adapterMissing, adapterUnfit, adapterCorrupt, unsupported for the other kind of source */
  load(name: string, source: AdapterSource, training: boolean): Promise<void>;
  /** @returns the files, where no folder was named */
  write(name: string, dir: string | undefined, optimizer: boolean): Promise<StoredFile[]>;
  /** @throws adapterMissing */
  delete(name: string): Promise<void>;
  /** Runs `work` on the handle that the name has now; null is the base model, handle 0.
   *  @throws adapterMissing */
  use<T>(name: string | null, change: Change, work: (handle: number) => Promise<T>): Promise<T>;
}

/** Files that travel in chunks. */
export interface Transfer {
  open(sha256: string, bytes: number): Promise<number>;
  write(sha256: string, offset: number, data: Buffer): Promise<number>;
  read(sha256: string, offset: number): Promise<Buffer>;
  /** The tokenizer's files of the loaded model. */
  modelFiles(): Promise<StoredFile[]>;
}

/** One computation, as far as it matters for whose turn it is. */
export interface Work {
  kind: 'serve' | 'train';
  /** Tokens that it computes, about. */
  tokens: number;
  priority: number;
}

export type Metrics = Pick<ReturnType<NativeModel['metrics']>, 'queued' | 'cacheTokens' | 'cacheBytes' | 'peakRssBytes'>;

export interface EnginePlace {
  /** Changes when everything that was held is gone. */
  readonly boot: string;
  readonly models: string[];
  /** What it computes on, as people call it. */
  readonly device: string;
  readonly messageBytes: number;
  readonly loaded: Loaded | null;
  /** The link's first message; throws where this daemon is not let in. */
  enter(client: string | undefined): void;
  load(params: Params<typeof modelLoad>): Promise<ModelInfo>;
  /** Runs `task` when it is its turn. @throws engineBusy, cancelled */
  run<T>(work: Work, signal: AbortSignal, task: () => Promise<T>): Promise<T>;
  /** Does it at most once per key: a call that is sent again gets the first one's answer. */
  once<T>(key: string | undefined, task: () => Promise<T>): Promise<T>;
  metrics(): Metrics;
  /** null where files do not travel. */
  readonly transfer: Transfer | null;
}

/** How a model is loaded where the request does not say. */
export type PlaceDefaults = Pick<OpenOptions, 'device' | 'dtype'>;

/** A process that serves one daemon: folders are the daemon's own, nobody else waits. */
export class OwnPlace implements EnginePlace {
  readonly boot = randomUUID();
  readonly models: string[] = [];
  readonly messageBytes = MAX_MESSAGE_BYTES;
  readonly transfer = null;
  loaded: Loaded | null = null;

  constructor(private readonly defaults: PlaceDefaults = {}) {}

  get device(): string {
    return this.loaded?.info.device ?? this.defaults.device ?? 'cpu';
  }

  enter(): void {
    // Whoever holds the pipe may speak.
  }

  async load(params: Params<typeof modelLoad>): Promise<ModelInfo> {
    const { device = this.defaults.device, dtype = this.defaults.dtype, ...rest } = params;
    const model = await openModel({ ...rest, device, dtype });
    this.loaded?.native.close();
    this.loaded = { ...model, adapters: new OwnAdapters(model) };
    return model.info;
  }

  metrics(): Metrics {
    const { queued, cacheTokens, cacheBytes, peakRssBytes } = this.loaded?.native.metrics() ?? { queued: 0, cacheTokens: 0, cacheBytes: 0, peakRssBytes: 0 };
    return { queued, cacheTokens, cacheBytes, peakRssBytes };
  }

  run<T>(_work: Work, _signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    return task();
  }

  once<T>(_key: string | undefined, task: () => Promise<T>): Promise<T> {
    return task();
  }
}

class OwnAdapters implements Adapters {
  readonly #native: NativeModel;
  readonly #table: AdapterTable;

  constructor({ native }: OpenModel) {
    this.#native = native;
    this.#table = new AdapterTable((handle) => native.deleteAdapter(handle));
  }

  get names(): string[] {
    return this.#table.names;
  }

  async create(name: string, config: AdapterConfig): Promise<void> {
    this.#table.set(name, await this.#native.createAdapter(config));
  }

  async load(name: string, { dir }: AdapterSource, training: boolean): Promise<void> {
    this.#table.set(name, await this.#native.loadAdapter(ownFolder(dir), training));
  }

  async write(name: string, dir: string | undefined, optimizer: boolean): Promise<StoredFile[]> {
    await this.#table.use(name, (handle) => this.#native.writeAdapter(handle, ownFolder(dir), optimizer));
    return [];
  }

  delete(name: string): Promise<void> {
    return Promise.resolve(this.#table.delete(name));
  }

  use<T>(name: string | null, _change: Change, work: (handle: number) => Promise<T>): Promise<T> {
    return this.#table.use(name, work);
  }
}

function ownFolder(dir: string | undefined): string {
  if (dir === undefined) throw new HindsightError('unsupported', { what: 'Sending files', problem: 'this engine reads folders of its own machine', remedy: 'Name a folder as `dir`.' });
  return dir;
}
