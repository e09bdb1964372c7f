// The review of one file: what the agent proposed in it and what became of that. Pure; the editor is fileReviews.ts.
//
// Architecture invariant: everything is derived from text. There is a base, the text with nothing of the agent's but what
// was kept, and the text as it is; a hunk is a difference between the two. What the user writes beside the hunks goes into
// both, what they write inside one is part of it. So undo, format on save and changes from outside keep the state true, and
// reverting everything never takes the user's own text.
import { createHash } from 'node:crypto';
import { hunksBetween, linesOf, overlap, touch, type Hunk } from './lines.ts';

/** A proposed hunk of a turn, followed through the text. */
export interface Mark {
  readonly turn: string;
  readonly before: string;
  readonly proposed: string;
  /** Lines of the text, [start, end). */
  readonly start: number;
  readonly end: number;
}

export interface Decision {
  readonly turn: string;
  readonly before: string;
  readonly proposed: string;
  readonly now: string;
  readonly state: 'kept' | 'changed' | 'reverted';
}

/** What a restart needs. */
export interface SavedReview {
  readonly base: string;
  readonly text: string;
  readonly marks: readonly Mark[];
}

interface Known {
  readonly text: readonly string[];
  readonly base: readonly string[];
  readonly marks: readonly Mark[];
}

/** Texts that an undo may come back to. */
const MOST_KNOWN = 100;

export class FileReview {
  #base: readonly string[];
  #text: readonly string[];
  #marks: readonly Mark[];
  readonly #known = new Map<string, Known>();

  constructor(text: string, saved?: SavedReview) {
    this.#base = linesOf(saved?.base ?? text);
    this.#text = linesOf(saved?.text ?? text);
    this.#marks = saved?.marks ?? [];
    this.#remember();
    if (saved !== undefined) this.sync(text);
  }

  get base(): string {
    return this.#base.join('');
  }

  get text(): string {
    return this.#text.join('');
  }

  get marks(): readonly Mark[] {
    return this.#marks;
  }

