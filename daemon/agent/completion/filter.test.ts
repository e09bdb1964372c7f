import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NextState, Outcome, Turn } from '../../journal/records.ts';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { calibrate, decideShow, describe as sentence, ENOUGH, EXPLORE_SHARE, LEAST_SAVED, offerOf, outcomeOf } from './filter.ts';
import { FILTER_FEATURES, filterFeatures } from './filterFeatures.ts';
import type { Offer, PastOffer } from './filterFeatures.ts';
import { MOST_DROPPED } from './filterTraining.ts';
import { HoldBack } from './holdBack.ts';

interface Closed {
  turn: Turn;
  next: NextState;
}

function closed(i: number, block: number, logprob: number, outcome: Outcome, patch: Partial<Turn> = {}, written: string | null = null): Closed {
  const turn: Turn = {
    id: `t${i}`, session: `s${block}`, workspace: 'w', modality: 'completion', role: 'main', split: 'train', block: `b${block}`, offeredAt: i * 1000,
    uri: 'file:///a.ts', languageId: 'typescript', version: 1, offset: 10, promptIds: [], promptMode: 'prefix', responseIds: [1, 2], logprobs: [logprob, null, logprob],
    rawText: 'x()', offsets: [0, 1], shownText: `call${i}()`, finishReason: 'stop', sampling: { maxTokens: 16, temperature: 0 }, adapter: null, fingerprint: 'f', before: 'const a = ', after: '', ...patch,
  };
  return { turn, next: { turn: turn.id, outcome, acceptedChars: 0, developerText: written, survival: [], decidedAt: turn.offeredAt + 500 } };
}

/** A developer who takes what the model is sure of; `noise` is the share of coin flips. */
function history(count: number, noise: number): Closed[] {
  const random = new Random(5);
  return Array.from({ length: count }, (_, i) => {
    const logprob = -random.next() * 2;
    const accepted = random.chance(noise) ? random.chance(0.5) : logprob > -1;
    return closed(i, Math.floor(i / 20), logprob, accepted ? 'accepted' : 'diverged');
  });
}

const decided = (some: readonly Closed[]) => some.flatMap(({ turn, next }) => {
  const accepted = outcomeOf(turn, next);
  return accepted === null ? [] : [{ group: turn.block, features: filterFeatures(offerOf(turn), []), accepted }];
});

const journalOf = (some: readonly Closed[]) => ({
  turnsOf: () => some.map(({ turn }) => turn).toReversed(),
  nextState: (id: string) => some.find(({ turn }) => turn.id === id)?.next ?? null,
});

describe('the calibration on a workspace’s own outcomes', () => {
  it('is off until there is enough of them, of either kind, and says how many there are', () => {
    const few = calibrate(decided(history(ENOUGH.offers - 1, 0.1)));
    expect(few.state).toBe('few');
    expect(sentence(few, true)).toMatch(/^Every suggestion is still shown: .*200 outcomes are needed.* \d+ taken and \d+ turned down are known\.$/);
    expect(calibrate(decided(history(400, 0).filter(({ next }, i) => next.outcome === 'diverged' || i < 60))).state).toBe('few');
    expect(calibrate([]).state).toBe('few');
    expect(calibrate(decided(history(400, 0.05))).state).toBe('useful');
  });

  it('holds nothing back where that would save too little for what it costs', () => {
    const useless = calibrate(decided(history(400, 1)));
    expect(useless.state).toBe('useless');
    expect(sentence(useless, true)).toMatch(/^Every suggestion is still shown: .* 20 % are asked for\.$/);
    const useful = calibrate(decided(history(400, 0.05)));
    if (useful.state !== 'useful') throw new Error(useful.state);
    expect(useful.filter.dropped).toBeLessThanOrEqual(MOST_DROPPED);
    expect(useful.filter.saved).toBeGreaterThanOrEqual(LEAST_SAVED);
    expect(sentence(useful, true)).toMatch(/^Suggestions that you would hardly take are held back/);
    expect(sentence(useful, false)).toMatch(/^Every suggestion is shown \(the setting hindsight.holdBack is off\)/);
  });

  it('hears from what was held back, by what was written in its place, and nothing from silence', () => {
    const held = (written: string | null) => outcomeOf(...Object.values(closed(1, 0, -1, 'typedThrough', { shownText: '', held: 'return total;' }, written)) as [Turn, NextState]);
    expect([held('return total;\n'), held('throw new Error();\n'), held(null)]).toEqual([true, false, null]);
    for (const outcome of ['typedThrough', 'superseded', 'abandoned'] as const) expect(decided([closed(1, 0, -1, outcome)])).toEqual([]);
  });
});

describe('show or hold', () => {
  const calibrated = calibrate(decided(history(400, 0.05)));
  const sure = offerOf(closed(1, 99, -0.01, 'accepted').turn);
  const unsure = offerOf(closed(2, 99, -1.9, 'accepted').turn);

  it('holds what would hardly be taken and shows the rest', () => {
    expect(decideShow(calibrated, unsure, [], 0.5)).toBe('hold');
    expect(decideShow(calibrated, sure, [], 0.5)).toBe('show');
  });

  it('shows everything while it is off, and a share of everything while it is on', () => {
    expect(decideShow(calibrate([]), unsure, [], 0.5)).toBe('show');
    expect(decideShow(calibrated, unsure, [], EXPLORE_SHARE / 2)).toBe('show');
  });
});

describe('holding back in the daemon', () => {
  it('starts from the journal, goes on with what closes, and does the same again for the same offers', () => {
    const all = history(400, 0.05);
    const offers = Array.from({ length: 60 }, (_, i) => closed(1000 + i, 77, i % 2 === 0 ? -1.9 : -0.01, 'accepted').turn);
    const restarted = new HoldBack(journalOf(all));
    const grown = new HoldBack(journalOf([]));
    grown.watch('w');
    for (const { turn, next } of all) grown.closed(turn, next);
    const shown = offers.map((turn) => restarted.weigh(turn).shownText !== '');
    expect(offers.map((turn) => grown.weigh(turn).shownText !== '')).toEqual(shown);
    expect(shown.filter((_, i) => i % 2 === 1)).toEqual(Array.from({ length: 30 }, () => true));
    expect(shown.filter((_, i) => i % 2 === 0).filter(Boolean).length).toBeLessThan(8);
    const [held] = offers.map((turn) => restarted.weigh(turn)).filter((turn) => turn.held !== undefined);
    expect(held).toMatchObject({ shownText: '', rawText: 'x()' });
  });
});

describe('filterFeatures', () => {
  const offer = fc.record<Offer>({ meanLogprob: fc.option(fc.double({ min: -20, max: 0, noNaN: true })), text: fc.string(), expected: fc.option(fc.double({ min: -9, max: 9, noNaN: true })), prefix: fc.string(), at: fc.constant(1000) });
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
