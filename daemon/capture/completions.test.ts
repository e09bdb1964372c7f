import { describe, expect, it } from 'vitest';
import type { NextState, Turn } from '../journal/records.ts';
import type { Signal, TextChange } from '../../protocol/signals.ts';
import { CompletionTracker } from './completions.ts';

const URI = 'file:///p/a.ts';
const START = 1_790_000_000_000;

/** A developer at an editor: what is typed becomes signals, one after another. */
class Desk {
  readonly closed: NextState[] = [];
  tracker = new CompletionTracker();
  text: string;
  cursor: number;
  version = 1;
  now = START;
  #turns = 0;

  constructor(marked: string, readonly uri = URI) {
    this.cursor = marked.indexOf('|');
    this.text = marked.replace('|', '');
  }

  offer(shownText: string, more: Partial<Turn> = {}): string {
    const id = `t${++this.#turns}`;
    const turn: Turn = {
      id, session: 's', workspace: 'file:///p', modality: 'completion', role: 'main', split: 'train', block: 'b', offeredAt: this.now, uri: this.uri, languageId: 'typescript',
      version: this.version, offset: this.cursor, promptIds: [1], promptMode: 'prefix', responseIds: [1], logprobs: [-1], rawText: `${shownText}\n`, offsets: [0, shownText.length + 1],
      shownText, finishReason: 'stop', sampling: { maxTokens: 8, temperature: 0 }, adapter: null, fingerprint: 'f', before: '', after: '', ...more,
    };
    this.closed.push(...this.tracker.offer(turn));
    return id;
  }

  signal(signal: Signal): this {
    this.closed.push(...this.tracker.signal(signal));
    return this;
  }

  change(changes: TextChange[], told: { reason?: 'undo' | 'redo'; commanded?: true } = {}): this {
    for (const change of changes) this.text = this.text.slice(0, change.offset) + change.text + this.text.slice(change.offset + change.length);
    this.version++;
    return this.signal({ kind: 'document.changed', at: this.now, uri: this.uri, version: this.version, changes, ...told });
  }

  /** One change at the cursor. */
  insert(text: string, told: { commanded?: true } = {}): this {
    const offset = this.cursor;
    this.cursor += text.length;
    return this.change([{ offset, length: 0, text }], told);
  }

  type(text: string): this {
    for (const character of text) this.wait(0.2).insert(character);
    return this;
  }

  accept(turn: string, text: string): this {
    return this.insert(text).signal({ kind: 'suggestion.accepted', at: this.now, turn });
  }

  backspace(count = 1): this {
    this.cursor -= count;
    return this.change([{ offset: this.cursor, length: count, text: '' }]);
  }

  wait(seconds: number): this {
    this.now += seconds * 1000;
    return this;
  }

  pause(seconds: number): this {
    this.wait(seconds).closed.push(...this.tracker.quiet(this.now));
    return this;
  }

  outcomes(): unknown[] {
    return this.closed.map((next) => [next.turn, next.outcome, next.developerText]);
  }
}

const survivalOf = (desk: Desk): unknown => desk.closed.map((next) => [next.outcome, next.survival]);

