import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Hint } from '../journal/records.ts';
import { chooseHint, hintCandidates } from './hints.ts';

const hint = (source: Hint['source'], text: string, at = 0): Hint => ({ turn: 't', source, text, at });

describe('hints that may teach', () => {
  it('are the developer’s text alone where there is one, then a diagnostic alone', () => {
    const said = [hint('judge', 'j'), hint('correction', 'c')];
    expect(hintCandidates([...said, hint('diagnostic', 'd'), hint('developer', 'old', 1), hint('developer', 'new', 2)])).toEqual([hint('developer', 'new', 2)]);
    expect(hintCandidates([...said, hint('diagnostic', 'd')])).toEqual([hint('diagnostic', 'd')]);
  });

  it('are else the corrections, the latest first, then the judge’s, three at most', () => {
    const all = [hint('judge', 'j', 9), hint('correction', 'first', 1), hint('correction', 'last', 2)];
    expect(hintCandidates(all).map(({ text }) => text)).toEqual(['last', 'first', 'j']);
    expect(hintCandidates([...all, hint('judge', 'k', 10)])).toHaveLength(3);
    expect(hintCandidates([])).toEqual([]);
  });
});

describe('the hint that teaches', () => {
  it('overlaps most among those that move the teacher by 0.02 nats', () => {
    expect(chooseHint([{ overlap: 5, meanDelta: 0.3 }, { overlap: 9, meanDelta: 0.02 }, { overlap: 20, meanDelta: 0 }])).toEqual({ overlap: 9, meanDelta: 0.02 });
    expect(chooseHint([{ overlap: 20, meanDelta: 0.0199 }])).toBeNull();
    expect(chooseHint([])).toBeNull();
  });

  it('is the same whatever stands beside it that moves nothing', () => {
    const effect = fc.record({ overlap: fc.nat(100), meanDelta: fc.double({ min: 0, max: 1, noNaN: true }) });
    fc.assert(fc.property(fc.array(effect, { maxLength: 3 }), fc.nat(3), fc.nat(1000), (some, at, overlap) => {
      expect(chooseHint(some.toSpliced(at, 0, { overlap, meanDelta: 0.01 }))).toEqual(chooseHint(some));
    }));
  });
});
