/**
 * What holds between one request for ghost text and the next while a person types: offers that stand, the
 * pace at which they come, and what is computed ahead of the next request. It is read off the text alone,
 * so it holds in every editor and needs no consent.
 */
import { BLOCK } from '../agent/completion/postprocess.ts';
import { AT_REST, delayAt, isQuiet, paceAfter } from '../agent/completion/pace.ts';
import type { Pace } from '../agent/completion/pace.ts';
import { look, restAt } from '../agent/completion/standing.ts';
import type { StandingOffer } from '../agent/completion/standing.ts';
import type { Clock } from '../clock.ts';
import type { Turn } from '../journal/records.ts';
import type { Window } from './window.ts';

/** Offers of a document that may go on where text is taken back. */
const STANDING = 4;

/** What is shown at the cursor: an answer, or what is left of one that was offered before. */
export interface Offer {
  turn: string;
  text: string;
}

export interface ChangedDocument {
  uri: string;
  languageId: string;
  version: number;
  text: string;
}

/** A place where the editor is about to ask. */
export interface NextPlace extends ChangedDocument {
  window: Window;
  offset: number;
  /** What was taken was cut: several lines may follow it. */
  goesOn: boolean;
  signal: AbortSignal;
}

/** What follows an accepted offer, computed before the editor asks for it. */
interface Ahead {
  text: string;
  offset: number;
  answer: Promise<Turn | null>;
  cancel: () => void;
}

interface Typed {
  /** The one that was offered last is the first. */
  offers: StandingOffer[];
  /** Start of the line on which an offer was turned down last: a line counts once. */
  rejectedAt: number | null;
  ahead: Ahead | null;
}

export interface TypingParts {
  clock: Clock;
  compute: (place: NextPlace) => Promise<Turn | null>;
  /** The status of a workspace changed: suggestions come by themselves again, or no more. */
  changed: (workspace: string) => void;
}

export class Typing {
  /** By session and document. */
  readonly #typed = new Map<string, Typed>();
  readonly #paces = new Map<string, Pace>();
  /** Workspaces whose window wishes an even pace. */
  readonly #steady = new Set<string>();

  constructor(private readonly parts: TypingParts) {}

  /** An offer of the document that goes on at the cursor.
   *  @param unbroken  only one that was never written over, nor the text before it taken back */
  standing(key: string, text: string, offset: number, unbroken: boolean): Offer | null {
    for (const offer of this.#typed.get(key)?.offers ?? []) {
      if (unbroken && !offer.unbroken) continue;
      const rest = restAt(offer, text, offset);
      if (rest !== null) return { turn: offer.turn, text: rest };
    }
    return null;
  }

  /** A turn is offered now. @param text  the document that it was made for */
  offered(key: string, turn: Turn, text: string): void {
    if (turn.shownText === '') return;
    const typed = this.#typed.get(key) ?? { offers: [], rejectedAt: null, ahead: null };
    const cut = turn.finishReason === 'length' && turn.sampling.stop?.[0] === BLOCK.stop[0];
    const offer: StandingOffer = { turn: turn.id, text: turn.shownText, prefix: text.slice(0, turn.offset), suffix: text.slice(turn.offset), cut, agreed: 0, taken: false, unbroken: true };
    typed.offers = [offer, ...typed.offers].slice(0, STANDING);
    this.#typed.set(key, typed);
  }

  /** A document changed: what that says of the offers in it. */
  changed(key: string, window: Window, document: ChangedDocument): void {
    const typed = this.#typed.get(key);
    if (typed === undefined) return;
    if (typed.ahead !== null && typed.ahead.text !== document.text) {
      typed.ahead.cancel();
      typed.ahead = null;
    }
    const seen = typed.offers.map((offer) => look(offer, document.text));
    typed.offers = seen.filter(({ sight }) => sight !== 'complete').map(({ offer }) => offer);
    const [latest] = seen;
    if (latest === undefined) return;
    const { offer, sight, accepted } = latest;
    if (accepted) this.#learnPace(window.workspace, 'accepted');
    if (accepted && sight === 'complete') typed.ahead = this.#lookAhead(window, document, offer);
    if (sight !== 'contradicted' || offer.taken) return;
    const line = offer.prefix.lastIndexOf('\n') + 1;
    if (typed.rejectedAt !== line) this.#learnPace(window.workspace, 'rejected');
    typed.rejectedAt = line;
  }

  /** Hands out what was begun for the text and the cursor of a request, once; whoever has it ends it. */
  takeAhead(key: string, text: string, offset: number): Pick<Ahead, 'answer' | 'cancel'> | null {
    const typed = this.#typed.get(key);
    const ahead = typed?.ahead ?? null;
    if (typed === undefined || ahead === null || ahead.text !== text || ahead.offset !== offset) return null;
    typed.ahead = null;
    return ahead;
  }

  /** Milliseconds to wait for the next key; null = nothing comes by itself now. */
  delayMs(workspace: string): number | null {
    const now = this.parts.clock.now();
    const pace = this.#pace(workspace);
    return isQuiet(pace, now) ? null : delayAt(pace, now);
  }

  /** Until when nothing comes by itself; null = it does. */
  quietUntil(workspace: string): number | null {
    const pace = this.#pace(workspace);
    return isQuiet(pace, this.parts.clock.now()) ? pace.quietUntil : null;
  }

  /** Whether the wait for the next key follows what becomes of suggestions. */
  setAdaptive(workspace: string, on: boolean): void {
    this.#paces.delete(workspace);
    if (on) this.#steady.delete(workspace);
    else this.#steady.add(workspace);
  }

  /** What became of a turn is known: it is no offer any more. */
  closed(key: string, turn: string): void {
    const typed = this.#typed.get(key);
    if (typed) typed.offers = typed.offers.filter((offer) => offer.turn !== turn);
  }

  /** @param prefix  of the documents' keys; '' = all */
  drop(prefix: string): void {
    for (const [key, { ahead }] of [...this.#typed]) {
      if (!key.startsWith(prefix)) continue;
      ahead?.cancel();
      this.#typed.delete(key);
    }
  }

  /** Begins with what follows an offer that was just accepted in full. Nothing of it is an offer before the
   *  editor asks; another change ends it. */
  #lookAhead(window: Window, document: ChangedDocument, { suffix, cut }: StandingOffer): Ahead {
    const offset = document.text.length - suffix.length;
    const cancelled = new AbortController();
    // Whoever asks for it computes it anew where it failed.
    const answer = this.parts.compute({ ...document, window, offset, goesOn: cut, signal: cancelled.signal }).catch(() => null);
    return { text: document.text, offset, answer, cancel: () => cancelled.abort() };
  }

  #pace(workspace: string): Pace {
    return this.#paces.get(workspace) ?? AT_REST;
  }

  #learnPace(workspace: string, outcome: 'accepted' | 'rejected'): void {
    if (this.#steady.has(workspace)) return;
    const { clock, changed } = this.parts;
    const before = this.#pace(workspace);
    const pace = paceAfter(before, outcome, clock.now());
    this.#paces.set(workspace, pace);
    if (pace.quietUntil === before.quietUntil) return;
    changed(workspace);
    if (pace.quietUntil > 0) clock.after(pace.quietUntil - clock.now(), () => changed(workspace));
  }
}
