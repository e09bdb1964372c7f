/**
 * The engine on another machine that is attached, if any: which workspaces use it, and for what. A
 * workspace whose owner has not consented is never served or trained there. One is attached at a time.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';
import { parsePairing } from '../../protocol/pairing.ts';
import type { engineAttach, engineProbe, RemoteStatus } from '../../protocol/remote.ts';
import type { Params, Result } from '../../protocol/message.ts';
import { attachEngine } from '../engine/remote/engine.ts';
import type { RemoteEngine } from '../engine/remote/engine.ts';
import { probeEngine } from '../engine/remote/probe.ts';
import type { Journal } from '../journal/journal.ts';
import type { Core } from './core.ts';

export type AttachOrder = Params<typeof engineAttach>;
type Side = RemoteStatus['serve'];

export interface AttachmentParts {
  journal: Journal;
  home: string;
  /** The local one; null where it could not start. */
  local: () => Promise<Core | null>;
  /** A core over an engine that runs already. */
  coreOf: (engine: RemoteEngine) => Promise<Core>;
  /** Something that a status shows is another now. */
  changed: () => void;
  log: (line: string) => void;
}

interface Attached {
  engine: RemoteEngine;
  core: Core;
  pairing: string;
  workspaces: Set<string>;
  serve: Side;
  train: Side;
}

const remembered = z.object({ pairing: z.string(), model: z.string().optional(), serve: z.enum(['remote', 'local']), train: z.enum(['remote', 'local']), workspaces: z.array(z.string()) });

export class Attachment {
  #attached: Attached | null = null;
  /** Attaching and detaching, one after another. */
  #tail: Promise<unknown> = Promise.resolve();
  readonly #ending = new AbortController();

  constructor(private readonly parts: AttachmentParts) {}

  /** The core that answers requests of a workspace, while its link is up. */
  serving(workspace: string): Core | null {
    const at = this.#of(workspace);
    return at !== null && at.serve === 'remote' && !at.engine.down ? at.core : null;
  }

  /** The core that trains a workspace, also while its link is down: it goes on when it is up again. */
  training(workspace: string): Core | null {
    const at = this.#of(workspace);
    return at !== null && at.train === 'remote' ? at.core : null;
  }

  /** Whatever is attached, whoever it serves. */
  get attached(): Core | null {
    return this.#attached?.core ?? null;
  }

  status(workspace: string): RemoteStatus | null {
    const at = this.#of(workspace);
    return at === null ? null : statusOf(at);
  }

  pause(paused: boolean): void {
    const trainer = this.#attached?.core.trainer;
    if (paused) trainer?.pause();
    else trainer?.resume();
  }

