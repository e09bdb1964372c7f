/**
 * The journal as a stream: would another setting have served me better? Every place at which the
 * agent was asked and the developer's text is known is typed again, block by block in the order of
 * time, under other settings. The journal does not keep whole documents: a place is the window that
 * its turn kept (eight lines before the cursor, four after), as it stood when the agent was asked, so
 * nothing that was written later is in it.
 */
import { basename } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { languageOf } from './fileRules.ts';
import { addsLines } from './stream.ts';
import type { ChangedFile, Stream, StreamCommit } from './stream.ts';

/** @param workspace  null = the one with the most turns
 *  @throws repositoryUnusable where there is too little to replay */
export function streamOfJournal(journal: Pick<Journal, 'turnsOf' | 'nextState'>, home: string, workspace: string | null = null): Stream {
  const turns = journal.turnsOf({ role: 'main', open: false }).filter(({ modality }) => modality === 'completion');
  const chosen = workspace ?? mostFrequent(turns.map((turn) => turn.workspace));
  const blocks = new Map<string, ChangedFile[]>();
  let last: { turn: Turn; written: string } | null = null;
  for (const turn of turns.filter((one) => one.workspace === chosen).toReversed()) {
    const written = writtenAt(journal.nextState(turn.id));
    const path = pathOf(turn);
    if (written === null || languageOf(path) === null || (last && samePlace(last, turn))) continue;
    last = { turn, written };
    const files = blocks.get(turn.block) ?? [];
    files.push(placeOf(turn, written, path, files));
    blocks.set(turn.block, files);
  }
  const commits = [...blocks].map(([commit, files]): StreamCommit => ({ commit, files })).filter(addsLines);
  if (chosen === null || commits.length < 2) throw new HindsightError('repositoryUnusable', { path: home, problem: 'its journal has fewer than two stretches of work in which the agent was asked and the text is known' });
  return { name: basename(chosen), origin: 'journal', commits };
}

/** null where it is unknown, or nothing was written. */
function writtenAt(next: NextState | null): string | null {
  if (next === null || next.outcome === 'abandoned' || next.outcome === 'superseded') return null;
  return next.developerText?.trim() ? next.developerText : null;
}

/** Asked again further on in a line that is already told as a whole. */
function samePlace({ turn: last, written }: { turn: Turn; written: string }, turn: Turn): boolean {
  if (last.uri !== turn.uri || last.block !== turn.block) return false;
  const [lastAbove, above] = [linesAbove(last), linesAbove(turn)];
  return lastAbove.text === above.text && `${lastAbove.partial}${written.split('\n')[0] ?? ''}`.startsWith(above.partial);
}

function linesAbove({ before }: Turn): { text: string; partial: string } {
  const end = before.lastIndexOf('\n') + 1;
  return { text: before.slice(0, end), partial: before.slice(end) };
}

/** The window before, and the developer's lines in it. A file of a commit has one name; a second window of it gets a folder of its own. */
function placeOf(turn: Turn, written: string, path: string, files: readonly ChangedFile[]): ChangedFile {
  const above = turn.before.split('\n');
  const below = turn.after.split('\n');
  const [partial, rest] = [above.pop() ?? '', below.shift() ?? ''];
  const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('');
  const added = `${partial}${written.replace(/\n$/, '')}${written.endsWith('\n') ? '' : rest}`.split('\n').map((line) => `${line}\n`);
  const taken = files.filter((file) => file.path === path || file.path.endsWith(`/${path}`)).length;
  return { path: taken === 0 ? path : `${taken + 1}/${path}`, base: lines(above) + lines(below), hunks: [{ line: above.length, removed: 0, added }] };
}

function pathOf({ uri, workspace }: Turn): string {
  return decodeURIComponent(uri.startsWith(`${workspace}/`) ? uri.slice(workspace.length + 1) : basename(uri));
}

function mostFrequent(values: readonly string[]): string | null {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
