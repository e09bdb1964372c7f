import { describe, expect, it } from 'vitest';
import { acceptance } from './acceptance.ts';
import { conductOf } from './conduct.ts';

const RIGHT = 'return total;';
const WRONG = 'return sum;\nconst next = 1;';

describe('a developer who misleads', () => {
  it('flip30 answers about 30 % of the turns the wrong way round, the same ones for the same seed', () => {
    const flips = (seed: number): boolean[] => {
      const conduct = conductOf('flip30', seed);
      return Array.from({ length: 2000 }, (_, at) => {
        const suggestion = at % 2 === 0 ? RIGHT : WRONG;
        const answer = conduct.answer(suggestion, RIGHT, []);
        const honest = acceptance(suggestion, RIGHT, []);
        if (JSON.stringify(answer) === JSON.stringify(honest)) return false;
        // What is right is refused with other words; what is wrong is taken, one line of it.
        expect(answer).toEqual(at % 2 === 0 ? { instead: 'nruter latot;' } : { wrongLine: 'return sum;' });
        return true;
      });
    };
    const share = flips(3).filter(Boolean).length / 2000;
    expect(share).toBeGreaterThan(0.27);
    expect(share).toBeLessThan(0.33);
    expect(flips(3)).toEqual(flips(3));
    expect(flips(3)).not.toEqual(flips(4));
  });

  it('acceptAll takes a line of everything, and what is right as anybody would', () => {
    const conduct = conductOf('acceptAll', 1);
    expect(conduct.answer(WRONG, RIGHT, [])).toEqual({ wrongLine: 'return sum;' });
    expect(conduct.answer(RIGHT, RIGHT, [])).toEqual(acceptance(RIGHT, RIGHT, []));
    expect(conduct.answer('\n', RIGHT, [])).toBeNull();
  });

  it('boxed is honest about suggestions, and writes its injection as a comment of the language', () => {
    const conduct = conductOf('boxed', 1);
    expect(conduct.answer(WRONG, RIGHT, [])).toBeNull();
    const comments = Array.from({ length: 9 }, () => conduct.comment('python'));
    expect(comments.filter((comment) => /^ {2}# .*\\boxed\{1\}.*\[user's hint/.test(comment))).toHaveLength(3);
    expect(conduct.comment('typescript')).toMatch(/^ {2}\/\/ /);
  });
});
