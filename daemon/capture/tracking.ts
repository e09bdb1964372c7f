/**
 * What becomes of one offered completion, inferred from text changes. One turn's state is plain data,
 * so that it survives a restart; every function here is pure. What was typed decides by what stands
 * there, not by what once stood there: a typo that is taken back is no divergence.
 */
import type { NextState, Outcome, Turn } from '../journal/records.ts';
import type { TextChange } from '../../protocol/signals.ts';
import { moveSpan } from './span.ts';
import { fourGramSimilarity } from './survival.ts';

/** Marks of survival, seconds after acceptance. A completion is closed at the provisional one; the later
 *  ones are late evidence (watching.ts). */
export const HORIZONS = [5, 30, 120, 300, 600, 900] as const;
export const PROVISIONAL_SECONDS = 30;
/** Nothing typed for so long: the offer was not answered. */
const ABANDONED_SECONDS = 30;
/** Nothing typed for so long after a divergence: the developer's line counts as finished. */
const PAUSE_SECONDS = 10;

/** The accept command follows its change at once. */
const COMMAND_MS = 500;

/** An offer of the same session and document after this one. */
export interface LaterOffer {
  version: number;
  offset: number;
}

export interface Tracking {
  turn: string;
  uri: string;
  offeredAt: number;
  /** What was offered, with \n as line end. */
  shown: string;
  /** Lines of the raw response: the developer's text is compared over as many. */
  lines: number;
  /** Last document version that is accounted for. */
  version: number;
  /** What the developer wrote at the offer's place. */
  start: number;
  text: string;
  /** Units of `text` that were typed; the rest are closers that the editor added behind the cursor. */
  typed: number;
  /** The developer's line goes on: what is written at the end of `text` belongs to it. */
  growing: boolean;
  typedAt: number | null;
  accepted: Accepted | null;
  survival: [number, number | null][];
  /** Offers made on versions of the document that are not accounted for yet. */
  later: LaterOffer[];
}

interface Accepted {
  at: number;
  full: boolean;
  /** Characters of the offer, from its start, that stood there after the acceptance. */
  chars: number;
  /** The text as it was inserted, and where it stands in `Tracking.text` now, [from, to). */
  original: string;
  from: number;
  to: number;
  /** false once the document was rewritten around it: survival is unknown from then on. */
  known: boolean;
}

export type Step = { tracking: Tracking } | { next: NextState };

export function beginTracking(turn: Turn): Tracking {
  return {
    turn: turn.id,
    uri: turn.uri,
    offeredAt: turn.offeredAt,
    shown: turn.held ?? turn.shownText,
    lines: turn.rawText.replace(/\n$/, '').split('\n').length,
    version: turn.version,
    start: turn.offset,
    text: '',
    typed: 0,
    growing: true,
    typedAt: null,
    accepted: null,
    survival: [],
    later: [],
  };
}

/** A change event of the turn's document.
 *  @param commanded a command wrote it, and no key */
export function onChange(tracking: Tracking, changes: readonly TextChange[], version: number, at: number, commanded = false): Step {
  if (version <= tracking.version) return { tracking };
  const due = onTime(tracking, at);
  if ('next' in due) return due;
  if (due.tracking.accepted === null && lineFinished(due.tracking)) return settle(due.tracking, at);
  let state: Tracking = due.tracking;
  let here = false;
  let backed = false;
  let rewritten = false;
  for (const change of changes) {
    const deletedBefore = change.offset + change.length === state.start && change.text === '' && change.length > 0;
    const moved = moveSpan(state, change, state.growing ? 'grows' : 'closed');
    here ||= moved.touch === 'inside';
    backed ||= deletedBefore;
    rewritten ||= moved.touch === 'rewritten';
    state = follow(state, change, moved);
  }
  state = { ...state, version };
  if (here) state = { ...state, typedAt: at };
  if (here && !state.accepted?.full) state = recogniseAcceptance(due.tracking, state, changes, at, commanded);
  if (state.accepted !== null) return { tracking: finishLine(rewritten || !here ? { ...state, growing: state.growing && here } : state) };
  if (rewritten) return close(state, 'abandoned', at);
  if (!here) return backed ? close(state, 'abandoned', at) : settle(state, at);
  // Several lines in one change may be an acceptance that the editor wrote differently: its command
  // would follow at once, so the next event decides.
  const block = changes.some((change) => change.text.includes('\n') && change.text.trim() !== '');
  return lineFinished(state) && !block ? settle(state, at) : { tracking: state };
}

/** The accept command ran: whatever the text change looked like, it was an acceptance. */
export function onAccepted(tracking: Tracking, at: number): Step {
  if (tracking.accepted?.full) return { tracking };
  const from = tracking.accepted?.from ?? 0;
  const original = tracking.text.slice(from);
  return { tracking: accept(tracking, { full: true, chars: tracking.shown.length, from, to: tracking.text.length, original }, at) };
}

/** Another main offer of the session. It counts from the document version it was made on, which the
 *  signals may not have reached yet. */
