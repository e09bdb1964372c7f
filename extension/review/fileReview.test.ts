// The state of a review against an oracle that knows each line by name: random proposals, typing, keeps, reverts, undos,
// redos, saves that format, changes from outside and restarts, in any order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileReview } from './fileReview.ts';
import { hunksBetween, linesOf } from './lines.ts';

const RUNS = process.env['HINDSIGHT_FULL'] === '1' ? 20_000 : 1500;

/** A line of the base, of the text, or of both. */
interface Item {
  readonly id: number;
  readonly inBase: boolean;
  readonly inText: boolean;
}

/** What the operations imply: base and text as one list of named lines. */
class Oracle {
  items: Item[] = [];
  /** The editor's undo stack: states by their text. */
  private readonly states = new Map<string, Item[]>();
  private readonly undoable: string[] = [];
  private readonly redoable: string[] = [];
  private names = 0;

  constructor(lines: number) {
    for (let at = 0; at < lines; at += 1) this.items.push(this.line(true));
    this.note('user');
  }

  line(inBase: boolean): Item {
    this.names += 1;
    return { id: this.names, inBase, inText: true };
  }

  get text(): string {
    return this.items.filter((one) => one.inText).map((one) => `line ${one.id}\n`).join('');
  }

  get base(): string {
    return this.items.filter((one) => one.inBase).map((one) => `line ${one.id}\n`).join('');
  }

  /** Maximal runs of items that are in one of the two only. */
  runs(): { from: number; to: number }[] {
    const runs: { from: number; to: number }[] = [];
    for (let at = 0; at < this.items.length; at += 1) {
      if (this.same(at)) continue;
      const from = at;
      while (at < this.items.length && !this.same(at)) at += 1;
      runs.push({ from, to: at });
    }
    return runs;
  }

  /** Where the text's line `count` is among the items. */
  private place(count: number): number {
    let seen = 0;
    for (let at = 0; at < this.items.length; at += 1) {
      if (!this.items[at]?.inText) continue;
      if (seen === count) return at;
      seen += 1;
    }
    return this.items.length;
  }

  propose(at: number, remove: number, add: number): void {
    this.items = [...this.items];
    const from = this.place(at);
    let to = this.place(at + remove);
    if (remove === 0) to = from;
    const taken = this.items.slice(from, to).flatMap((one) => (!one.inText ? [one] : one.inBase ? [{ ...one, inText: false }] : []));
    this.items.splice(from, to - from, ...taken, ...Array.from({ length: add }, () => this.line(false)));
    this.note('agent');
  }

  /** The user replaces lines [at, at + remove) of the text. */
  type(at: number, remove: number, add: number): void {
    this.items = [...this.items];
    const first = remove === 0 ? this.gap(at) : this.place(at);
    const behind = remove === 0 ? first : this.place(at + remove - 1) + 1;
    const inside = remove === 0 ? this.isInside(first) : this.items.slice(first, behind).some((one) => !one.inBase || !one.inText);
    const written = Array.from({ length: add }, () => this.line(!inside));
    if (remove === 0) this.items.splice(first, 0, ...written);
    else {
      const rest = inside ? this.items.slice(first, behind).flatMap((one) => (one.inBase ? [{ ...one, inText: false }] : [])) : [];
      this.items.splice(first, behind - first, ...rest, ...written);
    }
    this.note('user');
  }

  /** Before the text's line `at`, and before a run that shows its first line there. */
  private gap(at: number): number {
    const place = this.place(at);
    const run = this.runs().find(({ from, to }) => from <= place && place < to);
    return run !== undefined && !this.items.slice(run.from, place).some((one) => one.inText) ? run.from : place;
  }

  /** Between two of its lines, not at its edges. */
  private isInside(at: number): boolean {
    const run = this.runs().find(({ from, to }) => from < at && at < to);
    if (run === undefined) return false;
    const shown = (items: Item[]): boolean => items.some((one) => one.inText);
    return shown(this.items.slice(run.from, at)) && shown(this.items.slice(at, run.to));
  }

  keep(run: { from: number; to: number }): void {
    const lines = this.items.slice(run.from, run.to);
    const names = new Set(lines.map((one) => one.id));
    const told = (items: readonly Item[]): string => JSON.stringify(items.map((one) => [one.id, one.inBase, one.inText]).sort());
    const settle = (items: Item[]): Item[] => items.flatMap((one) => (!names.has(one.id) ? [one] : one.inText ? [{ ...one, inBase: true }] : []));
    for (const [key, items] of this.states) {
      const other = new Oracle(0);
      other.items = items;
      const same = other.runs().find(({ from, to }) => told(items.slice(from, to)) === told(lines));
      if (same !== undefined) this.states.set(key, settle(items));
    }
    this.items = settle(this.items);
    this.states.set(this.text, this.items);
  }

