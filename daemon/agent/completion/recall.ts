/**
 * Recall: the developer often writes again what stands somewhere in the workspace. The place whose
 * text before it agrees longest with the text before the cursor says how it went on there (an
 * infinite-context n-gram model, Liu et al. 2024, kept to its one best continuation; prompt lookup,
 * Saxena 2023, without a model to verify it). Which of the model's answer and this one is shown is
 * learned from outcomes, see choice.ts.
 *
 * Lines are compared without their indentation, so that code is recalled into a deeper block too.
 */

export interface Recalled {
  /** To the end of that place's line; never empty. */
  text: string;
  /** Characters before the cursor that agree, indentation aside. */
  match: number;
  /** Share of the places with the same agreement (to `KEY` characters more or less) that go on alike. */
  agreement: number;
  /** It stands in the file that is written. */
  own: boolean;
  /** Where it stands. */
  path: string;
}

interface Source {
  /** As the editor has it; to see that nothing changed. */
  text: string;
  /** Without indentation. */
  plain: string;
}

/** Least agreement: shorter ones are everywhere. */
const KEY = 5;
const MAX_MATCH = 160;
/** Characters of all files that are kept; those seen longest ago leave first. */
const MAX_CHARACTERS = 1_500_000;
/** Characters on each side of the cursor that are searched in the file itself. */
const OWN_REACH = 60_000;
/** Places that are compared at most in one file: a key of blanks and brackets is everywhere. */
const MAX_PLACES = 400;

export class RecallIndex {
  /** By path, the one seen longest ago first. */
  readonly #sources = new Map<string, Source>();
  #characters = 0;

  /** A file as it stands; the one that is written is given to `recall` instead. */
  see(path: string, text: string): void {
    const known = this.#sources.get(path);
    if (known?.text === text) return;
    this.forget(path);
    if (text.length > MAX_CHARACTERS / 4) return;
    this.#sources.set(path, { text, plain: plainLines(text) });
    this.#characters += text.length;
    for (const oldest of this.#sources.keys()) {
      if (this.#characters <= MAX_CHARACTERS) break;
      this.forget(oldest);
    }
  }

  forget(path: string): void {
    this.#characters -= this.#sources.get(path)?.text.length ?? 0;
    this.#sources.delete(path);
  }

  /** @param prefix  text before the cursor, @param suffix after it, both of the file at `path`
   *  @returns null where nothing of the workspace agrees far enough */
  recall(path: string, prefix: string, suffix: string): Recalled | null {
    const before = plainLines(prefix.slice(-OWN_REACH));
    const key = before.slice(-KEY);
    if (key.length < KEY || key.trim() === '') return null;
    const places: Place[] = [];
    collect(before.slice(0, -1), before, key, { own: true, path }, places);
    // The rest of the cursor's line is not what should be written at the cursor.
    const next = suffix.indexOf('\n');
    if (next >= 0) collect(plainLines(suffix.slice(next + 1, OWN_REACH)), before, key, { own: true, path }, places);
    for (const [other, { plain }] of [...this.#sources].reverse()) if (other !== path) collect(plain, before, key, { own: false, path: other }, places);
    return bestOf(places);
  }
}

interface Place {
  text: string;
  match: number;
  own: boolean;
  path: string;
}

/** Places of a text at which `before`'s end stands, nearest to the text's end first. */
function collect(text: string, before: string, key: string, source: Pick<Place, 'own' | 'path'>, places: Place[]): void {
  let at = text.lastIndexOf(key);
  for (let seen = 0; at >= 0 && seen < MAX_PLACES; seen++) {
    const end = at + key.length;
    const line = lineFrom(text, end);
    if (line !== '') {
      let match = key.length;
      while (match < MAX_MATCH && match < end && match < before.length && text[end - match - 1] === before[before.length - match - 1]) match++;
      places.push({ text: line, match, ...source });
    }
    at = at === 0 ? -1 : text.lastIndexOf(key, at - 1);
  }
}

function bestOf(places: readonly Place[]): Recalled | null {
  let best: Place | null = null;
  for (const place of places) if (best === null || place.match > best.match) best = place;
  if (best === null) return null;
  const { match, text, own, path } = best;
  const peers = places.filter((place) => place.match > match - KEY);
  return { text, match, own, path, agreement: peers.filter((place) => place.text === text).length / peers.length };
}

function lineFrom(text: string, at: number): string {
  const end = text.indexOf('\n', at);
  return text.slice(at, end < 0 ? undefined : end).trimEnd();
}

function plainLines(text: string): string {
  return text.replace(/\r/g, '').replace(/^[ \t]+/gm, '');
}
