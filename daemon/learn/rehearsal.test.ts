import { describe, expect, it } from 'vitest';
import type { Sample } from '../journal/records.ts';
import { generator } from '../random.ts';
import { drawRehearsed, LessonCache, skillSequence } from './rehearsal.ts';

function sample(id: number, route: Sample['route'] = 'distillation'): Sample {
  return { id, turn: `t${id}`, workspace: 'w', route, advantage: null, weight: 1, version: 0, state: 'consumed', reason: null, step: 1, createdAt: id };
}

describe('rehearsal', () => {
  it('draws every file alike often, however long a day one of them had', () => {
    const consumed = [...Array.from({ length: 95 }, (_, id) => ({ sample: sample(id), uri: 'long.ts' })), ...Array.from({ length: 5 }, (_, id) => ({ sample: sample(95 + id), uri: `short${id % 2}.ts` }))];
    const counts = { long: 0, short: 0 };
    for (let step = 0; step < 300; step++) for (const { id } of drawRehearsed(consumed, 4, generator(step))) counts[id < 95 ? 'long' : 'short']++;
    expect(counts.short / counts.long).toBeGreaterThan(1.2);
  });

  it('draws no sample twice, none of a policy gradient, and all there are where there are few', () => {
    const consumed = [1, 2, 3].map((id) => ({ sample: sample(id), uri: 'a.ts' }));
    const drawn = drawRehearsed([...consumed, { sample: sample(4, 'policyGradient'), uri: 'b.ts' }], 9, generator(1));
    expect(drawn.map(({ id }) => id).sort()).toEqual([1, 2, 3]);
  });

  it('keeps the developer’s text of a lesson and drops what was judged of an old answer', () => {
    const cache = new LessonCache();
    const splice = { positions: [2], tokens: [[3]], targets: [[1]] };
    cache.add(1, { ids: [1, 2, 3], temperature: 1, splice, pg: { positions: [1], advantages: [0.5] }, kl: { positions: [2] } });
    cache.add(2, { ids: [1, 2], temperature: 1, pg: { positions: [1], advantages: [0.5] } });
    expect(cache.get(1)).toEqual({ ids: [1, 2, 3], temperature: 1, splice });
    expect(cache.get(2)).toBeNull();
  });

  it('holds a text of the base’s own at every token but the first', () => {
    expect(skillSequence([5, 6, 7])).toEqual({ ids: [5, 6, 7], temperature: 1, kl: { positions: [1, 2] } });
  });
});