describe('accepted', () => {
  it('in full with Tab: decided after 30 s, with marks at 5 and 30 s', () => {
    const desk = new Desk('const a = |;\n');
    const turn = desk.offer('b + c');
    desk.accept(turn, 'b + c').pause(29);
    expect(desk.closed).toEqual([]);
    desk.pause(1);
    expect(desk.closed).toEqual([
      { turn, outcome: 'accepted', acceptedChars: 5, developerText: 'b + c', survival: [[5, 1], [30, 1]], decidedAt: START + 30_000 },
    ]);
  });

  it('is inferred where the accept command never comes', () => {
    const desk = new Desk('|');
    desk.offer('return total;');
    desk.insert('return total;').pause(31);
    expect(survivalOf(desk)).toEqual([['accepted', [[5, 1], [30, 1]]]]);
  });

  it('after its first characters were typed', () => {
    const desk = new Desk('|');
    const turn = desk.offer('return total;');
    desk.type('re').accept(turn, 'turn total;').pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'accepted', acceptedChars: 13, developerText: 'return total;' }]);
  });

  it('is believed on the command\'s word even if the editor wrote it differently', () => {
    const desk = new Desk('|');
    const turn = desk.offer('if (x) {\n  y();\n}');
    desk.accept(turn, 'if (x) {\n      y();\n    }').pause(40);
    expect(survivalOf(desk)).toEqual([['accepted', [[5, 1], [30, 1]]]]);
  });

  it('and changed afterwards survives in part', () => {
    const desk = new Desk('|');
    const turn = desk.offer('return items.length;');
    desk.accept(turn, 'return items.length;').wait(10);
    desk.change([{ offset: 'return items.'.length, length: 'length'.length, text: 'size' }]).pause(40);
    const [five, thirty] = desk.closed[0]?.survival ?? [];
    expect(five).toEqual([5, 1]);
    expect(thirty?.[1]).toBeGreaterThan(0.3);
    expect(thirty?.[1]).toBeLessThan(0.8);
    expect(desk.closed[0]?.developerText).toBe('return items.size;');
  });

  it('and undone does not survive; what was written instead is known', () => {
    const desk = new Desk('x|\n');
    const turn = desk.offer(' = 1;');
    desk.accept(turn, ' = 1;').wait(2);
    desk.cursor = 1;
    desk.change([{ offset: 1, length: 5, text: '' }], { reason: 'undo' }).type(' += 2;').pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'accepted', developerText: ' += 2;', survival: [[5, 0], [30, 0]] }]);
  });

  it('undone and redone survives', () => {
    const desk = new Desk('x|\n');
    const turn = desk.offer(' = 1;');
    desk.accept(turn, ' = 1;').wait(6);
    desk.change([{ offset: 1, length: 5, text: '' }], { reason: 'undo' }).change([{ offset: 1, length: 0, text: ' = 1;' }], { reason: 'redo' }).pause(40);
    expect(survivalOf(desk)).toEqual([['accepted', [[5, 1], [30, 1]]]]);
  });

  it('survives a formatter on save, edits before it and typing after it', () => {
    const desk = new Desk('import a;\n  |\n}\n');
    const turn = desk.offer('call(a,b);');
    desk.accept(turn, 'call(a,b);').wait(1);
    desk.change([{ offset: 0, length: 0, text: 'import b;\n' }]);
    const whole = desk.text;
    desk.change([{ offset: 0, length: whole.length, text: whole.replace('  call(a,b);', '    call(a, b);') }]);
    desk.signal({ kind: 'document.saved', at: desk.now, uri: URI, version: desk.version });
    desk.change([{ offset: desk.text.indexOf('\n}'), length: 0, text: '\n    more();' }]).pause(40);
    expect(desk.closed[0]?.survival[1]?.[1]).toBeGreaterThan(0.5);
    expect(desk.closed[0]?.developerText).toBe('call(a, b);');
  });

  it('has unknown survival, never 0, after a branch switch or a rewrite of the file', () => {
    const switched = new Desk('|');
    switched.accept(switched.offer('return 1;'), 'return 1;').wait(8).signal({ kind: 'branch.switched', at: switched.now, workspace: 'file:///p' });
    expect(survivalOf(switched)).toEqual([['accepted', [[5, 1], [8, null]]]]);
    const rewritten = new Desk('a\n|\nb\n');
    rewritten.accept(rewritten.offer('return 1;'), 'return 1;').wait(1);
    rewritten.change([{ offset: 0, length: rewritten.text.length, text: 'the file of another tool' }]).pause(40);
    expect(survivalOf(rewritten)).toEqual([['accepted', [[5, null], [30, null]]]]);
  });

  it('with emoji and in a file with CRLF', () => {
    const desk = new Desk('a\r\n|\r\n');
    const turn = desk.offer('log("🙂");\nnext();');
    desk.accept(turn, 'log("🙂");\r\nnext();').insert('\r\n').type('x').pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'accepted', acceptedChars: 18, developerText: 'log("🙂");\r\nnext();\r\n', survival: [[5, 1], [30, 1]] }]);
  });

  it('is marked by its age when the session ends first', () => {
    const desk = new Desk('|');
    desk.accept(desk.offer('return 1;'), 'return 1;').wait(7).signal({ kind: 'session.ended', at: desk.now });
    expect(survivalOf(desk)).toEqual([['accepted', [[5, 1], [7, 1]]]]);
  });
});

