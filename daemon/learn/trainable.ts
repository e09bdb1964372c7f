/**
 * The adapter that is trained: the serving version's weights with AdamW's moments, under a name of
 * its own on the engine. After a promoted step it already is the new serving version; after a
 * rejected one, a rollback or an engine's restart it is made again from the serving folder.
 */
import type { AdapterStore } from '../adapters/store.ts';
import type { Engine } from '../engine/engine.ts';
import type { LearnSettings } from './settings.ts';

/** All linear layers (LoRA Without Regret: attention alone is not enough). */
export const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export class Trainable {
  /** Version whose weights the trainable has, by its engine name; null = fresh from the base. */
  readonly #at = new Map<string, number | null | 'spoiled'>();

  constructor(
    private readonly engine: Engine,
    private readonly adapters: AdapterStore,
    private readonly settings: LearnSettings,
  ) {
    engine.onRestart(() => this.#at.clear());
  }

  /** Brings the trainable to a version. @returns its engine name */
  async at(workspace: string, version: number | null): Promise<string> {
    const name = this.#name(workspace);
    if (this.#at.has(name) && this.#at.get(name) === version) return name;
    if (version === null) {
      if (this.#at.has(name)) await this.engine.adapterDelete({ name });
      const { rank, alpha, seed } = this.settings;
      await this.engine.adapterCreate({ name, rank, alpha, targets: TARGETS, seed });
    } else {
      await this.engine.adapterLoad({ name, dir: this.adapters.dir(workspace, version), training: true });
    }
    this.#at.set(name, version);
    return name;
  }

  /** A step moved it: it now has the weights of this version. */
  advanced(workspace: string, version: number): void {
    this.#at.set(this.#name(workspace), version);
  }

  /** Its weights are nobody's any more: a step failed half-way. */
  spoiled(workspace: string): void {
    const name = this.#name(workspace);
    if (this.#at.has(name)) this.#at.set(name, 'spoiled');
  }

  #name(workspace: string): string {
    return `train/${this.adapters.key(workspace)}`;
  }
}