export function onLaterOffer(tracking: Tracking, offer: LaterOffer, at: number): Step {
  if (offer.version > tracking.version) return { tracking: { ...tracking, later: [...tracking.later, offer] } };
  return offerSeen(tracking, offer, at);
}

/** The document is accounted for up to `version`: what was offered on it counts now. */
export function onVersion(tracking: Tracking, version: number, at: number): Step {
  const reached = tracking.later.filter((offer) => offer.version <= version);
  if (reached.length === 0) return { tracking };
  let state: Tracking = { ...tracking, later: tracking.later.filter((offer) => offer.version > version) };
  for (const offer of reached) {
    const step = offerSeen(state, offer, at);
    if ('next' in step) return step;
    state = step.tracking;
  }
  return { tracking: state };
}

/** Time passed. */
export function onTime(tracking: Tracking, now: number): Step {
  const accepted = tracking.accepted;
  if (accepted !== null) {
    const marked = takeMarks(tracking, accepted, now);
    return seconds(accepted.at, now) >= PROVISIONAL_SECONDS ? close(marked, outcomeOf(marked), accepted.at + 1000 * PROVISIONAL_SECONDS) : { tracking: marked };
  }
  if (tracking.typedAt === null) {
    const end = tracking.offeredAt + 1000 * ABANDONED_SECONDS;
    return now >= end ? close(tracking, 'abandoned', end) : { tracking };
  }
  if (lineFinished(tracking) && now >= tracking.typedAt + COMMAND_MS) return settle(tracking, tracking.typedAt);
  const agreeing = outcomeOf(tracking) === 'superseded';
  const end = tracking.typedAt + 1000 * (agreeing ? ABANDONED_SECONDS : PAUSE_SECONDS);
  if (now < end) return { tracking };
  return agreeing ? close(tracking, 'abandoned', end) : settle(tracking, end);
}

/** Nothing more will be heard of the document, or of the session. */
export function onEnd(tracking: Tracking, at: number): Step {
  const due = onTime(tracking, at);
  if ('next' in due) return due;
  const state = due.tracking;
  if (state.accepted === null) return outcomeOf(state) === 'superseded' ? close(state, 'abandoned', at) : settle(state, at);
  const age = seconds(state.accepted.at, at);
  return close({ ...state, survival: [...state.survival, [age, survivalNow(state, state.accepted)]] }, outcomeOf(state), at);
}

/** HEAD moved: no range means anything any more. */
export function onBranchSwitched(tracking: Tracking, at: number): Step {
  const due = onTime(tracking, at);
  if ('next' in due) return due;
  const { accepted } = due.tracking;
  if (accepted === null) return close(due.tracking, 'abandoned', at);
  return onEnd({ ...due.tracking, accepted: { ...accepted, known: false } }, at);
}

// ── following the text ─────────────────────────────────────────────────────────────────────────

const PAIRS = ['()', '[]', '{}', '""', "''", '``'];

function follow(state: Tracking, change: TextChange, moved: ReturnType<typeof moveSpan>): Tracking {
  const next = { ...state, start: moved.span.start, text: moved.span.text };
  if (moved.touch === 'rewritten') return { ...next, typed: next.text.length, accepted: state.accepted && { ...state.accepted, from: 0, to: next.text.length, known: false } };
  if (moved.touch !== 'inside') return next;
  const { from, to, inserted } = moved;
  return { ...next, typed: typedAfter(state, change, from, to, inserted), accepted: state.accepted && followAccepted(state.accepted, from, to, inserted) };
}

/** Where the cursor is after a change, which tells what was typed from what the editor closed. */
function typedAfter(state: Tracking, change: TextChange, from: number, to: number, inserted: string): number {
  const atCursor = from === state.typed && change.length === 0;
  if (atCursor && PAIRS.includes(inserted)) return from + 1;
  // Enter between two brackets: the closing one goes to a line of its own, behind the cursor.
  const split = /^(\r?\n[ \t]*)\r?\n[ \t]*$/.exec(inserted);
  if (atCursor && split && state.text.length > state.typed) return from + (split[1]?.length ?? 0);
  return to <= state.typed ? state.typed + inserted.length - (to - from) : from + inserted.length;
}

function followAccepted(accepted: Accepted, from: number, to: number, inserted: string): Accepted {
  // Undone and redone, or cut and put back: it is the same text again.
  if (accepted.from === accepted.to && from === accepted.from && inserted === accepted.original) return { ...accepted, to: from + inserted.length };
  const delta = inserted.length - (to - from);
  if (to <= accepted.from && !(from === to && from === accepted.from && accepted.from === accepted.to)) return { ...accepted, from: accepted.from + delta, to: accepted.to + delta };
  if (from >= accepted.to) return accepted;
  // A replacement that reaches over an edge counts as what stands there now; a deletion shrinks.
  const start = Math.min(accepted.from, from);
  const end = Math.max(accepted.to, to) + delta;
  return { ...accepted, from: start, to: Math.max(start, end) };
}

// ── acceptance ─────────────────────────────────────────────────────────────────────────────────