  /** Before: the base. After: the text. */
  get hunks(): Hunk[] {
    return hunksBetween(this.#base, this.#text);
  }

  save(): SavedReview {
    return { base: this.base, text: this.text, marks: this.#marks };
  }

  /** The agent writes: the text becomes this, the base stays. */
  propose(turn: string, text: string): void {
    const after = linesOf(text);
    const edits = hunksBetween(this.#text, after);
    const marks = edits.map((edit): Mark => ({
      turn,
      before: this.#text.slice(edit.beforeStart, edit.beforeEnd).join(''),
      proposed: after.slice(edit.afterStart, edit.afterEnd).join(''),
      start: edit.afterStart,
      end: edit.afterEnd,
    }));
    this.#marks = [...moved(this.#marks, edits), ...marks];
    this.#text = after;
    this.#remember();
  }

  /** The text is this now: typed, undone, formatted, or changed by another program. */
  sync(text: string): void {
    const after = linesOf(text);
    const edits = hunksBetween(this.#text, after);
    if (edits.length === 0) return;
    const known = this.#known.get(keyOf(text));
    if (known !== undefined) {
      this.#text = known.text;
      this.#base = known.base;
      this.#marks = known.marks;
    } else {
      this.#base = rebased(this.#base, this.hunks, edits, after);
      this.#marks = moved(this.#marks, edits);
      this.#text = after;
    }
    this.#remember();
  }

  /** The hunk is the user's from now on. */
  keep(hunk: Hunk): Decision[] {
    const decisions = this.#decided(hunk).map((mark) => this.#decision(mark, 'kept'));
    const before = this.#base.slice(hunk.beforeStart, hunk.beforeEnd).join('');
    const after = this.#text.slice(hunk.afterStart, hunk.afterEnd).join('');
    // Also in what an undo of something else may come back to.
    for (const [key, known] of this.#known) {
      const same = hunksBetween(known.base, known.text).find((one) => known.base.slice(one.beforeStart, one.beforeEnd).join('') === before && known.text.slice(one.afterStart, one.afterEnd).join('') === after);
      if (same !== undefined) this.#known.set(key, { ...known, base: kept(known.base, known.text, same), marks: known.marks.filter((mark) => !touch(mark.start, mark.end, same.afterStart, same.afterEnd)) });
    }
    this.#base = kept(this.#base, this.#text, hunk);
    this.#marks = this.#marks.filter((mark) => !touch(mark.start, mark.end, hunk.afterStart, hunk.afterEnd));
    this.#remember();
    return decisions;
  }

  /** The base's lines stand there again. @returns what the editor is to write in place of which lines of the text before */
  revert(hunk: Hunk): { readonly start: number; readonly end: number; readonly lines: string; readonly decisions: Decision[] } {
    const lines = this.#base.slice(hunk.beforeStart, hunk.beforeEnd).join('');
    const decisions = this.#decided(hunk).map((mark): Decision => ({ turn: mark.turn, before: mark.before, proposed: mark.proposed, now: lines, state: 'reverted' }));
    this.#marks = moved(this.#marks.filter((mark) => !this.#decided(hunk).includes(mark)), [{ beforeStart: hunk.afterStart, beforeEnd: hunk.afterEnd, afterStart: hunk.afterStart, afterEnd: hunk.afterStart + hunk.beforeEnd - hunk.beforeStart }]);
    this.#text = [...this.#text.slice(0, hunk.afterStart), ...this.#base.slice(hunk.beforeStart, hunk.beforeEnd), ...this.#text.slice(hunk.afterEnd)];
    this.#remember();
    return { start: hunk.afterStart, end: hunk.afterEnd, lines, decisions };
  }

  turnsOf(hunk: Hunk): string[] {
    return [...new Set(this.#decided(hunk).map((mark) => mark.turn))];
  }

  /** Marks whose difference is gone without a button: undone, or written over with what was there. */
  settle(): Decision[] {
    const { hunks } = this;
    const gone = this.#marks.filter((mark) => !hunks.some((hunk) => touch(mark.start, mark.end, hunk.afterStart, hunk.afterEnd)));
    if (gone.length === 0) return [];
    const decisions = gone.map((mark) => this.#decision(mark, 'reverted'));
    this.#marks = this.#marks.filter((mark) => !gone.includes(mark));
    this.#remember();
    return decisions;
  }

  #decided(hunk: Hunk): Mark[] {
    return this.#marks.filter((mark) => touch(mark.start, mark.end, hunk.afterStart, hunk.afterEnd));
  }

  #decision({ turn, before, proposed, start, end }: Mark, wanted: 'kept' | 'reverted'): Decision {
    const now = this.#text.slice(start, end).join('');
    const state = wanted === 'kept' ? (now === proposed ? 'kept' : 'changed') : now === before || now === '' ? 'reverted' : 'changed';
    return { turn, before, proposed, now, state };
  }

  #remember(): void {
    const key = keyOf(this.text);
    this.#known.delete(key);
    this.#known.set(key, { text: this.#text, base: this.#base, marks: this.#marks });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** The base with what the user wrote beside the hunks.
 *  @param hunks  between base and the text before the edits
 *  @param edits  from that text to `after` */
function rebased(base: readonly string[], hunks: readonly Hunk[], edits: readonly Hunk[], after: readonly string[]): string[] {
  const result = [...base];
  // From the last to the first, so that earlier places stay where they are.
  for (const edit of [...edits].reverse()) {
    if (hunks.some((hunk) => overlap(edit.beforeStart, edit.beforeEnd, hunk.afterStart, hunk.afterEnd) || writtenBack(base, hunk, edit, after))) continue;
    const shift = hunks.filter((hunk) => hunk.afterEnd <= edit.beforeStart).reduce((sum, hunk) => sum + (hunk.beforeEnd - hunk.beforeStart) - (hunk.afterEnd - hunk.afterStart), 0);
    result.splice(edit.beforeStart + shift, edit.beforeEnd - edit.beforeStart, ...after.slice(edit.afterStart, edit.afterEnd));
  }
  return result;
}

/** Lines that the agent deleted, typed again where they stood. */
function writtenBack(base: readonly string[], hunk: Hunk, edit: Hunk, after: readonly string[]): boolean {
  const atGap = hunk.afterStart === hunk.afterEnd && edit.beforeStart === edit.beforeEnd && edit.beforeStart === hunk.afterStart;
  return atGap && base.slice(hunk.beforeStart, hunk.beforeEnd).join('') === after.slice(edit.afterStart, edit.afterEnd).join('');
}

function kept(base: readonly string[], text: readonly string[], hunk: Hunk): string[] {
  return [...base.slice(0, hunk.beforeStart), ...text.slice(hunk.afterStart, hunk.afterEnd), ...base.slice(hunk.beforeEnd)];
}

/** Marks after edits of the lines: shifted by what is before them, grown over what reaches into them. */
function moved(marks: readonly Mark[], edits: readonly Hunk[]): Mark[] {
  return marks.map((mark) => {
    let { start, end } = mark;
    for (const edit of [...edits].reverse()) {
      const grown = edit.afterEnd - edit.afterStart - (edit.beforeEnd - edit.beforeStart);
      // What is written where lines were deleted comes after them, in the base too.
      const atGap = start === end && edit.beforeStart === start && edit.beforeEnd === start;
      if (edit.beforeEnd <= start && !atGap) {
        start += grown;
        end += grown;
      } else if (overlap(edit.beforeStart, edit.beforeEnd, start, end)) {
        start = Math.min(start, edit.beforeStart);
        end = Math.max(end, edit.beforeEnd) + grown;
      }
    }
    return { ...mark, start, end };
  });
}

function keyOf(text: string): string {
  return `${text.length} ${createHash('sha1').update(text).digest('base64')}`;
}
