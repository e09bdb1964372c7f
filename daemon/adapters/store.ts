/**
 * Adapter versions of each workspace: folders on disk, rows in the journal, names on the engine.
 * The serving pointer is the journal's row and nothing else; it moves in one transaction, and only
 * to a version that the gate let pass (conformance 21). A version's weights never change, so a
 * rollback gives the same greedy tokens again (conformance 22).
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { stopWatching, watchPromotion } from '../gate/watch.ts';
import type { Journal } from '../journal/journal.ts';
import type { AdapterRecord, AdapterState } from '../journal/records.ts';
import { averageTeacher, TEACHER } from './average.ts';
import { CONFIG, OPTIMIZER, RECEIPT, WEIGHTS, copyAdapter, hashFile, removeFile, removeUnnamed, replaceFile, workspaceKey, writeFolder } from './files.ts';

export interface ServedAdapter {
  version: number;
  /** The engine's name of it, `<workspaceKey>/<version>`. */
  name: string;
}

export interface CandidateFacts {
  workspace: string;
  version: number;
  parent: number | null;
  samples: number;
  createdAt: number;
  /** What else the receipt tells: settings, seed, sample ids, metrics. */
  receipt: Record<string, unknown>;
}

/** States of versions that passed the gate once. */
const PROMOTED: readonly AdapterState[] = ['serving', 'retired', 'rolledBack'];

export class AdapterStore {
  readonly #journal: Journal;
  readonly #engine: Engine;
  readonly #root: string;
  /** Names on the engine, each with the promise of its load. */
  readonly #loads = new Map<string, Promise<void>>();

  constructor(parts: { journal: Journal; engine: Engine; root: string }) {
    this.#journal = parts.journal;
    this.#engine = parts.engine;
    this.#root = parts.root;
    this.#engine.onRestart(() => this.#loads.clear());
  }

  key(workspace: string): string {
    return workspaceKey(workspace);
  }

  name(workspace: string, version: number): string {
    return `${workspaceKey(workspace)}/${version}`;
  }

  dir(workspace: string, version: number): string {
    return join(this.#root, workspaceKey(workspace), String(version));
  }

  /** Newest first. */
  list(workspace: string): AdapterRecord[] {
    return this.#journal.adapters(workspace);
  }

  /** Of the base that is loaded. */
  get fingerprint(): string {
    return this.#engine.model.fingerprint;
  }

  /** The version under the agent: the one that the pointer names, or where that was trained on another
   *  base than the one that is loaded, the newest promoted one that fits. null = the base model alone. */
  serving(workspace: string): ServedAdapter | null {
    const version = this.#journal.serving(workspace);
    const record = version === null ? null : this.#find(workspace, version);
    const fitting = record === null || record.fingerprint === this.fingerprint ? record : this.#newestFitting(workspace);
    return fitting === null ? null : this.#served(workspace, fitting);
  }

  #newestFitting(workspace: string): AdapterRecord | null {
    return this.#journal.adapters(workspace).find((one) => one.fingerprint === this.fingerprint && (one.state === 'serving' || one.state === 'retired')) ?? null;
  }

