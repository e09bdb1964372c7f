/** The monitor's state in the journal, one per workspace. Written in the transaction of what it hears of. */
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { keptOf, observeKept, UNWATCHED, unwatch, watchVersion } from './monitor.ts';
import type { Alarm, MonitorState } from './monitor.ts';

type State = Pick<Journal, 'get' | 'set'>;

export function readMonitor(journal: Pick<Journal, 'get'>, workspace: string): MonitorState {
  return (journal.get(key(workspace)) as MonitorState | undefined) ?? UNWATCHED;
}

/** @returns what to do where what serves does worse; said again with every outcome until it is done */
export function observeOutcome(journal: State, turn: Turn, next: NextState): Alarm | null {
  const kept = turn.role === 'main' && turn.shownText !== '' ? keptOf(turn.shownText, next) : null;
  if (kept === null) return null;
  const { state, alarm } = observeKept(readMonitor(journal, turn.workspace), turn.adapter, kept);
  journal.set(key(turn.workspace), state);
  return alarm;
}

export function watchPromotion(journal: State, workspace: string, version: number, before: number | null): void {
  journal.set(key(workspace), watchVersion(readMonitor(journal, workspace), version, before));
}

export function stopWatching(journal: State, workspace: string): void {
  journal.set(key(workspace), unwatch(readMonitor(journal, workspace)));
}

function key(workspace: string): string {
  return `monitor/${workspace}`;
}
