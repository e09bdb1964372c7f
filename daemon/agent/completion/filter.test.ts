import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NextState, Outcome, Turn } from '../../journal/records.ts';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { decideShow, ENOUGH, EXPLORE_SHARE, learnFilter, LEAST_SAVED, MOST_DROPPED, offerOf, pastOffers, type OfferedTurn } from './filter.ts';
import { FILTER_FEATURES, filterFeatures, type Offer, type PastOffer } from './filterFeatures.ts';

const DAY = 86_400_000;

function offered(i: number, day: number, logprob: number, outcome: Outcome | null): OfferedTurn {
  const turn: Turn = {
    id: `t${i}`, session: `s${day}`, workspace: 'w', modality: 'completion', role: 'main', split: 'train', block: 'b', offeredAt: day * DAY + i * 1000,
    uri: 'file:///a.ts', languageId: 'typescript', version: 1, offset: 10, promptIds: [], promptMode: 'prefix', responseIds: [1, 2], logprobs: [logprob, null, logprob],
    rawText: 'x()', offsets: [0, 1], shownText: `call${i}()`, finishReason: 'stop', sampling: { maxTokens: 16, temperature: 0 }, adapter: null, fingerprint: 'f', before: 'const a = ', after: '',
  };
  const next: NextState | null = outcome === null ? null : { turn: turn.id, outcome, acceptedChars: 0, developerText: null, survival: [], decidedAt: turn.offeredAt + 500 };
  return { turn, next };
}

/** A developer who takes what the model is sure of; `noise` is the share of coin flips. */
function history(count: number, days: number, noise: number): OfferedTurn[] {
  const random = new Random(5);
  return Array.from({ length: count }, (_, i) => {
    const logprob = -random.next() * 2;
    const accepted = random.chance(noise) ? random.chance(0.5) : logprob > -1;
    return offered(i, Math.floor((i * days) / count), logprob, accepted ? 'accepted' : 'diverged');
  });
}

describe('learnFilter', () => {
  it('is off until there is enough of the user\'s own data', () => {
    expect(learnFilter(history(ENOUGH.offers - 1, 6, 0.1))).toBeNull();
    expect(learnFilter(history(400, ENOUGH.days - 1, 0.1))).toBeNull();
    expect(learnFilter([])).toBeNull();
    expect(learnFilter(history(400, 6, 0.1))).not.toBeNull();
  });

  it('is off where it could not keep its bounds on days it has not seen', () => {
    expect(learnFilter(history(400, 6, 1))).toBeNull();
    const filter = learnFilter(history(400, 6, 0.05));
    expect(filter?.dropped).toBeLessThanOrEqual(MOST_DROPPED);
    expect(filter?.saved).toBeGreaterThanOrEqual(LEAST_SAVED);
  });

  it('learns nothing from what says nothing', () => {
    const silent = history(400, 6, 0.1).map((each) => (each.next === null ? each : { ...each, next: { ...each.next, outcome: 'superseded' as const } }));
    expect(learnFilter(silent)).toBeNull();
    expect(pastOffers([offered(1, 0, -1, 'typedThrough'), offered(2, 0, -1, null), offered(3, 0, -1, 'abandoned')])).toEqual([]);
  });
});

describe('decideShow', () => {
  const filter = learnFilter(history(400, 6, 0.05));
  const sure = offerOf(offered(1, 9, -0.01, null).turn);
  const unsure = offerOf(offered(2, 9, -1.9, null).turn);

  it('holds what would hardly be accepted and shows the rest', () => {
    expect(decideShow(filter, unsure, [], 0.5)).toBe('hold');
    expect(decideShow(filter, sure, [], 0.5)).toBe('show');
  });

  it('shows everything while it is off, and a share of everything while it is on', () => {
    expect(decideShow(null, unsure, [], 0.5)).toBe('show');
    expect(decideShow(filter, unsure, [], EXPLORE_SHARE / 2)).toBe('show');
  });
});

describe('filterFeatures', () => {
  const offer = fc.record<Offer>({ meanLogprob: fc.option(fc.double({ min: -20, max: 0, noNaN: true })), text: fc.string(), prefix: fc.string(), at: fc.constant(1000) });
  const past = (min: number, max: number) => fc.array(fc.record<PastOffer>({ text: fc.string(), decidedAt: fc.integer({ min, max }), accepted: fc.boolean() }), { maxLength: 8 });

  it('gives one finite number for each name', () => {
    fc.assert(fc.property(offer, past(0, 2000), (each, events) => {
      const features = filterFeatures(each, events);
      expect(features.length).toBe(FILTER_FEATURES.length);
      expect(features.every(Number.isFinite)).toBe(true);
    }));
  });

  it('knows nothing of what was decided after the offer', () => {
    fc.assert(fc.property(offer, past(0, 1000), past(1001, 5000), (each, before, after) => {
      expect(filterFeatures(each, [...before, ...after])).toEqual(filterFeatures(each, before));
    }));
  });
});
