/**
 * Signals as they may be stored. A pasted secret is masked in its signal; one that is typed is no
 * secret until its last characters are there, so what was typed in one run is read as a whole, with
 * the line around it: once a run holds a secret, it is masked from there on, and what of it is on disk
 * already is named to be taken back.
 */
import { capped } from '../agent/terminal/headTail.ts';
import { plainText } from '../agent/terminal/plainText.ts';
import type { Signal, SignalOf, TextChange } from '../../protocol/signals.ts';
import { mask, scrubAll, secretsIn } from './secrets.ts';
import type { Range } from './secrets.ts';

/** Part of a secret that was stored before it was known to be one. */
export interface Retraction {
  uri: string;
  /** Signals [from, to) of the session, those of this document. */
  from: number;
  to: number;
  /** When its first character was typed, milliseconds since the Unix epoch. */
  since: number;
}

export interface Scrubbed {
  signals: Signal[];
  retractions: Retraction[];
}

/** Text of a run that one change inserted. */
interface Piece {
  seq: number;
  at: number;
  length: number;
  /** The change itself, as it goes to the journal; absent once that has it. */
  change?: TextChange;
  /** Masked or taken back already: it is read again only as the context of what follows. */
  done?: true;
}

/** What was typed in one stretch, without a jump of the cursor. */
interface Run {
  /** UTF-16 offset in the document. */
  start: number;
  text: string;
  pieces: Piece[];
  /** The line before it. */
  lead: string;
}

/** UTF-16 units of a terminal's output, from its beginning and its end. */
const KEPT_OUTPUT = { head: 2000, tail: 6000 };
const LONGEST_RUN = 8192;
const LONGEST_LEAD = 256;

/** Of one session, in the order of its signals. */
export class SignalScrubber {
  readonly #runs = new Map<string, Run>();

  /** @param textOf a document as the editor has it now, maybe ahead of the signals */
  constructor(private readonly textOf: (uri: string) => string | undefined) {}

  /** @param first number of the first signal */
  async scrub(first: number, signals: readonly Signal[]): Promise<Scrubbed> {
    const retractions: Retraction[] = [];
    const out: Signal[] = [];
    const written = new Set<string>();
    for (const [index, signal] of signals.entries()) {
      if (signal.kind !== 'document.changed') {
        if (signal.kind === 'document.closed') this.#runs.delete(signal.uri);
        out.push(brief(await scrubAll(plain(signal))));
        continue;
      }
      const changes = signal.changes.map((change) => ({ ...change }));
      out.push({ ...signal, changes });
      for (const change of changes) {
        // A run that ends here is read before the next one takes its place.
        if (!this.#follow(signal, first + index, change)) {
          retractions.push(...(await this.#read(signal.uri, first)));
          this.#begin(signal, first + index, change);
        }
        written.add(signal.uri);
      }
    }
    for (const uri of written) retractions.push(...(await this.#read(uri, first)));
    return { signals: out, retractions };
  }

  /** @returns whether the change goes on with the document's run */
  #follow({ uri, at }: SignalOf<'document.changed'>, seq: number, change: TextChange): boolean {
    const run = this.#runs.get(uri);
    if (run === undefined || run.text.length > LONGEST_RUN) return false;
    const end = run.start + run.text.length;
    if (change.length === 0 && change.offset === end) {
      run.text += change.text;
      run.pieces.push({ seq, at, length: change.text.length, change });
      return true;
    }
    const taken = change.length;
    if (change.text !== '' || change.offset + taken !== end || taken > run.text.length) return false;
    run.text = run.text.slice(0, -taken);
    for (let left = taken; left > 0; ) {
      const last = run.pieces.at(-1);
      if (last === undefined) break;
      // What stays of a piece that lost its end is the journal's already, or is masked with the rest.
      const cut = Math.min(left, last.length);
      last.length -= cut;
      left -= cut;
      if (last.length === 0) run.pieces.pop();
    }
    return true;
  }

  #begin({ uri, at }: SignalOf<'document.changed'>, seq: number, change: TextChange): void {
    const document = this.textOf(uri) ?? '';
    const line = document.lastIndexOf('\n', change.offset - 1) + 1;
    const lead = document.slice(Math.max(line, change.offset - LONGEST_LEAD), change.offset);
    this.#runs.set(uri, { start: change.offset, text: change.text, lead, pieces: [{ seq, at, length: change.text.length, change }] });
  }

  /** Masks what is new of a run, and names what is not. */
  async #read(uri: string, first: number): Promise<Retraction[]> {
    const run = this.#runs.get(uri);
    if (run === undefined) return [];
    const found = await this.#secretsOf(uri, run);
    const retractions: Retraction[] = [];
    let at = 0;
    for (const piece of run.pieces) {
      const ranges = within(found, at, at + piece.length);
      at += piece.length;
      if (ranges.length > 0 && !piece.done) {
        piece.done = true;
        if (piece.change) piece.change.text = mask(piece.change.text, ranges);
        else retractions.push({ uri, from: piece.seq, to: first, since: piece.at });
      }
      delete piece.change;
    }
    const [earliest] = retractions;
    return earliest === undefined ? [] : [earliest];
  }

  async #secretsOf(uri: string, run: Run): Promise<Range[]> {
    const document = this.textOf(uri) ?? '';
    const end = run.start + run.text.length;
    // Brackets and quotes that the editor closed stand behind the cursor.
    const behind = document.slice(run.start, end) === run.text ? (/^[^\r\n]*/.exec(document.slice(end, end + LONGEST_LEAD))?.[0] ?? '') : '';
    const found = await secretsIn(run.lead + run.text + behind);
    return within(found, run.lead.length, run.lead.length + run.text.length);
  }
}

/** As a person would have read it: a secret between colours is one still. */
function plain(signal: Signal): Signal {
  if (signal.kind === 'terminal.ran') return { ...signal, output: plainText(signal.output) };
  return signal.kind === 'cell.ran' && signal.error !== null ? { ...signal, error: plainText(signal.error) } : signal;
}

/** After it was read as a whole, no more than its ends is kept of an output. */
function brief(signal: Signal): Signal {
  return signal.kind === 'terminal.ran' ? { ...signal, output: capped(signal.output, KEPT_OUTPUT).text } : signal;
}

/** The parts of ranges in [from, to), counted from `from`. */
function within(ranges: readonly Range[], from: number, to: number): Range[] {
  return ranges.flatMap((range) => {
    const part = { from: Math.max(range.from, from) - from, to: Math.min(range.to, to) - from };
    return part.to > part.from ? [part] : [];
  });
}