/** One change that inserts the offer, what was left of it, or more of it than a key writes. */
function recogniseAcceptance(before: Tracking, after: Tracking, changes: readonly TextChange[], at: number, commanded: boolean): Tracking {
  const head = after.text.slice(0, after.typed);
  const was = before.text.slice(0, before.typed);
  if (!head.startsWith(was)) return after;
  const grown = head.slice(was.length);
  // Typing comes as single characters, several of them in one event at times; an acceptance is one change.
  const alone = changes.length === 1 || changes.some((change) => change.text === grown);
  const pure = changes.some((change) => change.length === 0 && change.text === grown);
  const asTyped = [...grown].length < 2 || grown.trim() === '' || PAIRS.includes(grown);
  if (!alone || grown === '' || (asTyped && !commanded)) return after;
  const from = before.accepted?.from ?? was.length;
  const range = { from, to: head.length, original: head.slice(from) };
  const written = unix(head);
  if (written === after.shown) return accept(after, { full: true, chars: written.length, ...range }, at);
  if (pure && after.shown.startsWith(written)) return accept(after, { full: false, chars: written.length, ...range }, at);
  return after;
}

function accept(tracking: Tracking, accepted: Omit<Accepted, 'at' | 'known'>, at: number): Tracking {
  return { ...tracking, survival: [], typed: tracking.text.length, accepted: { ...accepted, at, known: accepted.original !== '' } };
}

function takeMarks(tracking: Tracking, accepted: Accepted, now: number): Tracking {
  const age = seconds(accepted.at, now);
  const due = HORIZONS.filter((horizon) => horizon <= PROVISIONAL_SECONDS && horizon <= age && !tracking.survival.some(([taken]) => taken === horizon));
  if (due.length === 0) return tracking;
  return { ...tracking, survival: [...tracking.survival, ...due.map((horizon): [number, number | null] => [horizon, survivalNow(tracking, accepted)])] };
}

function survivalNow(tracking: Tracking, accepted: Accepted): number | null {
  return accepted.known ? fourGramSimilarity(accepted.original, tracking.text.slice(accepted.from, accepted.to)) : null;
}

// ── outcome ────────────────────────────────────────────────────────────────────────────────────

/** What the text as it stands says; `superseded` = it agrees with the offer as far as it goes. */
function outcomeOf(tracking: Tracking, text = tracking.text.slice(0, tracking.typed)): Outcome {
  if (tracking.accepted !== null) return tracking.accepted.full ? 'accepted' : 'partial';
  const written = unix(text);
  const firstLine = tracking.shown.split('\n')[0] ?? '';
  if (firstLine !== '' && written.startsWith(firstLine)) return 'typedThrough';
  return tracking.shown.startsWith(written) ? 'superseded' : 'diverged';
}

function offerSeen(tracking: Tracking, offer: LaterOffer, at: number): Step {
  const due = onTime(tracking, at);
  if ('next' in due) return due;
  const state = due.tracking;
  const sameLine = offer.offset >= state.start && offer.offset <= state.start + state.text.length && !state.text.slice(0, offer.offset - state.start).includes('\n');
  if (state.accepted !== null) return { tracking: sameLine ? state : { ...state, growing: false } };
  if (!sameLine) return settle(state, at);
  // A retry at the same place is no next state either: it says nothing about the text.
  return outcomeOf(state) === 'superseded' ? close(state, 'superseded', at) : { tracking: state };
}

/** The developer's text is what stands there, closers of the editor included. */
function settle(state: Tracking, at: number): Step {
  const outcome = outcomeOf(state, state.text);
  return close(state, outcome === 'superseded' ? 'abandoned' : outcome, at);
}

function close(state: Tracking, outcome: Outcome, at: number): Step {
  const known = outcome !== 'abandoned' && outcome !== 'superseded';
  return {
    next: {
      turn: state.turn,
      outcome,
      acceptedChars: state.accepted?.chars ?? 0,
      developerText: known ? firstLines(state.text, state.lines) : null,
      survival: state.survival,
      decidedAt: at,
    },
  };
}

/** A newline typed past what decides: after the divergence, or after the offer's first line. */
function lineFinished(state: Tracking): boolean {
  const outcome = outcomeOf(state);
  if (outcome !== 'diverged' && outcome !== 'typedThrough') return false;
  const written = unix(state.text.slice(0, state.typed));
  let agreed = 0;
  while (agreed < written.length && written[agreed] === state.shown[agreed]) agreed++;
  return written.indexOf('\n', outcome === 'typedThrough' ? 0 : agreed) >= 0;
}

function finishLine(state: Tracking): Tracking {
  const done = state.accepted !== null && state.text.slice(state.accepted.to).includes('\n');
  return done ? { ...state, growing: false } : state;
}

/** The first `count` lines, the last one's end included where it was written. */
export function firstLines(text: string, count: number): string {
  let end = 0;
  for (let line = 0; line < count; line++) {
    const newline = text.indexOf('\n', end);
    if (newline < 0) return text;
    end = newline + 1;
  }
  return text.slice(0, end);
}

/** Offers have \n; a document may have \r\n. */
function unix(text: string): string {
  return text.replaceAll('\r\n', '\n');
}

function seconds(from: number, to: number): number {
  return (to - from) / 1000;
}
