// May this workspace be learned from, and from what? The daemon holds the answer; the window remembers it, so that a
// daemon that is away at the start costs no signal. Pure: memory and question are passed in.
import type { SignalClass } from '../../protocol/consent.ts';
import type { ConsentChoice } from '../../protocol/editor.ts';

/** A yes with its classes of signals, or a no. `classes` absent: the usual ones. */
export type Answer = { readonly state: 'refused' } | { readonly state: 'granted'; readonly classes?: ConsentChoice['classes'] };

export const UNCHOSEN: ConsentChoice = { state: 'unknown', classes: [] };

export interface ConsentPlace {
  /** The last answer of the daemon that this window's workspace has seen. */
  readonly remembered: () => ConsentChoice;
  readonly remember: (choice: ConsentChoice) => Promise<void>;
  readonly wasAsked: () => boolean;
  readonly setAsked: () => Promise<void>;
  /** Asks the person beside their work, once; undefined when they put it off. */
  readonly ask: () => Promise<Answer | undefined>;
  /** Asks the person who wants to choose, class by class; `wanted` are ticked beside what was granted. */
  readonly pick: (now: ConsentChoice, wanted: readonly SignalClass[]) => Promise<Answer | undefined>;
  /** Records the choice with the daemon. */
  readonly record: (answer: Answer) => Promise<ConsentChoice>;
  /** Told at every change, the remembered answer at the start included. */
  readonly changed: (choice: ConsentChoice) => Promise<void>;
}

export class Consent {
  #choice: ConsentChoice = UNCHOSEN;

  constructor(private readonly place: ConsentPlace) {}

  get choice(): ConsentChoice {
    return this.#choice;
  }

  /** Before there is a connection: a remembered yes lets signals wait on disk for the daemon. */
  async start(): Promise<void> {
    await this.#become(this.place.remembered());
  }

  /** The daemon's word is the one that counts: it may have been changed elsewhere. */
  async confirm(choice: ConsentChoice): Promise<void> {
    await this.#become(choice);
  }

  /** Asks once per workspace; afterwards only the command does. */
  async askOnce(): Promise<void> {
    if (this.#choice.state !== 'unknown' || this.place.wasAsked()) return;
    await this.place.setAsked();
    await this.#take(await this.place.ask());
  }

  /** @returns whether a choice was made */
  async choose(wanted: readonly SignalClass[] = []): Promise<boolean> {
    const answer = await this.place.pick(this.#choice, wanted);
    await this.#take(answer);
    return answer !== undefined;
  }

  async #take(answer: Answer | undefined): Promise<void> {
    if (answer !== undefined) await this.#become(await this.place.record(answer));
  }

  async #become(choice: ConsentChoice): Promise<void> {
    const before = this.#choice;
    this.#choice = choice;
    if (!same(choice, this.place.remembered())) await this.place.remember(choice);
    if (!same(choice, before)) await this.place.changed(choice);
  }
}

function same(one: ConsentChoice, other: ConsentChoice): boolean {
  return one.state === other.state && one.classes.join() === other.classes.join();
}
