import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Hint, Verdict } from '../journal/records.ts';
import { advantage, observe, policyGradientWeight } from './baseline.ts';
import type { Baselines } from './baseline.ts';
import { route } from './routing.ts';
import { nextOf, turnOf } from './samples.fixture.ts';
import { METHODS } from './settings.ts';

const turn = turnOf(['foo', '\n']);
const next = nextOf(turn, { developerText: 'bar\n' });
const scored = (score: number): Verdict => ({ turn: turn.id, score, confidence: 1, source: 'verifier', evidence: [], kind: 'provisional', at: 0 });
const hint: Hint = { turn: turn.id, source: 'developer', text: 'bar\n', at: 0 };
const of = (method: keyof typeof METHODS, score: number | null, hints: Hint[], baselines: Baselines = {}) =>
  route(score === null ? null : scored(score), hints, turn, next, METHODS[method], baselines);

describe('routing', () => {
  it('follows the table for combined', () => {
    expect(of('combined', 0.75, [])).toMatchObject({ route: 'policyGradient', advantage: 0.75 });
    expect(of('combined', 0.3, [hint])).toMatchObject({ route: 'distillation', advantage: 0.3 });
    expect(of('combined', -0.25, [hint])).toEqual({ route: 'distillation', advantage: null, weight: 1 });
    expect(of('combined', -0.25, [])).toMatchObject({ route: 'policyGradient', advantage: -0.25 });
    expect(of('combined', null, [hint])).toMatchObject({ route: 'distillation', advantage: null });
    expect(of('combined', 0.01, [])).toBeNull();
  });

  it('gives each method only what it has', () => {
    expect(of('binary', -0.25, [hint])).toMatchObject({ route: 'policyGradient' });
    expect(of('opd', 0.75, [])).toBeNull();
    expect(of('opd', 0.3, [hint])).toMatchObject({ route: 'distillation', advantage: null });
    expect(of('sft', -0.25, [hint])).toEqual({ route: 'sft', advantage: null, weight: 1 });
    for (const method of ['frozen', 'memory'] as const) expect(of(method, 0.75, [hint])).toBeNull();
  });

  it('gives the first generation the verdict beside the hint, whatever its sign', () => {
    expect(of('combined-gen1', -0.25, [hint])).toEqual({ route: 'distillation', advantage: -0.25, weight: 1 });
    expect(of('combined-gen1', 0.75, [hint])).toEqual({ route: 'distillation', advantage: 0.75, weight: 1 });
    expect(of('combined-gen1', null, [hint])).toEqual({ route: 'distillation', advantage: null, weight: 1 });
    expect(of('combined-gen1', -0.25, [], { completion: { score: -0.2, n: 9, accepts: 9 } })).toEqual({ route: 'policyGradient', advantage: -0.25, weight: 1 });
    expect(of('combined-gen1', 0.01, [])).toBeNull();
  });

  it('conformance 3: a turn of which nothing is known contributes nothing', () => {
    for (const method of Object.keys(METHODS) as (keyof typeof METHODS)[]) expect(of(method, null, [])).toBeNull();
  });

  it('never trains side turns nor held-out ones', () => {
    for (const patch of [{ role: 'side' }, { split: 'holdout' }] as const) {
      expect(route(scored(0.75), [hint], { ...turn, ...patch }, next, METHODS.combined, {})).toBeNull();
    }
  });
});

describe('baseline', () => {
  it('never crosses the score’s sign', () => {
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true }), fc.double({ min: -1, max: 1, noNaN: true }), (score, mean) => {
        expect(advantage(score, { score: mean, n: 1, accepts: 0 }) * score).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('follows the scores of a kind, and weighs down what is nearly certain', () => {
    let baselines: Baselines = {};
    for (let seen = 0; seen < 200; seen++) baselines = observe(baselines, turn, scored(0.75), nextOf(turn, { outcome: 'accepted' }));
    expect(baselines['completion']?.score).toBeCloseTo(0.75, 2);
    expect(policyGradientWeight({ score: 0, n: 0, accepts: 0 })).toBe(1);
    expect(policyGradientWeight({ score: 0, n: 200, accepts: 200 })).toBe(0.4);
  });
});
