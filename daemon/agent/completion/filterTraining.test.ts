import { describe, expect, it } from 'vitest';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { auc } from '../../reward/classifier/training/scores.ts';
import { logOdds, sigmoid } from './filterModel.ts';
import { fitFilter, heldBack, heldOutScores, type DecidedOffer } from './filterTraining.ts';

/** Offers whose chance of acceptance is known: log-odds 3a, and a second feature that says nothing. */
function offers(seed: number, count: number): DecidedOffer[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => {
    const a = random.next() * 4 - 2;
    return { group: `p${i % 6}`, features: [a, random.next()], accepted: random.chance(sigmoid(3 * a)) };
  });
}

describe('fitFilter', () => {
  it('comes close to the best that can be known, and keeps its bounds on new offers', () => {
    const filter = fitFilter(offers(1, 400));
    if (filter === null) throw new Error('no filter');
    const fresh = offers(2, 4000);
    const labels = fresh.map(({ accepted }) => accepted);
    const scores = fresh.map(({ features }) => logOdds(filter.model, features));
    expect(auc(scores, labels)).toBeGreaterThan(auc(fresh.map(({ features }) => features[0] ?? 0), labels) - 0.02);
    const { dropped, saved } = heldBack(scores, labels, filter.threshold);
    expect(dropped).toBeLessThan(0.1);
    expect(saved).toBeGreaterThan(0.2);
  });

  it('is null where there is nothing to compare', () => {
    expect(fitFilter([])).toBeNull();
    expect(fitFilter(offers(1, 60).map((offer) => ({ ...offer, accepted: true })))).toBeNull();
    expect(fitFilter(offers(1, 60).map((offer) => ({ ...offer, group: 'one' })))).toBeNull();
  });
});

describe('heldOutScores', () => {
  it('never lets the outcomes of a group into the scores of that group', () => {
    const plain = offers(3, 200);
    const flipped = plain.map((offer) => (offer.group === 'p2' ? { ...offer, accepted: !offer.accepted } : offer));
    const own = (set: DecidedOffer[]): number[] => heldOutScores(set).filter((_, i) => set[i]?.group === 'p2');
    expect(own(flipped)).toEqual(own(plain));
    expect(heldOutScores(flipped)).not.toEqual(heldOutScores(plain));
  });
});