describe('partial', () => {
  it('word by word, then something else', () => {
    const desk = new Desk('|\n');
    desk.offer('const total = sum(items);');
    desk.insert('const').insert(' total').type(' = 0;').type('\n').pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'partial', acceptedChars: 11, developerText: 'const total = 0;\n', survival: [[5, 1], [30, 1]] }]);
  });

  it('by words of one letter, which only the command tells from typing', () => {
    const run = (told: { commanded?: true }): unknown => {
      const desk = new Desk('f|\n');
      desk.offer('(x, y);');
      // The editor has asked anew before its signals arrive.
      desk.offer('x, y);', { version: 2, offset: 2 });
      desk.wait(1).insert('(', told).type('z').pause(40);
      return desk.closed.map(({ turn, outcome, acceptedChars, developerText }) => [turn, outcome, acceptedChars, developerText]);
    };
    expect(run({ commanded: true })).toEqual([['t1', 'partial', 1, '(z'], ['t2', 'diverged', 0, 'z']]);
    expect(run({})).toEqual([['t1', 'superseded', 0, null], ['t2', 'diverged', 0, 'z']]);
  });

  it('of white space between two words, and not of what a command writes beside the offer', () => {
    const desk = new Desk('x|\n');
    desk.offer(' = 1;');
    desk.insert(' ', { commanded: true }).type('+= 2;\n').pause(40);
    desk.cursor = 0;
    desk.offer('abc');
    desk.insert('d', { commanded: true }).pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'partial', acceptedChars: 1, developerText: ' += 2;\n' }, { outcome: 'diverged', acceptedChars: 0 }]);
  });

  it('word by word to the end is a full acceptance', () => {
    const desk = new Desk('|');
    desk.offer('const total = 1;');
    desk.insert('const').insert(' total').insert(' = 1;').pause(40);
    expect(desk.closed).toMatchObject([{ outcome: 'accepted', acceptedChars: 16 }]);
  });

  it('is not what an auto-closed bracket or an automatic indentation looks like', () => {
    const desk = new Desk('|');
    desk.offer('f();\n  g();');
    desk.type('f').insert('()').wait(1);
    desk.cursor--;
    desk.pause(40);
    expect(desk.closed.map((next) => next.outcome)).not.toContain('partial');
  });
});

describe('typed through', () => {
  it('by hand to the end of the first line', () => {
    const desk = new Desk('|');
    desk.offer('return 1;');
    desk.type('return 1;').type('\n');
    expect(desk.outcomes()).toEqual([['t1', 'typedThrough', 'return 1;\n']]);
  });

  it('with brackets that the editor closes and the developer types over', () => {
    const desk = new Desk('|\n');
    desk.offer('f(x);');
    desk.type('f').insert('()').wait(0);
    desk.cursor -= 1;
    desk.type('x');
    desk.change([{ offset: desk.cursor, length: 1, text: ')' }]).wait(0);
    desk.cursor += 1;
    desk.type(';\n');
    expect(desk.outcomes()).toEqual([['t1', 'typedThrough', 'f(x);\n']]);
  });
});

describe('diverged', () => {
  it('settles at the end of the developer\'s line, with the line', () => {
    const desk = new Desk('  |\n');
    desk.offer('return total;');
    desk.type('return count;');
    expect(desk.closed).toEqual([]);
    desk.insert('\n  ');
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'return count;\n']]);
  });

  it('takes a typo back', () => {
    const desk = new Desk('|');
    desk.offer('return 1;');
    desk.type('rex').backspace().type('turn 1;\n');
    expect(desk.outcomes()).toEqual([['t1', 'typedThrough', 'return 1;\n']]);
  });

  it('settles after a pause of 10 s, at an edit elsewhere, and when the document closes', () => {
    const paused = new Desk('|');
    paused.offer('abc');
    paused.type('xyz').pause(9.9);
    expect(paused.closed).toEqual([]);
    paused.pause(0.2);
    expect(paused.outcomes()).toEqual([['t1', 'diverged', 'xyz']]);
    const elsewhere = new Desk('first\n|\n');
    elsewhere.offer('abc');
    elsewhere.type('xyz').change([{ offset: 0, length: 0, text: '// ' }]);
    expect(elsewhere.outcomes()).toEqual([['t1', 'diverged', 'xyz']]);
    const closed = new Desk('|');
    closed.offer('abc');
    closed.type('xyz').signal({ kind: 'document.closed', at: closed.now, uri: URI });
    expect(closed.outcomes()).toEqual([['t1', 'diverged', 'xyz']]);
  });

  it('includes closers of the editor once the line is done', () => {
    const desk = new Desk('|\n');
    desk.offer('if (a) {');
    desk.type('g').insert('()');
    desk.cursor--;
    desk.type('b').pause(11);
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'g(b)']]);
  });

  it('knows a paste over what stood behind the cursor', () => {
    const desk = new Desk('x = |old;\n');
    desk.offer('one');
    desk.change([{ offset: 4, length: 4, text: 'new();' }]).pause(11);
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'new();']]);
  });

  it('follows several cursors in one event', () => {
    const desk = new Desk('a\n|\nc\n');
    desk.offer('zzz');
    for (const [index, letter] of ['x', 'y'].entries()) desk.wait(0.1).change([{ offset: 1 + index, length: 0, text: letter }, { offset: 3 + 2 * index, length: 0, text: letter }]);
    desk.pause(11);
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'xy']]);
  });
});

