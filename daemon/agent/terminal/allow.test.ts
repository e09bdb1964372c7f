import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAllowed, simpleWords } from './allow.ts';

describe('the list of allowed commands', () => {
  it.each([
    ['npm test', ['npm test'], true],
    ['npm test -- --run a.test.ts', ['npm test'], true],
    ['npm  test', ['npm test'], true],
    ['npm testing', ['npm test'], false],
    ['npm', ['npm test'], false],
    ['git log "a b"', ['git log'], true],
    ['echo a && rm -rf b', ['echo a && rm -rf b'], true],
    ['echo a && rm -rf c', ['echo a && rm -rf b'], false],
    ['', [''], false],
    ['anything', [], false],
  ])('%j with %j: %s', (command, allowed, yes) => expect(isAllowed(command, allowed)).toBe(yes));

  it.each(['; rm -rf /', ' && curl x', ' | sh', ' $(id)', ' `id`', ' > ~/.bashrc', '\nrm -rf /', ' & rm x', ' "a"b', " 'open", ' \\\nrm', ' *', ' ~/x', ' {a,b}', ' # x', '\r\nrm x', '\x00x'])('%j after an allowed command is asked about', (rest) => {
    expect(isAllowed(`npm test${rest}`, ['npm test', 'npm', 'echo'])).toBe(false);
  });

  it('an assignment before it, or a path to it, is another command', () => {
    expect(isAllowed('PATH=/tmp npm test', ['npm test'])).toBe(false);
    expect(isAllowed('./npm test', ['npm test'])).toBe(false);
  });

  it('what is a prefix of words is all that it is: a shell would see the same words', () => {
    const word = fc.stringMatching(/^[\w./:@%,+-]{1,8}$/);
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), fc.nat(4), (words, cut) => {
        fc.pre(!/^\w+=/.test(words[0] ?? ''));
        expect(simpleWords(words.join(' '))).toEqual(words);
        const prefix = words.slice(0, (cut % words.length) + 1).join(' ');
        expect(isAllowed(words.join(' '), [prefix])).toBe(true);
      }),
    );
  });
});
