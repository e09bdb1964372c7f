/**
 * The accepted text of a closed completion, watched on to the last horizon: its later marks are late
 * evidence (learning.md, "Turns and next states"). Plain data and pure functions, so that the range
 * survives restarts of daemon and editor: a document that is opened again says where the range is, or
 * the watch ends, for what nobody saw change is unknown and not a verdict.
 */
import type { Signal } from '../../protocol/signals.ts';
import { moveSpan } from './span.ts';
import { fourGramSimilarity } from './survival.ts';
import { HORIZONS, PROVISIONAL_SECONDS } from './tracking.ts';
import type { Tracking } from './tracking.ts';

export interface Watch {
  turn: string;
  workspace: string;
  uri: string;
  /** Whose document versions `version` counts. */
  session: string;
  acceptedAt: number;
  /** The text as it was accepted. */
  original: string;
  /** What the developer had written before it at the offer's place. */
  lead: string;
  /** Where it stands now, UTF-16 units. */
  start: number;
  text: string;
  version: number;
  /** false: the document is closed, and nobody sees what happens to it. */
  open: boolean;
  /** Horizons that are taken, seconds. */
  taken: number[];
}

export interface Mark {
  turn: string;
  seconds: number;
  /** null = void: the text was rewritten around it, or the branch was switched. */
  similarity: number | null;
  /** What stands at the offer's place; null = unknown. */
  written: string | null;
  at: number;
}

/** What becomes of a watch; null = it is over. */
export interface Watched {
  watch: Watch | null;
  marks: Mark[];
}

const LAST_HORIZON = 900 satisfies (typeof HORIZONS)[number];
/** A range that is found again by its text must not be a word that stands anywhere. */
const LEAST_FOUND = 12;

/** @param tracking of a completion that was accepted, as it is closed; @returns null where its text is unknown */
export function beginWatch(tracking: Tracking, session: string, workspace: string): Watch | null {
  const { accepted } = tracking;
  if (accepted === null || !accepted.known) return null;
  return {
    turn: tracking.turn, workspace, uri: tracking.uri, session,
    acceptedAt: accepted.at,
    original: accepted.original,
    lead: tracking.text.slice(0, accepted.from),
    start: tracking.start + accepted.from,
    text: tracking.text.slice(accepted.from, accepted.to),
    version: tracking.version,
    open: true,
    taken: HORIZONS.filter((horizon) => horizon <= PROVISIONAL_SECONDS),
  };
}

export function watchSignal(watch: Watch, session: string, signal: Signal): Watched {
  if (signal.kind === 'branch.switched') return ended(watch, signal.at);
  if (session !== watch.session) return { watch, marks: [] };
  const due = watchTime(watch, signal.at);
  if (due.watch === null) return due;
  switch (signal.kind) {
    case 'document.changed':
      if (signal.uri !== watch.uri || signal.version <= due.watch.version) return due;
      return changed(due, signal);
    case 'document.closed':
      return signal.uri === watch.uri ? { ...due, watch: { ...due.watch, open: false } } : due;
    case 'session.ended':
      return { ...due, watch: { ...due.watch, open: false } };
    default:
      return due;
  }
}

/** Time passed. A closed document waits: whether its text is still there is seen when it is opened. */
export function watchTime(watch: Watch, now: number): Watched {
  if (!watch.open) return { watch, marks: [] };
  const due = HORIZONS.filter((horizon) => !watch.taken.includes(horizon) && now - watch.acceptedAt >= 1000 * horizon);
  if (due.length === 0) return { watch, marks: [] };
  const similarity = fourGramSimilarity(watch.original, watch.text);
  const marks = due.map((seconds): Mark => ({ turn: watch.turn, seconds, similarity, written: watch.lead + watch.text, at: watch.acceptedAt + 1000 * seconds }));
  return { watch: due.includes(LAST_HORIZON) ? null : { ...watch, taken: [...watch.taken, ...due] }, marks };
}

/** The document was opened, with its text: after a reload, a restart, or just again. */
export function watchOpened(watch: Watch, session: string, document: { version: number; text: string; at: number }): Watched {
  const start = find(watch, document.text);
  if (start === null) return ended(watch, document.at);
  return watchTime({ ...watch, session, start, version: document.version, open: true }, document.at);
}

function changed({ watch, marks }: Watched, signal: Extract<Signal, { kind: 'document.changed' }>): Watched {
  if (watch === null) return { watch, marks };
  let span = { start: watch.start, text: watch.text };
  for (const change of signal.changes) {
    const moved = moveSpan(span, change, 'closed');
    if (moved.touch === 'rewritten') return { watch: null, marks: [...marks, ...ended(watch, signal.at).marks] };
    span = moved.span;
  }
  return { watch: { ...watch, ...span, version: signal.version }, marks };
}

/** Survival is unknown from now on; the next horizon says so. */
function ended(watch: Watch, at: number): Watched {
  const next = HORIZONS.find((horizon) => !watch.taken.includes(horizon)) ?? LAST_HORIZON;
  return { watch: null, marks: [{ turn: watch.turn, seconds: next, similarity: null, written: null, at }] };
}

/** At its place, or the only place that has the text. */
function find(watch: Watch, document: string): number | null {
  if (watch.text === '') return null;
  if (document.startsWith(watch.text, watch.start)) return watch.start;
  if (watch.text.trim().length < LEAST_FOUND) return null;
  const first = document.indexOf(watch.text);
  return first >= 0 && document.indexOf(watch.text, first + 1) < 0 ? first : null;
}
