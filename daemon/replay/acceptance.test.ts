import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptance, wordEnds } from './acceptance.ts';

describe('what the simulated developer accepts', () => {
  it('takes a suggestion whose first line is right, and the following lines as far as they match', () => {
    expect(acceptance('return total;', 'return total;', [])).toEqual({ taken: 13, whole: true, moreLines: 0 });
    expect(acceptance('if (a) {\n  b();\n}', 'if (a) {', ['  b();', '}'])).toEqual({ taken: 17, whole: true, moreLines: 2 });
    expect(acceptance('if (a) {\n  b();\n}', 'if (a) {', ['  b();', '  c();'])).toEqual({ taken: 15, whole: false, moreLines: 1 });
    expect(acceptance('x;\r\ny;\r\nz;', 'x;', ['y;'])).toEqual({ taken: 6, whole: false, moreLines: 1 });
  });

  it('takes a right prefix of 8 characters or more, never half a word', () => {
    expect(acceptance('const fooBar = 1;', 'const fooBaz = 1;', [])).toBeNull();
    expect(acceptance('const total = one;', 'const total = two;', [])).toEqual({ taken: 13, whole: false, moreLines: 0 });
    expect(acceptance('const total', 'const totals = 1;', [])).toBeNull();
    expect(acceptance('const total', 'const total = 1;', [])).toEqual({ taken: 11, whole: true, moreLines: 0 });
    expect(acceptance('return a;', 'return b;', [])).toBeNull();
  });

  it('never takes anything that the commit does not have there', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '(', '\n') , maxLength: 30 });
    fc.assert(
      fc.property(text, text, fc.nat(30), (wanted, noise, keep) => {
        const [rest = '', ...following] = wanted.split('\n');
        const suggestion = wanted.slice(0, keep) + noise;
        const taken = acceptance(suggestion, rest, following);
        if (taken) expect(wanted.startsWith(suggestion.slice(0, taken.taken))).toBe(true);
      }),
    );
  });
});

it('asks again after the first two words of a line, not at its end', () => {
  expect(wordEnds('const total = sum(a);', 2)).toEqual([5, 11]);
  expect(wordEnds('}', 2)).toEqual([]);
  expect(wordEnds('foo.bar', 2)).toEqual([3]);
});
