/**
 * The daemon's end of the engine: a supervised child process behind typed calls. A crash fails the
 * calls in flight with `engineUnavailable`; the process is started again with exponential backoff,
 * its model is loaded, and `onRestart` says that adapters are to be loaded again. Every call has a
 * deadline.
 */
import * as wire from '../../protocol/engine.ts';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import { agree, PROTOCOL } from '../../protocol/handshake.ts';
import type { RequestMessage, Result } from '../../protocol/message.ts';
import { call, on } from '../../protocol/transport.ts';
import type { CallOptions } from '../../protocol/transport.ts';
import type { z } from 'zod';
import type { Engine } from './engine.ts';
import { spawnEngine } from './process.ts';
import type { EngineProcess } from './process.ts';

export interface EngineOptions {
  modelDir: string;
  dtype?: 'fp32' | 'bf16' | 'int8' | 'nf4';
  device?: 'cpu' | 'cuda';
  threads?: number;
  isa?: string;
  /** What the engine may have resident while it trains on the CPU. */
  memoryBytes?: number;
  /** Gets what the engine prints, and the supervisor's own remarks. */
  log?: (line: string) => void;
}

/** Seconds after which a call is given up, where its caller names none. */
const DEADLINES = { hello: 60, load: 600, compute: 120, train: 600 } as const;
/** Milliseconds before the n-th restart in a row: doubled from the first to the last. */
const BACKOFF = { first: 100, last: 10_000 } as const;

/** @param failures  in a row, the last one included
 *  @returns milliseconds until the engine is started again */
export function restartDelay(failures: number): number {
  return Math.min(BACKOFF.first * 2 ** (failures - 1), BACKOFF.last);
}

/** Milliseconds after which a running engine counts as healthy again. */
const HEALTHY_AFTER = 10_000;

/** Starts an engine and loads its model.
 *  @throws tokenizerMissing, modelMissing, modelCorrupt, modelUnsupported, nativeMissing, engineUnavailable */
export async function startEngine(options: EngineOptions): Promise<EngineClient> {
  const started = await open(options);
  return new EngineClient(options, started.running, started.model);
}

async function open(options: EngineOptions): Promise<{ running: EngineProcess; model: wire.ModelInfo }> {
  const { log = () => undefined, modelDir: dir, dtype, device, threads, isa, memoryBytes } = options;
  const running = spawnEngine(log);
  const gone = running.ended.then((reason) => Promise.reject(new HindsightError('engineUnavailable', { reason })));
  const ready = async (): Promise<wire.ModelInfo> => {
    const { protocol } = await call(running.link, wire.engineHello, { protocol: PROTOCOL }, { deadline: DEADLINES.hello });
    agree(PROTOCOL, { min: protocol, max: protocol }, { ours: 'the daemon', theirs: 'the engine' });
    return call(running.link, wire.modelLoad, { dir, ...(dtype && { dtype }), ...(device && { device }), ...(threads && { threads }), ...(isa && { isa }), ...(memoryBytes && { memoryBytes }) }, { deadline: DEADLINES.load });
  };
  gone.catch(() => undefined);
  try {
    return { running, model: await Promise.race([ready(), gone]) };
  } catch (thrown) {
    const reason = running.lost ? await running.ended : null;
    await running.close();
    throw reason === null ? thrown : new HindsightError('engineUnavailable', { reason });
  }
}

export class EngineClient implements Engine {
  readonly generate = this.caller(wire.generate, DEADLINES.compute);
  readonly score = this.caller(wire.score, DEADLINES.compute);
  readonly tokenize = this.caller(wire.tokenize, DEADLINES.compute);
  readonly detokenize = this.caller(wire.detokenize, DEADLINES.compute);
  readonly render = this.caller(wire.render, DEADLINES.compute);
  readonly forwardBackward = this.caller(wire.forwardBackward, DEADLINES.train);
  readonly optimStep = this.caller(wire.optimStep, DEADLINES.train);
  readonly adapterCreate = this.caller(wire.adapterCreate, DEADLINES.compute);
  readonly adapterLoad = this.caller(wire.adapterLoad, DEADLINES.compute);
  readonly adapterWrite = this.caller(wire.adapterWrite, DEADLINES.compute);
  readonly adapterDelete = this.caller(wire.adapterDelete, DEADLINES.compute);
  readonly metrics = this.caller(wire.engineMetrics, DEADLINES.compute);

  private reason: string | null = null;
  private closed = false;
  private failures = 0;
  private restart: NodeJS.Timeout | undefined;
  private readonly restartListeners = new Set<() => void>();
  private readonly tokenListeners = new Map<string, (token: TokenEvent) => void>();

  constructor(
    private readonly options: EngineOptions,
    private running: EngineProcess,
    private loaded: wire.ModelInfo,
  ) {
    this.watch();
  }

  get model(): wire.ModelInfo {
    return this.loaded;
  }

  get down(): boolean {
    return this.reason !== null;
  }

  /** Of the process that answers now; undefined while it is down. */
  get pid(): number | undefined {
    return this.down ? undefined : this.running.pid;
  }

  onRestart(listener: () => void): () => void {
    this.restartListeners.add(listener);
    return () => this.restartListeners.delete(listener);
  }

  /** Tokens of the `generate` request that carries this `stream`.
   *  @returns removes the listener */
  onToken(stream: string, listener: (token: TokenEvent) => void): () => void {
    this.tokenListeners.set(stream, listener);
    return () => this.tokenListeners.delete(stream);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.restart);
    this.reason ??= 'it was closed';
    await this.running.close();
  }

  private caller<M extends RequestMessage>(message: M, deadline: number) {
    return async (params: z.input<M['params']>, options: CallOptions = {}): Promise<Result<M>> => {
      this.assertUp();
      const { running } = this;
      try {
        return await call(running.link, message, params, { deadline, ...options });
      } catch (thrown) {
        const error = toHindsightError(thrown);
        // A dead link reports itself in words of its own; what matters is that the engine is gone.
        if (error.errorName !== 'linkClosed' && (error.errorName !== 'internal' || !running.lost)) throw error;
        throw new HindsightError('engineUnavailable', { reason: this.closed ? 'it was closed' : await running.ended });
      }
    };
  }

  private assertUp(): void {
    if (this.reason !== null) throw new HindsightError('engineUnavailable', { reason: this.reason });
  }

  private watch(): void {
    const { running } = this;
    const startedAt = performance.now();
    on(running.link, wire.generateToken, (token) => this.tokenListeners.get(token.stream)?.(token));
    void running.ended.then((reason) => {
      if (this.closed) return;
      this.reason = reason;
      if (performance.now() - startedAt > HEALTHY_AFTER) this.failures = 0;
      this.scheduleRestart();
    });
  }

  private scheduleRestart(): void {
    const wait = restartDelay(++this.failures);
    this.options.log?.(`The engine is gone: ${this.reason}. It is started again in ${wait} ms.`);
    this.restart = setTimeout(() => void this.reopen(), wait);
  }

  private async reopen(): Promise<void> {
    try {
      const { running, model } = await open(this.options);
      if (this.closed) return await running.close();
      this.running = running;
      this.loaded = model;
      this.reason = null;
      this.watch();
      for (const listener of this.restartListeners) listener();
    } catch (thrown) {
      if (this.closed) return;
      this.reason = toHindsightError(thrown).message;
      this.scheduleRestart();
    }
  }
}

export type TokenEvent = z.output<typeof wire.generateToken.params>;
