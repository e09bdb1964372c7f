import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextOf, turnOf } from '../learn/samples.fixture.ts';
import { divergence, offeredTokens, rewardedTokens } from './divergence.ts';
import { hintsOf } from './hints.ts';

describe('divergence', () => {
  it('is the token that contains the first differing byte', () => {
    const turn = turnOf(['const ', 'result', ' = 1', ';\n']);
    expect(divergence(turn, 'const request = 1;\n')).toEqual({ token: 1, byte: 8, offered: true, developerText: 'request = 1;\n' });
  });

  it('is none where the developer wrote the same lines, whatever follows them', () => {
    expect(divergence(turnOf(['a;', '\n']), 'a;\nb;\n')).toBeNull();
    expect(divergence(turnOf(['a;', '']), 'a;\nb;\n')).toBeNull();
    expect(divergence(turnOf(['a;', '\n']), 'a;\r\nb;\r\n')).toBeNull();
  });

  it('is none where one of them is merely not known any further', () => {
    expect(divergence(turnOf(['foo', '.bar', '\n']), 'foo')).toBeNull();
    expect(divergence(turnOf(['foo', '.b'], { finishReason: 'length' }), 'foo.bar\n')).toBeNull();
    expect(divergence(turnOf(['foo']), '')).toBeNull();
  });

  it('is the end where the response stopped early', () => {
    expect(divergence(turnOf(['foo', '']), 'foo(bar);\n')).toMatchObject({ token: 1, byte: 3, offered: true, developerText: '(bar);\n' });
    expect(divergence(turnOf(['foo', '\n']), 'foo(bar);\n')).toMatchObject({ token: 1, byte: 3, offered: true, developerText: '(bar);\n' });
  });

  it('is the continuation where the developer ended the line first', () => {
    expect(divergence(turnOf(['foo', '.bar', '\n']), 'foo\nx\n')).toMatchObject({ token: 1, developerText: '\nx\n' });
  });

  it('knows that post-processing removed the token', () => {
    const turn = turnOf(['foo', '(a)', ' // and so on'], { shownText: 'foo(a)' });
    expect(offeredTokens(turn)).toBe(2);
    expect(divergence(turn, 'foo(a) && b')).toMatchObject({ token: 2, offered: false });
  });

  it('leaves the developer’s token unknown where it would start inside a character', () => {
    const turn = { ...turnOf(['é', 'x']), rawText: 'éx', offsets: [0, 1, 3], responseIds: [7, 8] };
    expect(divergence(turn, 'éy')).toMatchObject({ token: 1, byte: 2, developerText: null });
  });

  it('conformance 27: every token before it is shared with what the developer wrote', () => {
    const piece = fc.constantFrom('a', 'b', 'é', '漢', ' ', '\n', 'ab', 'a\n');
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), fc.array(piece, { maxLength: 8 }), (response, written) => {
        const turn = turnOf(response);
        const text = written.join('');
        const at = divergence(turn, text);
        if (at === null) return;
        const shared = turn.offsets[at.token] ?? 0;
        expect(Buffer.from(text).subarray(0, shared)).toEqual(Buffer.from(turn.rawText).subarray(0, shared));
        expect(at.byte).toBeLessThan(turn.offsets[at.token + 1] ?? 0);
      }),
    );
  });
});

describe('tokens that a good verdict rewards', () => {
  const turn = turnOf(['foo', '.bar', '(1)', ';\n']);
  it('are the wholly accepted ones of a partial acceptance', () => {
    const next = nextOf(turn, { outcome: 'partial', acceptedChars: 5, developerText: 'foo.bxx\n' });
    expect(rewardedTokens(turn, next, divergence(turn, 'foo.bxx\n'))).toBe(1);
  });
  it('stop before the divergence even if more was accepted and changed later', () => {
    const next = nextOf(turn, { outcome: 'accepted', acceptedChars: turn.shownText.length, developerText: 'foo.baz(1);\n' });
    expect(rewardedTokens(turn, next, divergence(turn, 'foo.baz(1);\n'))).toBe(1);
  });
  it('include the end of the suggestion only where the developer’s text confirms it', () => {
    const ended = turnOf(['foo', '()', ';', '\n']);
    expect(rewardedTokens(ended, nextOf(ended, { outcome: 'accepted', developerText: null }), null)).toBe(3);
    expect(rewardedTokens(ended, nextOf(ended, { outcome: 'accepted', developerText: 'foo();\nbar\n' }), null)).toBe(4);
  });
});

describe('hints of a completion', () => {
  const turn = turnOf(['foo', '.bar', '\n']);
  it('are the developer’s text where it differs, and nothing where it does not', () => {
    expect(hintsOf(turn, nextOf(turn, { developerText: 'foo.baz\n' }), 3)).toEqual([{ turn: turn.id, source: 'developer', text: 'foo.baz\n', at: 3 }]);
    expect(hintsOf(turn, nextOf(turn, { outcome: 'accepted', developerText: 'foo.bar\n' }), 3)).toEqual([]);
    expect(hintsOf(turn, nextOf(turn, { developerText: null }), 3)).toEqual([]);
    expect(hintsOf(turn, nextOf(turn, { outcome: 'abandoned', developerText: 'foo.baz\n' }), 3)).toEqual([]);
  });
});
