/**
 * The simulated developer: types the lines of a commit at five characters a second, asks for a
 * completion at each measured line (after its indentation and, where nothing was accepted, again
 * after each of the next two words) and takes what is right (acceptance.ts).
 *
 * Every measured line is reported at the place of its first request, with the text as it stood
 * there, whether it was asked for or came with an earlier suggestion: what is measured is the same
 * for every method.
 */
import type { TextChange } from '../../protocol/signals.ts';
import { wordEnds } from './acceptance.ts';
import { HONEST } from './conduct.ts';
import type { Conduct } from './conduct.ts';
import type { ReplayEditor, Suggestion } from './editor.ts';
import { splitLines } from './lines.ts';
import type { PlannedFile, PlannedHunk, PlannedLine } from './plan.ts';
import { NO_TALLY } from './statistics.ts';
import type { Tally } from './statistics.ts';
import type { VirtualClock } from './virtualClock.ts';

const MS_PER_CHARACTER = 200;
const MS_PER_FILE = 2000;
/** Lines that a response of 32 tokens may reach. */
const LINES_COMPARED = 4;
/** Four seconds of typing. */
const KEYS_PER_BATCH = 20;
/** Longer than the last survival horizon (900 s). */
const MS_AFTER_COMMIT = 901_000;
/** Requests of one line after the one at its start. */
const WORDS = 2;

/** Token ids that the agent's prompt has at a place, and the white space it leaves to the answer. */
export interface PlacePrompt {
  promptIds: readonly number[];
  healed: string;
}

/** A measured line at its first request. */
export interface Place {
  path: string;
  uri: string;
  languageId: string;
  /** The document as it stood, and the cursor in it. */
  text: string;
  offset: number;
  /** What the developer writes from the cursor to the end of the line. */
  rest: string;
  /** Suggestion of this request; null where nothing was shown or the line came with an earlier one. */
  suggestion: Suggestion | null;
  prompt: PlacePrompt;
}

export type Count = Omit<Tally, 'nats' | 'bytes'>;

export interface CommitWork {
  count: Count;
  places: Place[];
}

/** Time passes as the developer works; a wall-clock run has nothing to advance. */
export type Pace = Pick<VirtualClock, 'now' | 'advance'>;

export class Developer {
  readonly #editor: ReplayEditor;
  readonly #clock: Pace;
  readonly #promptAt: (place: Omit<Place, 'prompt'>) => Promise<PlacePrompt>;
  readonly #conduct: Conduct;
  /** Key presses since the daemon last heard of any. */
  #untold = 0;
  #work: CommitWork = { count: { ...NO_TALLY }, places: [] };

  /** @param promptAt  the prompt that a request at a place has */
  constructor(editor: ReplayEditor, clock: Pace, promptAt: (place: Omit<Place, 'prompt'>) => Promise<PlacePrompt>, conduct: Conduct = HONEST) {
    this.#editor = editor;
    this.#clock = clock;
    this.#promptAt = promptAt;
    this.#conduct = conduct;
  }

  /** Types one commit, lets its horizons pass and closes its files. */
  async commit(files: readonly PlannedFile[]): Promise<CommitWork> {
    this.#work = { count: { ...NO_TALLY }, places: [] };
    for (const file of files) await this.#editor.open(this.#editor.uriOf(file.path), file.languageId, file.before);
    for (const file of files) {
      this.#clock.advance(MS_PER_FILE);
      for (const hunk of file.hunks) await this.#hunk(file, hunk);
    }
    await this.#editor.publish();
    this.#clock.advance(MS_AFTER_COMMIT);
    for (const file of files) {
      await this.#editor.save(this.#editor.uriOf(file.path));
      await this.#editor.close(this.#editor.uriOf(file.path));
    }
    await this.#editor.publish();
    return this.#work;
  }

  async #hunk(file: PlannedFile, hunk: PlannedHunk): Promise<void> {
    const uri = this.#editor.uriOf(file.path);
    const lines = splitLines(this.#editor.text(uri));
    const start = lengthOf(lines.slice(0, hunk.line));
    const removed = lengthOf(lines.slice(hunk.line, hunk.line + hunk.removed));
    await this.#change(uri, { offset: start, length: removed, text: '' }, hunk.removed);
    await this.#change(uri, { offset: start, length: 0, text: hunk.added.at(-1)?.end ?? '' }, 1);
    let cursor = start;
    let asked = -Infinity;
    for (let at = 0; at < hunk.added.length; ) {
      const [line, ...following] = hunk.added.slice(at);
      if (!line) break;
      if (line.measured) asked = at;
      cursor = await this.#insert(uri, cursor, (hunk.added[at - 1]?.end ?? '') + line.indent);
      const written = line.measured ? await this.#askAndType(file, cursor, line, following) : { lines: 1, cursor: await this.#typeUnmeasured(uri, cursor, line, at - asked) };
      cursor = written.cursor;
      at += written.lines;
    }
  }

