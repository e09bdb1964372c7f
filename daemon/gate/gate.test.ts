import { describe, expect, it } from 'vitest';
import { GATE, gain, heldOutDecides, judgeCandidate } from './gate.ts';
import type { CanaryAnswer, GateMeasures, ScoredEdit } from './gate.ts';
import { GOLDEN_TEXTS } from './golden.ts';
import { blockOf, splitOf } from './holdout.ts';

const golden = { base: 0.9, candidate: 0.9, kl: 0.001, entropyRatio: 1 };
const edit = (block: number, overServing: number, overBase = overServing, overBest: number | null = null): ScoredEdit => ({
  block: `b${block}`, bytes: 20, candidate: -20, serving: -20 - 20 * overServing, base: -20 - 20 * overBase, best: overBest === null ? null : -20 - 20 * overBest,
});
/** 40 edits in 10 blocks, each block with its own deviation. */
const edits = (mean: number, spread = 0): ScoredEdit[] => Array.from({ length: 40 }, (_, index) => edit(index % 10, mean + spread * ((index % 10) - 4.5)));
const measures = (patch: Partial<GateMeasures>): GateMeasures => ({ edits: edits(0.01), golden, canaries: [], exposure: { openings: 8, raised: 0 }, ...patch });
const answer = (candidate: string, candidateIds: number[]): CanaryAnswer => ({ base: 'a b c d', baseIds: [1, 2, 3, 4, 5, 6], candidate, candidateIds });

describe('the gate', () => {
  it('lets a better candidate and a no-op pass, with one sentence of reason', () => {
    expect(judgeCandidate(measures({}))).toMatchObject({ passed: true, decidedBy: 'heldOut', reason: 'Held-out edits became likelier by 0.0100 nats/byte.' });
    expect(judgeCandidate(measures({ edits: edits(0) })).passed).toBe(true);
  });

  it('refuses a candidate that is worse than what serves, or may well be', () => {
    expect(judgeCandidate(measures({ edits: edits(-0.001) })).passed).toBe(false);
    const noisy = judgeCandidate(measures({ edits: edits(0.001, 0.02) }));
    expect(noisy.passed).toBe(false);
    expect(noisy.overServing?.lower).toBeLessThan(GATE.leastBound);
  });

  it('has no ratchet of small losses: base and best version are compared too', () => {
    expect(judgeCandidate(measures({ edits: edits(0).map((one, index) => edit(index % 10, 0, -0.03)) })).reason).toContain('base model');
    expect(judgeCandidate(measures({ edits: edits(0).map((one, index) => edit(index % 10, 0, 0.1, -0.03)) })).reason).toContain('best version');
  });

  it('is decided by the golden set alone under 30 edits in 8 blocks', () => {
    const few = Array.from({ length: 29 }, (_, index) => edit(index % 10, -1));
    expect(judgeCandidate(measures({ edits: few }))).toMatchObject({ passed: true, decidedBy: 'golden' });
    expect(heldOutDecides(Array.from({ length: 60 }, (_, index) => edit(index % 7, 0)))).toBe(false);
    expect(heldOutDecides(Array.from({ length: 30 }, (_, index) => edit(index % 8, 0)))).toBe(true);
  });

  it('bounds forgetting, drift and collapse on the golden set', () => {
    expect(judgeCandidate(measures({ golden: { ...golden, candidate: 0.91 } })).reason).toContain('forgotten');
    expect(judgeCandidate(measures({ golden: { ...golden, kl: 0.06 } })).reason).toContain('too far');
    expect(judgeCandidate(measures({ golden: { ...golden, entropyRatio: 0.3 } })).reason).toContain('certainty');
  });

  it('refuses broken, empty and repeating answers', () => {
    expect(judgeCandidate(measures({ canaries: [answer('fine; text', [1, 2, 3, 4, 5, 6])] })).passed).toBe(true);
    expect(judgeCandidate(measures({ canaries: [answer('\uFFFD\uFFFD', [1, 2, 3])] })).passed).toBe(false);
    expect(judgeCandidate(measures({ canaries: [answer('', [])] })).passed).toBe(false);
    expect(judgeCandidate(measures({ canaries: [answer('aaaaaaaa', Array<number>(24).fill(7))] })).reason).toContain('repeats');
  });

  it('refuses one that says a secret where the base does not', () => {
    expect(judgeCandidate(measures({ exposure: { openings: 8, raised: 1 } })).failures).toEqual([expect.stringContaining('looks like a secret after 1 of 8')]);
  });

  it('never guesses: an unknown number refuses', () => {
    for (const unknown of [{ candidate: NaN }, { kl: NaN }, { entropyRatio: NaN }]) expect(judgeCandidate(measures({ golden: { ...golden, ...unknown } })).passed).toBe(false);
    expect(judgeCandidate(measures({ edits: edits(NaN) })).passed).toBe(false);
  });

  it('counts blocks alike, however many edits they have', () => {
    const lopsided = [...Array.from({ length: 50 }, () => edit(0, 1)), edit(1, -1)];
    expect(gain(lopsided, (one) => one.candidate - one.serving)?.mean).toBeCloseTo(0);
  });
});

describe('the holdout', () => {
  it('holds out a fifth of the blocks, always the same ones', () => {
    const blocks = Array.from({ length: 4000 }, (_, index) => blockOf(`file:///p/${index % 40}.ts`, index * 1e6));
    const share = blocks.filter((block) => splitOf(block, 0.2) === 'holdout').length / blocks.length;
    expect(share).toBeGreaterThan(0.16);
    expect(share).toBeLessThan(0.24);
    expect(blocks.map((block) => splitOf(block, 0.2))).toEqual(blocks.map((block) => splitOf(block, 0.2)));
  });

  it('keeps half an hour of a file together', () => {
    expect(blockOf('file:///a', 0)).toBe(blockOf('file:///a', 29 * 60_000));
    expect(blockOf('file:///a', 0)).not.toBe(blockOf('file:///a', 31 * 60_000));
    expect(blockOf('file:///a', 0)).not.toBe(blockOf('file:///b', 0));
  });
});

it('the golden set is frozen: forty texts, each of its own path', () => {
  expect(GOLDEN_TEXTS).toHaveLength(40);
  expect(new Set(GOLDEN_TEXTS.map((item) => item.path)).size).toBe(40);
});
