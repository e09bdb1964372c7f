// May this workspace be learned from? The daemon holds the answer; the window remembers it, so that a daemon
// that is away at the start costs no signal. Pure: memory and question are passed in.
import type { ConsentState } from '../../protocol/editor.ts';

export interface ConsentPlace {
  /** The last answer of the daemon that this window's workspace has seen. */
  readonly remembered: () => ConsentState;
  readonly remember: (state: ConsentState) => Promise<void>;
  readonly wasAsked: () => boolean;
  readonly setAsked: () => Promise<void>;
  /** Asks the person, without blocking their work; undefined when they put it off. */
  readonly ask: () => Promise<'granted' | 'refused' | undefined>;
  /** Records the choice with the daemon. */
  readonly record: (state: 'granted' | 'refused') => Promise<ConsentState>;
  /** Told at every change, the remembered answer at the start included. */
  readonly changed: (state: ConsentState) => Promise<void>;
}

export class Consent {
  #state: ConsentState = 'unknown';

  constructor(private readonly place: ConsentPlace) {}

  get state(): ConsentState {
    return this.#state;
  }

  /** Before there is a connection: a remembered yes lets signals wait on disk for the daemon. */
  async start(): Promise<void> {
    await this.#become(this.place.remembered());
  }

  /** The daemon's word is the one that counts: it may have been changed elsewhere. */
  async confirm(state: ConsentState): Promise<void> {
    await this.#become(state);
  }

  /** Asks once per workspace; afterwards only the command does. */
  async askOnce(): Promise<void> {
    if (this.#state !== 'unknown' || this.place.wasAsked()) return;
    await this.place.setAsked();
    await this.choose();
  }

  async choose(): Promise<void> {
    const choice = await this.place.ask();
    if (choice !== undefined) await this.#become(await this.place.record(choice));
  }

  async #become(state: ConsentState): Promise<void> {
    const before = this.#state;
    this.#state = state;
    if (state !== this.place.remembered()) await this.place.remember(state);
    if (state !== before) await this.place.changed(state);
  }
}
