/** Show or hold in the daemon: what was decided of each workspace's suggestions, and the filter learned of it. */
import { createHash } from 'node:crypto';
import type { Journal } from '../../journal/journal.ts';
import type { NextState, Turn } from '../../journal/records.ts';
import { calibrate, decideShow, describe, offerOf, outcomeOf } from './filter.ts';
import type { Calibrated } from './filter.ts';
import { filterFeatures } from './filterFeatures.ts';
import type { PastOffer } from './filterFeatures.ts';
import type { DecidedOffer } from './filterTraining.ts';

/** Turns of the journal that are looked at, the newest; decided offers that are fitted on; and how many
 *  new ones make another fit, which takes some milliseconds. */
const READ = 2000;
const KEPT = 1000;
const REFIT = 20;
/** Offers of a session that its next ones are compared with. */
const REMEMBERED = 400;

interface Watched {
  offers: DecidedOffer[];
  sessions: Map<string, PastOffer[]>;
  calibrated: Calibrated;
  /** Outcomes since the last fit. */
  fresh: number;
}

export class HoldBack {
  readonly #workspaces = new Map<string, Watched>();

  constructor(private readonly journal: Pick<Journal, 'turnsOf' | 'nextState'>) {}

  /** The turn as it goes to the editor and the journal: with nothing to show where it is held back. */
  weigh(turn: Turn): Turn {
    if (turn.shownText === '') return turn;
    const { calibrated, sessions } = this.#watched(turn.workspace);
    const decision = decideShow(calibrated, offerOf(turn), sessions.get(turn.session) ?? [], drawOf(turn));
    return decision === 'show' ? turn : { ...turn, shownText: '', held: turn.shownText };
  }

  /** What became of an offer; unwatched workspaces are read from the journal when they are asked about. */
  closed(turn: Turn, next: NextState): void {
    const watched = this.#workspaces.get(turn.workspace);
    if (watched === undefined || !this.#add(watched, turn, next) || watched.fresh < REFIT) return;
    watched.calibrated = calibrate(watched.offers);
    watched.fresh = 0;
  }

  /** Reads what the journal knows, so that no offer has to wait for it. */
  watch(workspace: string): void {
    this.#watched(workspace);
  }

  forget(workspace: string): void {
    this.#workspaces.delete(workspace);
  }

  forgetAll(): void {
    this.#workspaces.clear();
  }

  /** @param on  the user wants suggestions to be held back */
  sentence(workspace: string, on: boolean): string {
    return describe(this.#watched(workspace).calibrated, on);
  }

  #watched(workspace: string): Watched {
    const known = this.#workspaces.get(workspace);
    if (known !== undefined) return known;
    const watched: Watched = { offers: [], sessions: new Map(), calibrated: { state: 'few', taken: 0, turnedDown: 0 }, fresh: 0 };
    const closed = this.journal.turnsOf({ workspace, role: 'main', open: false, limit: READ }).flatMap((turn) => {
      const next = turn.modality === 'completion' ? this.journal.nextState(turn.id) : null;
      return next === null ? [] : [{ turn, next }];
    });
    for (const { turn, next } of closed.sort((a, b) => a.next.decidedAt - b.next.decidedAt)) this.#add(watched, turn, next);
    watched.calibrated = calibrate(watched.offers);
    watched.fresh = 0;
    this.#workspaces.set(workspace, watched);
    return watched;
  }

  /** @returns whether it says something */
  #add(watched: Watched, turn: Turn, next: NextState): boolean {
    if (turn.modality !== 'completion' || turn.role !== 'main') return false;
    const accepted = outcomeOf(turn, next);
    if (accepted === null) return false;
    const history = watched.sessions.get(turn.session) ?? [];
    const offer = offerOf(turn);
    watched.offers.push({ group: turn.block, features: filterFeatures(offer, history), accepted });
    watched.offers.splice(0, watched.offers.length - KEPT);
    watched.sessions.set(turn.session, [...history, { text: offer.text, decidedAt: next.decidedAt, accepted }].slice(-REMEMBERED));
    watched.fresh++;
    return true;
  }
}

/** Uniform in [0, 1); the same for the same offer, so that a replay can be repeated. */
function drawOf({ uri, offset, offeredAt, shownText }: Turn): number {
  return createHash('sha256').update(JSON.stringify([uri, offset, offeredAt, shownText])).digest().readUInt32LE(0) / 2 ** 32;
}