describe('superseded', () => {
  it('by a newer offer further along, while what was typed agrees', () => {
    const desk = new Desk('|');
    desk.offer('return total;');
    desk.type('return ');
    desk.offer('sum;');
    expect(desk.outcomes()).toEqual([['t1', 'superseded', null]]);
    desk.type('sum;\n');
    expect(desk.outcomes()).toEqual([['t1', 'superseded', null], ['t2', 'typedThrough', 'sum;\n']]);
  });

  it('is not what happens to a divergence: each offer of the line learns the line', () => {
    const desk = new Desk('|');
    desk.offer('return total;');
    desk.type('const ');
    desk.offer('total = 0;');
    desk.type('x = 1;\n');
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'const x = 1;\n'], ['t2', 'diverged', 'x = 1;\n']]);
  });

  it('a retry at the same place is not a next state (conformance 4)', () => {
    const desk = new Desk('|');
    desk.offer('return total;');
    desk.offer('return sum;');
    expect(desk.outcomes()).toEqual([['t1', 'superseded', null]]);
  });

  it('counts an offer from the document version it was made on, however late the signals come', () => {
    const desk = new Desk('|');
    desk.offer('return total;');
    // The editor's request runs ahead of its batched signals.
    desk.offer('x = 1;', { version: 7, offset: 6, offeredAt: desk.now + 1300 });
    expect(desk.closed).toEqual([]);
    desk.type('const ');
    expect(desk.closed).toEqual([]);
    desk.type('y;\n');
    expect(desk.outcomes()).toEqual([['t1', 'diverged', 'const y;\n'], ['t2', 'diverged', 'y;\n']]);
  });

  it('is an offer that came after the developer had typed on', () => {
    const desk = new Desk('|');
    desk.signal({ kind: 'document.opened', at: START, uri: URI, languageId: 'typescript', version: 1 }).type('ab');
    desk.offer('late', { version: 2 });
    expect(desk.outcomes()).toEqual([['t1', 'superseded', null]]);
  });
});

describe('abandoned', () => {
  it('when nothing is typed for 30 s, the cursor leaves, or the place is deleted', () => {
    const idle = new Desk('|');
    idle.offer('abc');
    idle.pause(29.9);
    expect(idle.closed).toEqual([]);
    idle.pause(0.1);
    const left = new Desk('one\n|\ntwo\n');
    left.offer('abc');
    left.change([{ offset: 5, length: 0, text: 'x' }]);
    const back = new Desk('ab|');
    back.offer('abc');
    back.backspace();
    const replaced = new Desk('one\ntwo |\nthree');
    replaced.offer('abc');
    replaced.change([{ offset: 0, length: 12, text: 'else' }]);
    for (const desk of [idle, left, back, replaced]) expect(desk.outcomes()).toEqual([['t1', 'abandoned', null]]);
  });

  it('when a later line is asked about', () => {
    const desk = new Desk('|\n\n');
    desk.offer('abc');
    desk.cursor = 1;
    desk.offer('def');
    expect(desk.outcomes()).toEqual([['t1', 'abandoned', null]]);
  });
});

describe('a restart', () => {
  it('at any moment changes nothing', () => {
    const run = (restartAt: number): unknown => {
      const desk = new Desk('f(|)\n');
      const turn = desk.offer('a, b, c');
      const acts: ((desk: Desk) => unknown)[] = [
        (d) => d.type('a'), (d) => d.insert(', b'), (d) => d.wait(4).type('0'), (d) => d.offer('x'), (d) => d.change([{ offset: 0, length: 1, text: 'go' }]),
        (d) => d.pause(12), (d) => d.signal({ kind: 'suggestion.accepted', at: d.now, turn }), (d) => d.pause(31),
      ];
      const saved = new Map<string, string>();
      for (const [index, act] of acts.entries()) {
        act(desk);
        for (const state of desk.tracker.changed()) saved.set(state.turn, JSON.stringify(state));
        for (const next of desk.closed) saved.delete(next.turn);
        if (index === restartAt) desk.tracker = new CompletionTracker([...saved.values()].map((json) => JSON.parse(json)));
      }
      return desk.closed;
    };
    const uninterrupted = run(-1);
    for (let at = 0; at < 8; at++) expect(run(at)).toEqual(uninterrupted);
  });
});