  #served(workspace: string, record: AdapterRecord): ServedAdapter {
    return { version: record.version, name: this.name(workspace, record.version) };
  }

  /** The serving version, on the engine when this resolves (an engine that restarted has none).
   *  @throws adapterCorrupt, adapterMissing */
  async ensureServing(workspace: string): Promise<ServedAdapter | null> {
    const serving = this.serving(workspace);
    if (serving !== null) await this.ensureLoaded(workspace, serving.version);
    return serving;
  }

  /** Puts a version on the engine unless it is there. @returns its name
   *  @throws adapterMissing, adapterUnfit (another base), adapterCorrupt (its hash changed) */
  async ensureLoaded(workspace: string, version: number): Promise<string> {
    const name = this.name(workspace, version);
    const load = this.#loads.get(name) ?? this.#load(workspace, version, name);
    this.#loads.set(name, load);
    try {
      await load;
    } catch (thrown) {
      this.#loads.delete(name);
      throw thrown;
    }
    return name;
  }

  /** The average that teaches while a version serves, on the engine when this resolves; made from the
   *  version's files and its parent's where it is not there. @returns its name
   *  @throws adapterMissing, adapterCorrupt */
  async ensureTeacher(workspace: string, version: number, rate: number): Promise<string> {
    const name = `${this.name(workspace, version)}/${TEACHER}`;
    const loaded = this.#loads.get(name);
    if (loaded !== undefined) return loaded.then(() => name);
    const parent = this.#find(workspace, version)?.parent ?? null;
    const load = averageTeacher(this.dir(workspace, version), parent === null ? null : this.dir(workspace, parent), rate).then(async (dir) => void (await this.#engine.adapterLoad({ name, dir })));
    this.#loads.set(name, load);
    load.catch(() => this.#loads.delete(name));
    await load;
    return name;
  }

  /** Frees the engine of all versions of a workspace but these. */
  async keepLoaded(workspace: string, versions: readonly (number | null)[]): Promise<void> {
    const keep = new Set(versions.flatMap((version) => (version === null ? [] : [this.name(workspace, version)])));
    const prefix = `${workspaceKey(workspace)}/`;
    for (const name of [...this.#loads.keys()]) {
      if (!name.startsWith(prefix) || keep.has(name)) continue;
      this.#loads.delete(name);
      await this.#engine.adapterDelete({ name });
    }
  }

  /** Frees the engine of every version: nothing of them is left on disk. */
  async unloadAll(): Promise<void> {
    for (const name of [...this.#loads.keys()]) {
      this.#loads.delete(name);
      await this.#engine.adapterDelete({ name });
    }
  }

  /** Writes the adapter that the engine calls `trainName` as a candidate's folder, complete on disk
   *  when this resolves. The row is the caller's: it belongs into the step's transaction. */
  async writeCandidate(trainName: string, facts: CandidateFacts): Promise<AdapterRecord> {
    const { workspace, version, parent, samples, createdAt } = facts;
    const dir = this.dir(workspace, version);
    const fingerprint = this.#engine.model.fingerprint;
    await writeFolder(dir, async (temporary) => {
      await this.#engine.adapterWrite({ name: trainName, dir: temporary, optimizer: true });
      replaceFile(join(temporary, RECEIPT), json({ workspace, version, parent, base: { name: this.#engine.model.name, fingerprint }, createdAt, ...facts.receipt }));
    });
    const sha256 = hashFile(join(dir, WEIGHTS)) ?? '';
    return { workspace, version, parent, fingerprint, dir, sha256, state: 'candidate', createdAt, samples, reason: 'Not judged yet.' };
  }

  /** Adds what the gate found to a version's receipt; call it before the row changes, so that every
   *  decision in the journal has its receipt. */
  addToReceipt(workspace: string, version: number, facts: Record<string, unknown>): void {
    const path = join(this.dir(workspace, version), RECEIPT);
    if (!existsSync(path)) return;
    replaceFile(path, json({ ...(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>), ...facts }));
  }

  /** Moves the pointer to a candidate, in one transaction (or the caller's). */
  publish(workspace: string, version: number, reason: string): void {
    this.#require(workspace, version, ['candidate']);
    this.#journal.transaction(() => {
      const before = this.#journal.serving(workspace);
      if (before !== null) this.#journal.updateAdapter(workspace, before, { state: 'retired' });
      this.#journal.updateAdapter(workspace, version, { state: 'serving', reason });
      this.#journal.setServing(workspace, version);
      watchPromotion(this.#journal, workspace, version, before);
    });
    this.#dropOldHelpers(workspace, version);
  }

  /** The receipt stays as the record of the decision, the weights go. */
  reject(workspace: string, version: number, reason: string): void {
    this.#journal.updateAdapter(workspace, version, { state: 'rejected', reason });
    for (const file of [WEIGHTS, OPTIMIZER]) removeFile(join(this.dir(workspace, version), file));
  }

  /**
   * Puts an earlier promoted version back, or the base model (`null`); without `to`, what served
   * before this one. Requests in flight end on the version they began with.
   * @returns what serves now
   * @throws adapterMissing, adapterUnfit, adapterCorrupt; badRequest for a version that never passed the gate
   */
  async rollback(workspace: string, to?: number | null): Promise<number | null> {
    const serving = this.#journal.serving(workspace);
    const target = to === undefined ? this.#before(workspace, serving) : to;
    if (target === serving) return serving;
    if (target !== null) {
      this.#require(workspace, target, PROMOTED);
      await this.ensureLoaded(workspace, target);
    }
    this.#journal.transaction(() => {
      if (serving !== null) this.#journal.updateAdapter(workspace, serving, { state: 'rolledBack' });
      if (target !== null) this.#journal.updateAdapter(workspace, target, { state: 'serving' });
      this.#journal.setServing(workspace, target);
      stopWatching(this.#journal, workspace);
    });
    return target;
  }

  /** What the monitor does on a drop: `to` serves again, and every version that was promoted since is
   *  put away for good. A `to` that cannot be loaded gives way to the base model.
   *  @returns what serves now */
  async quarantine(workspace: string, to: number | null, reason: string, at: number): Promise<number | null> {
    const target = to !== null && (await this.#loadable(workspace, to)) ? to : null;
    const bad = this.list(workspace).filter(({ version, state }) => version > (target ?? 0) && PROMOTED.includes(state));
    for (const { version } of bad) this.addToReceipt(workspace, version, { quarantined: { reason, at, servesInstead: target } });
    this.#journal.transaction(() => {
      for (const { version } of bad) this.#journal.updateAdapter(workspace, version, { state: 'quarantined', reason });
      if (target !== null) this.#journal.updateAdapter(workspace, target, { state: 'serving' });
      this.#journal.setServing(workspace, target);
      stopWatching(this.#journal, workspace);
    });
    return target;
  }

  async #loadable(workspace: string, version: number): Promise<boolean> {
    try {
      await this.ensureLoaded(workspace, version);
      return true;
    } catch (thrown) {
      if (toHindsightError(thrown).errorName === 'engineUnavailable') throw thrown;
      return false;
    }
  }

  /** Copies the PEFT files and the receipt, for peft, vLLM and others. */
  export(workspace: string, version: number, to: string): void {
    const record = this.#require(workspace, version, PROMOTED);
    this.#intact(record);
    copyAdapter(this.dir(workspace, version), to);
  }

  /** Folders that no row names were never finished, or belong to a step that was taken back. */
  removeUnnamed(): void {
    removeUnnamed(this.#root, new Set(this.#journal.adapters().map((record) => this.dir(record.workspace, record.version))));
  }

  async #load(workspace: string, version: number, name: string): Promise<void> {
    const record = this.#find(workspace, version);
    if (record === null) throw new HindsightError('adapterMissing', { adapter: name });
    if (record.fingerprint !== this.#engine.model.fingerprint) {
      throw new HindsightError('adapterUnfit', { adapter: name, problem: `it was trained on the base ${record.fingerprint.slice(0, 12)}, ${this.#engine.model.name} is ${this.#engine.model.fingerprint.slice(0, 12)}` });
    }
    this.#intact(record);
    await this.#engine.adapterLoad({ name, dir: this.dir(workspace, version) });
  }

  #intact(record: AdapterRecord): void {
    const dir = this.dir(record.workspace, record.version);
    const name = this.name(record.workspace, record.version);
    const sha256 = hashFile(join(dir, WEIGHTS));
    if (sha256 === null || !existsSync(join(dir, CONFIG))) throw new HindsightError('adapterMissing', { adapter: name });
    if (sha256 !== record.sha256) throw new HindsightError('adapterCorrupt', { adapter: name, problem: 'its weights are not those that were published' });
  }

  #require(workspace: string, version: number, states: readonly AdapterState[]): AdapterRecord {
    const record = this.#find(workspace, version);
    if (record === null) throw new HindsightError('adapterMissing', { adapter: this.name(workspace, version) });
    if (!states.includes(record.state)) {
      throw new HindsightError('badRequest', { problem: `Version ${version} is ${record.state} and cannot serve: ${record.reason}`, remedy: 'See `hindsight adapters list`.' });
    }
    return record;
  }

  #find(workspace: string, version: number): AdapterRecord | null {
    return this.#journal.adapters(workspace).find((record) => record.version === version) ?? null;
  }

  /** A version's parent served when it was trained; one that was rolled back itself is passed over. */
  #before(workspace: string, serving: number | null): number | null {
    let parent = serving === null ? null : (this.#find(workspace, serving)?.parent ?? null);
    while (parent !== null) {
      const record = this.#find(workspace, parent);
      if (record?.state === 'retired') return parent;
      parent = record?.parent ?? null;
    }
    return null;
  }

  /** AdamW's moments and the average that teaches are needed to go on from the serving version, or from
   *  its parent after a rollback. */
  #dropOldHelpers(workspace: string, version: number): void {
    const parent = this.#find(workspace, version)?.parent ?? null;
    for (const record of this.#journal.adapters(workspace)) {
      if (record.version === version || record.version === parent) continue;
      for (const name of [OPTIMIZER, TEACHER]) removeFile(join(this.dir(workspace, record.version), name));
    }
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
