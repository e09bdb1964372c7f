/**
 * What was forgotten stays forgotten: a window that was away may still hold signals of it on its
 * disk, and sends them when it is back. What is older than the wish is not taken. The wishes are kept
 * as hashes, because a name is something that was to be forgotten, too.
 */
import { createHash } from 'node:crypto';
import type { ForgetScope } from '../journal/forget.ts';
import type { Journal } from '../journal/journal.ts';

/** [hash of a file's or a folder's URI, or of a session; '' = the whole workspace, milliseconds since the Unix epoch] */
type Wish = readonly [place: string, before: number];
export type Wishes = readonly Wish[];

/** Wishes that are kept for each workspace; what windows still hold is not older than these. */
const KEPT = 200;
const ALL = 'forgotten';

export function wishesOf(journal: Pick<Journal, 'get'>, workspace: string): Wishes {
  return [...read(journal, ALL), ...read(journal, keyOf(workspace))];
}

/** @param workspace  null = all of them
 *  @param uri  of a file or a folder, or a session's place; null = the whole workspace */
export function rememberWish(journal: Pick<Journal, 'get' | 'set'>, workspace: string | null, uri: string | null, before: number): void {
  const key = workspace === null ? ALL : keyOf(workspace);
  const place = uri === null ? '' : hash(uri);
  const others = place === '' ? [] : read(journal, key).filter((wish) => wish[0] !== place);
  journal.set(key, [...others, [place, before]].slice(-KEPT));
}

/** [workspace, place] of what a wish is about. A file or folder is meant in the workspaces that it is in; what is in none of them is in none of their signals. */
export function wishes({ session, uri, folder, workspace, everything }: ForgetScope, workspaces: readonly string[]): [workspace: string | null, place: string | null][] {
  if (everything) return [[null, null]];
  if (workspace !== undefined) return [[workspace, null]];
  if (session !== undefined) return [[null, sessionPlace(session)]];
  const place = uri ?? folder;
  return place === undefined ? [] : workspaces.filter((one) => place === one || place.startsWith(`${one}/`)).map((one) => [one, place]);
}

/** @param uri  null: of no file; such a signal goes with the whole workspace only */
export function isForgotten(wishes: Wishes, session: string, uri: string | null, at: number): boolean {
  const open = wishes.filter(([, before]) => at < before);
  if (open.length === 0) return false;
  const places = new Set(['', hash(sessionPlace(session)), ...(uri === null ? [] : placesAround(uri).map(hash))]);
  return open.some(([place]) => places.has(place));
}

/** A file's URI and those of the folders that it is in, without a slash at their end. */
function placesAround(uri: string): string[] {
  const parts = uri.split('/');
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}

function read(journal: Pick<Journal, 'get'>, key: string): Wishes {
  return (journal.get(key) as Wishes | undefined) ?? [];
}

const sessionPlace = (session: string): string => `session ${session}`;
const keyOf = (workspace: string): string => `${ALL}/${hash(workspace)}`;
const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
