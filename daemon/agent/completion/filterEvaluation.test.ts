import { describe, expect, it } from 'vitest';
import { Random } from '../../reward/classifier/corpus/random.ts';
import { evaluateFilter, offersOfTelemetry, type Telemetry } from './filterEvaluation.ts';

/** People who accept what the completer is sure of, but never inside a comment: a known answer. */
function people(count: number, each: number): Telemetry[] {
  const random = new Random(9);
  const events: Telemetry[] = [];
  for (let person = 0; person < count; person++) {
    for (let i = 0; i < each; i++) {
      const meanLogProb = -random.next() * 2;
      const comment = random.chance(0.5);
      const accepted = random.chance(0.1) ? random.chance(0.5) : meanLogProb > -1 && !comment;
      const event = (seq: number, at: number, StateName: string, logprob: number): Telemetry => ({ UserId: person, seq, TimeGenerated: new Date(at).toISOString(), StateName, CurrentSuggestion: JSON.stringify(`value${i}`), CurrentPrompt: JSON.stringify(comment ? 'x = 1\n# count' : 'x = 1\ncount'), Measurements: { meanLogProb: logprob } });
      events.push(event(2 * i, i * 10_000, 'Shown', meanLogProb), event(2 * i + 1, i * 10_000 + 3000, accepted ? 'Accepted' : 'Rejected', accepted ? 0 : -9));
    }
  }
  return events;
}

describe('offersOfTelemetry', () => {
  it('reads the numbers of the offer, never those of the outcome', () => {
    const events = people(2, 20);
    const tampered = events.map((event) => (event.StateName === 'Shown' ? event : { ...event, CurrentSuggestion: '"other"', CurrentPrompt: '""', Measurements: {} }));
    expect(offersOfTelemetry(tampered)).toEqual(offersOfTelemetry(events));
  });

  it('gives an offer the same features whatever comes after it', () => {
    const events = people(1, 20);
    const all = offersOfTelemetry(events);
    expect(offersOfTelemetry(events.slice(0, 20))).toEqual(all.slice(0, 10));
  });
});

describe('evaluateFilter', () => {
  it('finds the gain over the log-prob alone where there is one, with an interval clear of zero', () => {
    const card = evaluateFilter(offersOfTelemetry(people(4, 45)), 100);
    expect(card.gain[0]).toBeGreaterThan(0.05);
    expect(card.gain[1]).toBeGreaterThan(0);
    expect(card.saved).toBeGreaterThan(0.2);
  });

  it('finds none where outcomes are coin flips', () => {
    const random = new Random(4);
    const offers = offersOfTelemetry(people(4, 45)).map((offer) => ({ ...offer, accepted: random.chance(0.4) }));
    const card = evaluateFilter(offers, 100);
    expect(Math.abs(card.auc - 0.5)).toBeLessThan(0.1);
    expect(card.gain[1]).toBeLessThan(0);
  });
});