  revert(run: { from: number; to: number }): void {
    this.items = this.items.flatMap((one, at) => (at < run.from || at >= run.to ? [one] : one.inBase ? [{ ...one, inText: true }] : []));
    this.note('agent');
  }

  forgetUndo(): void {
    this.states.clear();
    this.undoable.length = 0;
    this.note('user');
  }

  undo(): boolean {
    if (this.undoable.length < 2) return false;
    this.redoable.push(this.undoable.pop() ?? '');
    return this.back(this.undoable.at(-1) ?? '');
  }

  redo(): boolean {
    const text = this.redoable.pop();
    if (text === undefined) return false;
    this.undoable.push(text);
    return this.back(text);
  }

  private back(text: string): boolean {
    this.items = this.states.get(text) ?? this.items;
    return true;
  }

  /** A new state; one that was here before is that one again. */
  private note(who: 'user' | 'agent'): void {
    const known = this.states.get(this.text);
    if (known !== undefined && who === 'user') this.items = known;
    else this.states.set(this.text, this.items);
    if (this.undoable.at(-1) !== this.text) this.undoable.push(this.text);
    this.redoable.length = 0;
  }

  private same(at: number): boolean {
    const item = this.items[at];
    return item !== undefined && item.inBase === item.inText;
  }
}

