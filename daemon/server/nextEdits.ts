/** Watches what is changed by hand in the documents of those windows that asked for it, and tells them where
 *  the same could be done next. What is told is read off the text; nothing is stored. */
import { nextEditOffered } from '../../protocol/editor.ts';
import { edited, nextEdit, opened } from '../agent/edit/nextEdit.ts';
import type { Edited } from '../agent/edit/nextEdit.ts';
import type { Clock } from '../clock.ts';
import type { Window } from './window.ts';

/** After so long without a key a change counts as made. */
const PAUSE_MS = 500;
/** Longer documents are not compared at every key. */
const LONGEST = 500_000;

interface Watched {
  edited: Edited;
  cancel: () => void;
}

export class NextEdits {
  readonly #windows = new Map<Window, Map<string, Watched>>();

  constructor(private readonly clock: Clock) {}

  join(window: Window): void {
    this.#windows.set(window, new Map());
  }

  leave(window: Window): void {
    for (const { cancel } of this.#windows.get(window)?.values() ?? []) cancel();
    this.#windows.delete(window);
  }

  left(window: Window, uri: string): void {
    const documents = this.#windows.get(window);
    documents?.get(uri)?.cancel();
    documents?.delete(uri);
  }

  /** A document was opened or changed. */
  changed(window: Window, { uri, version, text }: { uri: string; version: number; text: string }): void {
    const documents = this.#windows.get(window);
    if (documents === undefined) return;
    const known = documents.get(uri);
    known?.cancel();
    if (text.length > LONGEST) return void documents.delete(uri);
    const state = known === undefined ? opened(text) : edited(known.edited, text);
    const cancel = this.clock.after(PAUSE_MS, () => {
      const next = nextEdit(state);
      if (next !== null) window.notify(nextEditOffered, { uri, version, ...next });
    });
    documents.set(uri, { edited: state, cancel });
  }
}