  probe(pairing: string, signal: AbortSignal): Promise<Result<typeof engineProbe>> {
    return probeEngine(parsePairing(pairing), this.#client(), signal);
  }

  /** @throws pairingInvalid, consentMissing, unsupported, and what the engine cannot be reached for */
  attach(order: AttachOrder): Promise<RemoteStatus> {
    return this.#alone(async () => {
      if (this.parts.journal.consent(order.workspace).state !== 'granted') throw new HindsightError('consentMissing', { workspace: order.workspace });
      const at = await this.#open(order);
      at.workspaces.add(order.workspace);
      if (order.remember === true) this.#remember(at, order.model);
      this.#handOver();
      return statusOf(at);
    });
  }

  /** @returns whether there was one */
  detach(): Promise<boolean> {
    return this.#alone(async () => {
      rmSync(this.#path(), { force: true });
      return this.#close();
    });
  }

  /** Attaches what an earlier daemon was told to remember; that it fails is a remark, not an end. */
  restore(): void {
    if (!existsSync(this.#path())) return;
    void this.#alone(async () => {
      const { workspaces, ...order } = remembered.parse(JSON.parse(readFileSync(this.#path(), 'utf8')));
      const [first, ...rest] = workspaces;
      if (first === undefined) return;
      const at = await this.#open({ workspace: first, pairing: order.pairing, serve: order.serve, train: order.train, ...(order.model !== undefined && { model: order.model }) });
      for (const workspace of [first, ...rest]) at.workspaces.add(workspace);
      this.#handOver();
    }).catch((thrown: unknown) => this.parts.log(thrown instanceof Error ? thrown.message : String(thrown)));
  }

  /** The daemon ends; what is remembered stays. */
  async end(): Promise<void> {
    this.#ending.abort();
    await this.#alone(() => this.#close());
  }

  #of(workspace: string): Attached | null {
    const at = this.#attached;
    return at !== null && at.workspaces.has(workspace) && this.parts.journal.consent(workspace).state === 'granted' ? at : null;
  }

  async #open(order: AttachOrder): Promise<Attached> {
    const { pairing: line, model, serve = 'remote', train = 'remote' } = order;
    const pairing = parsePairing(line);
    // The local trainer takes back what a killed daemon left half-done before another one begins.
    await this.parts.local();
    const before = this.#attached;
    if (before !== null && before.pairing === line && before.serve === serve && before.train === train && (model === undefined || model === before.engine.model.name)) return before;
    const { parts } = this;
    const engine = await attachEngine({ pairing, client: this.#client(), cache: join(parts.home, 'tokenizers'), log: parts.log, ...(model !== undefined && { model }) }, this.#ending.signal);
    try {
      await this.#fits(engine, serve, train);
      await this.#close();
      const core = await parts.coreOf(engine);
      engine.onChange(() => parts.changed());
      // Who agreed to the engine before has not agreed to this one.
      const workspaces = before?.pairing === line ? before.workspaces : new Set<string>();
      return (this.#attached = { engine, core, pairing: line, workspaces, serve, train });
    } catch (thrown) {
      await engine.close();
      throw thrown;
    }
  }

  /** Where one serves and the other trains, both need the same base. */
  async #fits(engine: RemoteEngine, serve: Side, train: Side): Promise<void> {
    if (serve === train) return;
    const local = await this.parts.local();
    if (local?.engine.model.fingerprint === engine.model.fingerprint) return;
    throw new HindsightError('unsupported', {
      what: `Serving ${serve} and training ${train}`,
      problem: `the remote model ${engine.model.name} and the local ${local?.engine.model.name ?? 'one'} are not the same: an adapter of one does not fit the other`,
      remedy: 'Load the same model on both sides, or let one of them do both.',
    });
  }

  /** The local trainer ends its step first: two of a workspace at once would not know of each other. */
  #handOver(): void {
    this.parts.changed();
    void this.parts.local().then(async (local) => {
      await local?.trainer.settled();
      this.#attached?.core.trainer.goOn();
    });
  }

  async #close(): Promise<boolean> {
    const at = this.#attached;
    if (at === null) return false;
    this.#attached = null;
    // First the engine: what waits for its link ends now, its samples are ready again.
    await at.engine.close();
    await at.core.trainer.close();
    (await this.parts.local())?.trainer.goOn();
    this.parts.changed();
    return true;
  }

  /** Names this daemon to engines, for as long as its journal lives. */
  #client(): string {
    const { journal } = this.parts;
    const known = journal.get('remote/client');
    if (typeof known === 'string') return known;
    const client = randomUUID();
    journal.set('remote/client', client);
    return client;
  }

  #path(): string {
    return join(this.parts.home, 'remote.json');
  }

  #remember({ pairing, workspaces, serve, train }: Attached, model: string | undefined): void {
    const temporary = `${this.#path()}.tmp`;
    writeFileSync(temporary, JSON.stringify({ pairing, serve, train, workspaces: [...workspaces], ...(model !== undefined && { model }) }), { mode: 0o600 });
    renameSync(temporary, this.#path());
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

function statusOf({ engine, serve, train }: Attached): RemoteStatus {
  return {
    address: engine.address, device: engine.hello.engine.device, model: engine.model.name,
    link: engine.down ? 'down' : 'up', latencyMs: engine.latencyMs === null ? null : Math.round(engine.latencyMs * 10) / 10, reason: engine.down ? engine.reason : null, serve, train,
  };
}

