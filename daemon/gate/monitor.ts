/**
 * After a promotion: do people keep less of what the new version offers? A sequential test that may be
 * looked at after every single outcome without spending its error (a test martingale by betting,
 * Waudby-Smith & Ramdas 2023): under "at least as much is kept as before" the wealth of one who bets
 * against it is a supermartingale, and reaches 1/ALPHA with probability ALPHA at most (Ville).
 *
 * Versions come faster than outcomes: what is watched is all that was promoted since the last version
 * that proved itself, and that version is what a drop falls back to.
 */
import type { NextState } from '../journal/records.ts';

/** Chance of a false alarm per watch. */
const ALPHA = 0.05;
/** Outcomes before a promotion that say what is usual; under LEAST of them nothing is watched. */
const USUAL = 200;
const LEAST = 30;
/** Outcomes without an alarm after which what serves has proved itself. */
const PROVES = 100;
/** Share of the stake that may be lost at once, at most. */
const BOLDNESS = 0.7;

export interface Watch {
  /** What a drop falls back to; null = the base model. */
  proven: number | null;
  /** Newest watched version. */
  newest: number;
  /** What is usual, lower one-sided 90 % bound of the mean kept share. */
  usual: number;
  /** Wealth of the bet, and the largest it ever was. */
  wealth: number;
  peak: number;
  outcomes: number;
  kept: number;
}

export interface MonitorState {
  /** Kept shares of the latest outcomes, oldest first. */
  recent: number[];
  watch: Watch | null;
}

export const UNWATCHED: MonitorState = { recent: [], watch: null };

/** Share of an offer that was kept: how much was accepted, times how much of that is still there.
 *  @returns null where nothing is known */
export function keptOf(shown: string, next: Pick<NextState, 'outcome' | 'acceptedChars' | 'survival'>): number | null {
  const survival = next.survival.findLast(([, similarity]) => similarity !== null)?.[1] ?? null;
  switch (next.outcome) {
    case 'accepted':
      return survival ?? 1;
    case 'partial':
      return shown === '' ? null : Math.min(1, next.acceptedChars / shown.length) * (survival ?? 1);
    case 'typedThrough':
      return 1;
    case 'diverged':
      return 0;
    default:
      return null;
  }
}

/** A version was promoted over `before`. */
export function watchVersion(state: MonitorState, version: number, before: number | null): MonitorState {
  if (state.watch !== null) return { ...state, watch: { ...state.watch, newest: version } };
  if (state.recent.length < LEAST) return state;
  const n = state.recent.length;
  const mean = state.recent.reduce((sum, value) => sum + value, 0) / n;
  const variance = state.recent.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  // All or nothing so far says less than it seems to: nothing is ever certain.
  const usual = Math.min(0.95, mean - 1.2816 * Math.sqrt(variance / n));
  return { ...state, watch: { proven: before, newest: version, usual, wealth: 1, peak: 1, outcomes: 0, kept: 0 } };
}

export interface Alarm {
  to: number | null;
  /** One sentence a person can read. */
  reason: string;
}

/** An outcome of what serves. An alarm is raised again with every further one, until somebody acts on
 *  it and calls `unwatch`: a crash in between loses nothing. @param kept  [0, 1] */
export function observeKept(state: MonitorState, version: number | null, kept: number): { state: MonitorState; alarm: Alarm | null } {
  const recent = [...state.recent, kept].slice(-USUAL);
  const { watch } = state;
  // An answer from before the promotion closed late: it says what is usual, not what is new.
  if (watch === null || version === null || version <= (watch.proven ?? 0)) return { state: { recent, watch }, alarm: null };
  if (watch.usual <= 0) return { state: { recent, watch: null }, alarm: null };
  // 1 + λ(m - x) with λ = BOLDNESS / (1 - m): never negative, and of mean at most 1 where at least m is kept.
  const wealth = watch.wealth * (1 + (BOLDNESS * (watch.usual - kept)) / (1 - watch.usual));
  const next: Watch = { ...watch, wealth, peak: Math.max(watch.peak, wealth), outcomes: watch.outcomes + 1, kept: watch.kept + kept };
  if (next.peak >= 1 / ALPHA) return { state: { recent: state.recent, watch: next }, alarm: { to: watch.proven, reason: sentence(next) } };
  return { state: { recent, watch: next.outcomes >= PROVES ? null : next }, alarm: null };
}

/** Somebody rolled back or chose a version by hand: there is nothing to watch any more. */
export function unwatch(state: MonitorState): MonitorState {
  return { ...state, watch: null };
}

function sentence({ kept, outcomes, usual }: Watch): string {
  return `Less was kept of what it suggested: ${percent(kept / outcomes)} over ${outcomes} outcomes, where at least ${percent(usual)} is usual.`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
