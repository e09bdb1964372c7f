import { describe, expect, it } from 'vitest';
import { edited, nextEdit, opened } from './nextEdit.ts';
import type { Edited } from './nextEdit.ts';

/** Replaces the n-th place of a text, counted from 0, by keys: first all of the old is selected and overwritten. */
function replaced(state: Edited, old: string, text: string, nth = 0): Edited {
  let at = -1;
  for (let seen = 0; seen <= nth; seen++) at = state.now.indexOf(old, at + 1);
  let after = edited(state, state.now.slice(0, at) + state.now.slice(at + old.length));
  for (let typed = 1; typed <= text.length; typed++) after = edited(after, after.now.slice(0, at) + text.slice(0, typed) + after.now.slice(at + typed - 1));
  return after;
}

/** What the document would be with the offered change; null where none is offered. */
function applied(state: Edited): string | null {
  const next = nextEdit(state);
  return next && state.now.slice(0, next.offset) + next.text + state.now.slice(next.offset + next.length);
}

/** All that is offered is taken. */
function appliedToTheEnd(state: Edited): string {
  for (let step = 0; step < 20; step++) {
    const text = applied(state);
    if (text === null) return state.now;
    state = edited(state, text);
  }
  throw new Error('it never ends');
}

const CODE = 'const total = 1;\nprint(total, subtotal);\nreturn total;\n';

describe('a renamed name', () => {
  it('is offered at the next place that still has the old one, and so on, to the last', () => {
    const state = replaced(opened(CODE), 'total', 'sum');
    expect(applied(state)).toBe('const sum = 1;\nprint(sum, subtotal);\nreturn total;\n');
    expect(appliedToTheEnd(state)).toBe('const sum = 1;\nprint(sum, subtotal);\nreturn sum;\n');
  });

  it('is found by its whole name, also where a few letters of it were changed, and around the end of the file', () => {
    const state = edited(opened(CODE), CODE.replace('return total', 'return totals'));
    expect(applied(state)).toBe('const totals = 1;\nprint(total, subtotal);\nreturn totals;\n');
  });

  it('is none where the new name was there before: another thing is meant', () => {
    expect(applied(replaced(opened(CODE), 'total', 'subtotal', 3))).toBeNull();
  });

  it('is none where the old one stands nowhere else, is a letter, or the change was undone', () => {
    expect(applied(replaced(opened(CODE), 'print', 'log'))).toBeNull();
    expect(applied(replaced(opened('a = 1;\nb = a;\n'), 'a', 'x'))).toBeNull();
    expect(applied(edited(replaced(opened(CODE), 'total', 'sum'), CODE))).toBeNull();
  });

  it('is none for text that is written anew, or pasted', () => {
    expect(applied(edited(opened(CODE), `${CODE}// more\n`))).toBeNull();
    expect(applied(edited(opened(CODE), CODE.replace('const total = 1;', 'const total = 1;\nconst other = 2;')))).toBeNull();
  });
});

describe('a change that was made twice', () => {
  const LINES = 'if (a == 1) f();\nif (b == 2) g();\nif (c == 3) h();\nif (d === 4) i();\n';

  it('is offered at the places that are left, and not where it is done already', () => {
    const once = replaced(opened(LINES), '==', '===');
    expect(applied(once)).toBeNull();
    const twice = replaced(once, ' == ', ' === ');
    expect(appliedToTheEnd(twice)).toBe(LINES.replaceAll(/ == /g, ' === '));
  });

  it('is offered for what was put in front of a name', () => {
    const text = 'a = load();\nb = load();\nc = load();\n';
    const put = (state: Edited, nth: number): Edited => edited(state, state.now.split('\n').map((line, at) => (at === nth ? line.replace('load', 'await load') : line)).join('\n'));
    expect(appliedToTheEnd(put(put(opened(text), 0), 1))).toBe(text.replaceAll('load', 'await load'));
  });

  it('is offered for a name that is exchanged for another known one', () => {
    const once = replaced(opened('let x = old();\nlet y = old();\nlet z = old();\nfresh();\n'), 'old', 'fresh');
    expect(applied(once)).toBeNull();
    expect(appliedToTheEnd(replaced(once, 'old', 'fresh'))).toBe('let x = fresh();\nlet y = fresh();\nlet z = fresh();\nfresh();\n');
  });

  it('is nothing where the two differ', () => {
    expect(applied(replaced(replaced(opened(LINES), '==', '==='), 'f()', 'k()'))).toBeNull();
  });
});
