import { describe, expect, it } from 'vitest';
import { generator } from '../../random.ts';
import { choose, keptShare, learnChoice, PRIOR, shareWritten } from './choice.ts';
import type { ChoiceModel, Proposal } from './choice.ts';

const model = (text: string, logprob = -0.5): Proposal => ({ source: 'model', text, features: [1, logprob, Math.exp(logprob), 1, 0] });
const recall = (text: string, match = 12): Proposal => ({ source: 'recall', text, features: [1, Math.log2(match), 0, 1, 0, 0] });

describe('the choice between proposals', () => {
  it('starts with sense: a long agreement beats an unsure model, a sure model a short agreement', () => {
    expect(choose([model('return foo(bar);', -1.5), recall('return baz(qux);', 60)], PRIOR)?.source).toBe('recall');
    expect(choose([model('return foo(bar);', -0.02), recall('return baz(qux);', 5)], PRIOR)?.source).toBe('model');
    expect(choose([model(''), recall('x = 1', 5)], PRIOR)?.source).toBe('recall');
    expect(choose([model('')], PRIOR)).toBeNull();
  });

  it('learns from the developer’s text what both were worth, also the one that was not shown', () => {
    const learned = (written: (own: Proposal, other: Proposal) => string): ChoiceModel => {
      let weights = PRIOR;
      for (let turn = 0; turn < 40; turn++) {
        const [own, other] = [model(`own${turn} = compute(${turn});`), recall(`other${turn} = compute(${turn});`)];
        weights = learnChoice(weights, [own, other], written(own, other));
      }
      return weights;
    };
    const pair = [model('alpha = compute(1);'), recall('omega = compute(1);')];
    expect(choose(pair, learned((own) => own.text))?.source).toBe('model');
    expect(choose(pair, learned((_, other) => other.text))?.source).toBe('recall');
  });

  it('becomes calibrated, and stays bounded whatever it is told', () => {
    const random = generator(11);
    let weights = PRIOR;
    for (let turn = 0; turn < 3000; turn++) weights = learnChoice(weights, [recall('value = compute(1);', 20)], random() < 0.3 ? 'value = compute(1);' : 'other');
    expect(keptShare(recall('value = compute(1);', 20), weights)).toBeGreaterThan(0.15);
    expect(keptShare(recall('value = compute(1);', 20), weights)).toBeLessThan(0.45);
    for (let turn = 0; turn < 3000; turn++) weights = learnChoice(weights, [recall('value = compute(1);', 20), model('v', -9)], 'nothing like it');
    for (const weight of Object.values(weights).flat()) expect(Math.abs(weight)).toBeLessThan(20);
  });

  it('counts what the developer would have taken: a whole line, or eight characters to a word’s end', () => {
    expect(shareWritten('}', '}\n')).toBe(1);
    expect(shareWritten('const total = sum(a);', 'const total = sum(b);')).toBeCloseTo(18 / 21);
    expect(shareWritten('const totalled', 'const totals')).toBe(0);
    expect(shareWritten('return 1', 'return 2')).toBe(0);
    expect(shareWritten('', 'x')).toBe(0);
  });
});
