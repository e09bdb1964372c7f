import { describe, expect, it } from 'vitest';
import type { NextState } from '../journal/records.ts';
import { nextOf, turnOf } from '../learn/samples.fixture.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { completionVerdict } from './completion.ts';

const turn = turnOf(['const a', ' = 1;']);
const judge = (next: Partial<NextState>): number | null => completionVerdict(turn, nextOf(turn, next), DEFAULT_SETTINGS, 5)?.score ?? null;

describe('the verdict of a completion', () => {
  it('is r = (1-p)s - p(1-s) with s = survival, p = 0.25', () => {
    expect(judge({ outcome: 'accepted', survival: [[5, 1], [30, 1]] })).toBeCloseTo(0.75);
    expect(judge({ outcome: 'accepted', survival: [[5, 1], [30, 0.5]] })).toBeCloseTo(0.25);
    expect(judge({ outcome: 'accepted', survival: [[30, 0]] })).toBeCloseTo(-0.25);
    expect(judge({ outcome: 'diverged' })).toBeCloseTo(-0.25);
  });

  it('takes the latest mark that is known; void is not 0', () => {
    expect(judge({ outcome: 'accepted', survival: [[5, 0.8], [30, null]] })).toBeCloseTo(0.55);
    expect(judge({ outcome: 'accepted', survival: [[5, null], [30, null]] })).toBeNull();
    expect(judge({ outcome: 'accepted', survival: [] })).toBeNull();
  });

  it('rewards only the accepted share of a partial acceptance', () => {
    const half = { outcome: 'partial', acceptedChars: turn.shownText.length / 2, survival: [[30, 1]] } satisfies Partial<NextState>;
    expect(judge(half)).toBeCloseTo(0.25);
    expect(judge({ ...half, acceptedChars: 1 })).toBeLessThan(0);
  });

  it('judges the text and not the key: typed through is as good as accepted, with less confidence', () => {
    const typed = completionVerdict(turn, nextOf(turn, { outcome: 'typedThrough' }), DEFAULT_SETTINGS, 5);
    expect(typed?.score).toBeCloseTo(0.75);
    expect(typed?.confidence).toBeLessThan(1);
  });

  it('is none where nothing is known', () => {
    expect(judge({ outcome: 'abandoned' })).toBeNull();
    expect(judge({ outcome: 'superseded' })).toBeNull();
    const unseen = { ...turn, shownText: '' };
    expect(completionVerdict(unseen, nextOf(unseen, { outcome: 'diverged' }), DEFAULT_SETTINGS, 5)).toBeNull();
  });
});
