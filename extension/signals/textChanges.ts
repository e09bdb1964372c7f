// An editor's change event as the wire has it. Pure; the shape is VS Code's.
import type { Signal, TextChange } from '../../protocol/signals.ts';

export interface EditorChange {
  readonly rangeOffset: number;
  readonly rangeLength: number;
  readonly text: string;
}

/** One message must stay well under the protocol's limit. */
export const LARGEST_CHANGE = 2 * 1024 * 1024;

/** @returns the changes in an order in which they can be applied one after another: all offsets of an event
 *  count in the document before it, so the last place comes first; null when they are too large to send */
export function textChanges(changes: readonly EditorChange[]): TextChange[] | null {
  if (changes.reduce((sum, each) => sum + each.text.length, 0) > LARGEST_CHANGE) return null;
  return changes
    .map((each) => ({ offset: each.rangeOffset, length: each.rangeLength, text: each.text }))
    .sort((a, b) => b.offset - a.offset);
}

export interface EditorDocument {
  readonly uri: string;
  readonly languageId: string;
  readonly version: number;
}

/** The signals of one change event; none for an event that only marks the document as changed. */
export function changeSignals(at: number, document: EditorDocument, changes: readonly EditorChange[], reason: 'undo' | 'redo' | undefined): Signal[] {
  if (changes.length === 0) return [];
  const { uri, languageId, version } = document;
  const sent = textChanges(changes);
  // What is too large to be told as a change is told as another document in its place: tracking starts anew.
  if (sent === null) return [{ kind: 'document.closed', at, uri }, { kind: 'document.opened', at, uri, languageId, version }];
  return [{ kind: 'document.changed', at, uri, version, changes: sent, ...(reason === undefined ? {} : { reason }) }];
}