const place = fc.record({ at: fc.nat(30), remove: fc.nat(3), add: fc.nat(3) });
const operation = fc.oneof(
  { weight: 3, arbitrary: place.map((edit) => ({ do: 'propose' as const, ...edit })) },
  { weight: 4, arbitrary: place.map((edit) => ({ do: 'type' as const, ...edit })) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('keep' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('revert' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('redo' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);

describe('a review', () => {
  it(`${RUNS} random histories leave the text, the base and the hunks that the operations imply`, () => {
    fc.assert(
      fc.property(fc.nat(12), fc.array(operation, { maxLength: 40 }), (lines, operations) => {
        const oracle = new Oracle(lines);
        let review = new FileReview(oracle.text);
        for (const one of operations) {
          const count = linesOf(review.text).length;
          if (one.do === 'propose' || one.do === 'type') {
            const at = Math.min(one.at, count);
            const remove = Math.min(one.remove, count - at);
            oracle[one.do](at, remove, one.add);
            if (one.do === 'propose') review.propose('t', oracle.text);
            else review.sync(oracle.text);
          } else if (one.do === 'keep' || one.do === 'revert') {
            const { hunks } = review;
            const runs = oracle.runs();
            expect(hunks.length).toBe(runs.length);
            const [hunk, run] = [hunks[one.which % Math.max(1, hunks.length)], runs[one.which % Math.max(1, runs.length)]];
            if (hunk === undefined || run === undefined) continue;
            oracle[one.do](run);
            if (one.do === 'keep') review.keep(hunk);
            else {
              const now = linesOf(review.text);
              const { start, end, lines: back } = review.revert(hunk);
              // What the editor is told to do gives the same text.
              review.sync([...now.slice(0, start), back, ...now.slice(end)].join(''));
            }
          } else if (one.do === 'restart') {
            // What is saved knows no undo stack; the oracle goes on with none, too.
            oracle.forgetUndo();
            review = new FileReview(review.text, JSON.parse(JSON.stringify(review.save())) as ReturnType<FileReview['save']>);
          } else if (oracle[one.do]()) review.sync(oracle.text);
          expect(review.text).toBe(oracle.text);
          expect(review.base).toBe(oracle.base);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe('what is told of a hunk', () => {
  const text = 'a\nb\nc\nd\ne\n';
  const proposed = 'a\nB\nc\nd\nE\n';
  const reviewed = (): FileReview => {
    const review = new FileReview(text);
    review.propose('t1', proposed);
    return review;
  };
  const first = (review: FileReview): NonNullable<(typeof review.hunks)[0]> => {
    const [hunk] = review.hunks;
    if (hunk === undefined) throw new Error('no hunk');
    return hunk;
  };

  it('kept as it was proposed, kept as the user changed it, or reverted', () => {
    const review = reviewed();
    expect(review.keep(first(review))).toEqual([{ turn: 't1', before: 'b\n', proposed: 'B\n', now: 'B\n', state: 'kept' }]);
    review.sync('a\nB\nc\nd\nE better\n');
    expect(review.keep(first(review))).toEqual([{ turn: 't1', before: 'e\n', proposed: 'E\n', now: 'E better\n', state: 'changed' }]);
    expect([review.hunks, review.marks]).toEqual([[], []]);

    const other = reviewed();
    expect(other.revert(first(other))).toMatchObject({ start: 1, end: 2, lines: 'b\n', decisions: [{ turn: 't1', state: 'reverted', now: 'b\n' }] });
    expect(other.text).toBe('a\nb\nc\nd\nE\n');
  });

  it('undone by hand is reverted once it settled; undone and redone is as it was', () => {
    const review = reviewed();
    review.sync(text);
    review.sync(proposed);
    expect([review.settle(), review.hunks.length, review.marks.length]).toEqual([[], 2, 2]);
    review.sync('a\nb\nc\nd\nE\n');
    expect(review.settle()).toEqual([{ turn: 't1', before: 'b\n', proposed: 'B\n', now: 'b\n', state: 'reverted' }]);
  });

  it('a revert that is undone is a hunk again', () => {
    const review = reviewed();
    review.revert(first(review));
    expect(review.hunks).toHaveLength(1);
    review.sync(proposed);
    expect([review.hunks.length, review.marks.length]).toEqual([2, 2]);
  });

  it('the user’s own lines beside a hunk are not the agent’s, and a formatter changes nothing of that', () => {
    const review = reviewed();
    review.sync('mine\na\nB\nc\nmine too\nd\nE\n');
    expect(review.base).toBe('mine\na\nb\nc\nmine too\nd\ne\n');
    review.sync('mine;\na;\nB\nc;\nmine too;\nd;\nE\n');
    expect(review.hunks.map(({ afterStart, afterEnd }) => [afterStart, afterEnd])).toEqual([[2, 3], [6, 7]]);
    review.revert(first(review));
    expect(review.text).toBe('mine;\na;\nb\nc;\nmine too;\nd;\nE\n');
  });

  it('survives a restart in which another program changed the file', () => {
    const again = new FileReview('x\na\nB\nc\nd\nE\n', reviewed().save());
    expect(again.base).toBe('x\na\nb\nc\nd\ne\n');
    expect(again.keep(first(again))).toMatchObject([{ state: 'kept', turn: 't1' }]);
  });

  it('lines that the agent deleted and the user typed again are back, not there twice', () => {
    const review = new FileReview(text);
    review.propose('t1', 'a\nc\nd\ne\n');
    review.sync('a\nx\nc\nd\ne\n');
    review.sync('a\nc\nd\ne\n');
    expect(review.hunks).toHaveLength(1);
    const typed = new FileReview('a\nb\nc\n');
    typed.propose('t1', 'a\nc\n');
    typed.sync('a\nc\nend\n');
    typed.sync('a\nb\nc\nend\n');
    expect([typed.hunks, typed.base]).toEqual([[], 'a\nb\nc\nend\n']);
    expect(typed.settle()).toMatchObject([{ state: 'reverted' }]);
  });

  it('what is typed where the agent deleted lines stays what was deleted’s mark', () => {
    const review = new FileReview('a\nb\nc\n');
    review.propose('t1', 'a\nc\n');
    review.sync('a\nmine\nc\n');
    expect([review.base, review.hunks.map((hunk) => review.turnsOf(hunk))]).toEqual(['a\nb\nmine\nc\n', [['t1']]]);
    expect(review.keep(first(review))).toMatchObject([{ before: 'b\n', proposed: '', now: '', state: 'kept' }]);
  });

  it('keeping a hunk holds also for what an undo of something else comes back to', () => {
    const review = reviewed();
    review.sync(`${proposed}mine\n`);
    review.keep(first(review));
    review.sync(proposed);
    expect(review.hunks).toHaveLength(1);
  });

  it('two turns in one file are told apart', () => {
    const review = reviewed();
    review.propose('t2', 'new\na\nB\nc\nd\nE\n');
    expect(review.hunks.map((hunk) => review.turnsOf(hunk))).toEqual([['t2'], ['t1'], ['t1']]);
  });
});

describe('hunks', () => {
  it('put together from two texts give the one or the other', () => {
    const lines = fc.array(fc.constantFrom('a\n', 'b\n', 'c\n', '\n', '}\n'), { maxLength: 30 });
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const result = [...before];
        for (const hunk of hunksBetween(before, after).reverse()) result.splice(hunk.beforeStart, hunk.beforeEnd - hunk.beforeStart, ...after.slice(hunk.afterStart, hunk.afterEnd));
        expect(result).toEqual(after);
      }),
    );
  });
  it('lines join to the text they were', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\n', '\r\n', 'é') });
    fc.assert(
      fc.property(text, (each) => {
        expect(linesOf(each).join('')).toBe(each);
      }),
    );
  });
});