  /** One measured line, and those that came with its suggestion. @returns how many, and the cursor after them */
  async #askAndType(file: PlannedFile, start: number, line: PlannedLine, following: readonly PlannedLine[]): Promise<{ lines: number; cursor: number }> {
    const uri = this.#editor.uriOf(file.path);
    const contents = following.map((next) => next.indent + next.body);
    let cursor = start;
    this.#work.count.lines += 1;
    this.#work.count.chars += line.body.length;
    for (const asked of [0, ...wordEnds(line.body, WORDS)]) {
      cursor = await this.#type(uri, cursor, line.body.slice(cursor - start, asked));
      const suggestion = await this.#editor.suggest(uri, cursor);
      if (asked === 0) await this.#place(file, cursor, line, suggestion);
      if (!suggestion) continue;
      this.#work.count.shown += 1;
      const accepted = this.#conduct.answer(suggestion.text, line.body.slice(asked), contents);
      if (!accepted) continue;
      if ('instead' in accepted) return { lines: 1, cursor: await this.#type(uri, cursor, accepted.instead) };
      if ('wrongLine' in accepted) return { lines: 1, cursor: await this.#takeWrong(uri, cursor, suggestion, accepted.wrongLine) };
      const inFirst = Math.min(accepted.taken, line.body.length - asked);
      const complete = asked + inFirst === line.body.length;
      this.#work.count.accepted += 1;
      this.#work.count.acceptedChars += inFirst;
      if (asked === 0 && complete) this.#work.count.exactLines += 1;
      cursor = await this.#accept(file, cursor, line.body.slice(asked, asked + inFirst), line, following.slice(0, accepted.moreLines));
      if (accepted.whole) this.#editor.signal({ kind: 'suggestion.accepted', at: this.#clock.now(), turn: suggestion.turn });
      if (complete) return { lines: 1 + accepted.moreLines, cursor };
      break;
    }
    return { lines: 1, cursor: await this.#type(uri, cursor, line.body.slice(cursor - start) + this.#conduct.comment(file.languageId)) };
  }

  /** A suggestion that is not what the commit has: it saves nothing. */
  async #takeWrong(uri: string, cursor: number, suggestion: Suggestion, text: string): Promise<number> {
    this.#work.count.accepted += 1;
    const end = await this.#insert(uri, cursor, text);
    if (text === suggestion.text) this.#editor.signal({ kind: 'suggestion.accepted', at: this.#clock.now(), turn: suggestion.turn });
    return end;
  }

  /** Puts in the accepted text at one key press. The editor writes line ends as the file has them. */
  async #accept(file: PlannedFile, cursor: number, inFirst: string, line: PlannedLine, more: readonly PlannedLine[]): Promise<number> {
    const uri = this.#editor.uriOf(file.path);
    const before = this.#editor.text(uri);
    let text = inFirst;
    let end = line.end;
    for (const next of more) {
      text += end + next.indent;
      if (next.measured) {
        await this.#place(file, cursor + text.length, next, null, before.slice(0, cursor) + text + before.slice(cursor));
        this.#work.count.lines += 1;
        this.#work.count.chars += next.body.length;
        this.#work.count.acceptedChars += next.body.length;
        this.#work.count.exactLines += 1;
      }
      text += next.body;
      end = next.end;
    }
    return this.#insert(uri, cursor, text);
  }

  async #place(file: PlannedFile, offset: number, line: PlannedLine, suggestion: Suggestion | null, text?: string): Promise<void> {
    const uri = this.#editor.uriOf(file.path);
    const place = { path: file.path, uri, languageId: file.languageId, text: text ?? this.#editor.text(uri), offset, rest: line.body, suggestion };
    this.#work.places.push({ ...place, prompt: await this.#promptAt(place) });
  }

  /** Key by key, and told to the daemon as it goes: what is put in at once looks like an acceptance,
   *  and what is told late like a pause. @returns the cursor after the text */
  async #type(uri: string, cursor: number, text: string): Promise<number> {
    let at = cursor;
    for (const character of text) {
      await this.#insert(uri, at, character);
      at += character.length;
    }
    return at;
  }

  /** The next lines are still compared with what was offered; further ones are put in whole, at the
   *  time that typing them takes. @param since  lines after the last measured one */
  async #typeUnmeasured(uri: string, cursor: number, line: PlannedLine, since: number): Promise<number> {
    if (since <= LINES_COMPARED) return this.#type(uri, cursor, line.body);
    await this.#change(uri, { offset: cursor, length: 0, text: line.body }, line.body.length);
    return cursor + line.body.length;
  }

  /** At one key press: Enter with its indentation, or Tab. @returns the cursor after the text */
  async #insert(uri: string, cursor: number, text: string): Promise<number> {
    await this.#change(uri, { offset: cursor, length: 0, text }, 1);
    return cursor + text.length;
  }

  async #change(uri: string, change: TextChange, keys: number): Promise<void> {
    if (change.length === 0 && change.text === '') return;
    this.#clock.advance(keys * MS_PER_CHARACTER);
    await this.#editor.change(uri, change);
    this.#untold += keys;
    if (this.#untold < KEYS_PER_BATCH) return;
    this.#untold = 0;
    await this.#editor.publish();
  }
}

function lengthOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + line.length, 0);
}
