import { describe, expect, it } from 'vitest';
import { generator } from '../random.ts';
import { keptOf, observeKept, UNWATCHED, unwatch, watchVersion } from './monitor.ts';
import type { Alarm, MonitorState } from './monitor.ts';

/** A day: `usual` outcomes at rate `before`, a promotion, then outcomes at rate `after`. */
function day(seed: number, before: number, after: number, usual = 200, later = 100): { alarm: Alarm | null; outcomes: number } {
  const random = generator(seed);
  let state: MonitorState = UNWATCHED;
  for (let turn = 0; turn < usual; turn++) ({ state } = observeKept(state, null, random() < before ? 1 : 0));
  state = watchVersion(state, 1, null);
  for (let turn = 1; turn <= later; turn++) {
    const step = observeKept(state, 1, random() < after ? 1 : 0);
    if (step.alarm) return { alarm: step.alarm, outcomes: turn };
    state = step.state;
  }
  return { alarm: null, outcomes: later };
}

const SEEDS = Array.from({ length: 400 }, (_, seed) => seed + 1);

describe('the monitor of what serves', () => {
  it('raises a false alarm in at most 5 % of days, though it looks after every outcome', () => {
    for (const rate of [0.1, 0.3, 0.6]) expect(SEEDS.filter((seed) => day(seed, rate, rate).alarm !== null).length / SEEDS.length).toBeLessThanOrEqual(0.05);
    for (const rate of [0.1, 0.3]) expect(SEEDS.filter((seed) => day(seed, rate, rate * 1.5).alarm !== null).length).toBeLessThan(5);
  });

  it('sees a collapse within some tens of outcomes', () => {
    const days = SEEDS.map((seed) => day(seed, 0.3, 0.03));
    expect(days.filter(({ alarm }) => alarm !== null).length / days.length).toBeGreaterThan(0.95);
    expect(days.map(({ outcomes }) => outcomes).sort((a, b) => a - b)[200]).toBeLessThan(45);
    expect(days[0]?.alarm?.reason).toMatch(/^Less was kept of what it suggested: \d+ % over \d+ outcomes, where at least \d+ % is usual\.$/);
  });

  it('falls back to the last version that proved itself, not to one of those that came since', () => {
    let state: MonitorState = { recent: Array.from({ length: 60 }, () => 1), watch: null };
    state = watchVersion(state, 4, 3);
    state = watchVersion(state, 5, 4);
    let alarm: Alarm | null = null;
    for (let turn = 0; turn < 20 && alarm === null; turn++) ({ state, alarm } = observeKept(state, 5, 0));
    expect(alarm?.to).toBe(3);
    // Until it is done it is said again: a crash right after the alarm must not lose it.
    expect(observeKept(state, 5, 0).alarm?.to).toBe(3);
    expect(observeKept(unwatch(state), 5, 0).alarm).toBeNull();
  });

  it('watches nothing before it knows what is usual, after a hundred good outcomes, or once somebody chose by hand', () => {
    expect(watchVersion({ recent: [1, 0], watch: null }, 1, null).watch).toBeNull();
    let state = watchVersion({ recent: Array.from({ length: 60 }, (_, at) => at % 2), watch: null }, 1, null);
    expect(unwatch(state).watch).toBeNull();
    for (let turn = 0; turn < 100; turn++) ({ state } = observeKept(state, 1, turn % 2));
    expect(state.watch).toBeNull();
  });

  it('counts an answer from before the promotion as usual, whenever it closes', () => {
    let state = watchVersion({ recent: Array.from({ length: 60 }, (_, at) => at % 2), watch: null }, 2, 1);
    for (let turn = 0; turn < 50; turn++) ({ state } = observeKept(state, 1, 0));
    expect(state.watch?.outcomes).toBe(0);
  });

  it('takes what was kept from the text alone', () => {
    expect(keptOf('abcd', { outcome: 'accepted', acceptedChars: 4, survival: [[5, 1], [30, 0.5]] })).toBe(0.5);
    expect(keptOf('abcd', { outcome: 'partial', acceptedChars: 2, survival: [[30, null]] })).toBe(0.5);
    expect(keptOf('abcd', { outcome: 'diverged', acceptedChars: 0, survival: [] })).toBe(0);
    expect(keptOf('abcd', { outcome: 'abandoned', acceptedChars: 0, survival: [] })).toBeNull();
  });
});
