import { describe, expect, it } from 'vitest';
import type { ConsentState } from '../../protocol/editor.ts';
import { Consent } from './consent.ts';

function windowOf(memory: { state: ConsentState; asked: boolean }, answer: 'granted' | 'refused' | undefined) {
  const told: ConsentState[] = [];
  let questions = 0;
  const consent = new Consent({
    remembered: () => memory.state,
    remember: (state) => Promise.resolve(void (memory.state = state)),
    wasAsked: () => memory.asked,
    setAsked: () => Promise.resolve(void (memory.asked = true)),
    ask: () => {
      questions += 1;
      return Promise.resolve(answer);
    },
    record: (state) => Promise.resolve(state),
    changed: (state) => Promise.resolve(void told.push(state)),
  });
  return { consent, told, questions: () => questions };
}

describe('consent', () => {
  it('is unknown until chosen, asked once per workspace, and remembered by the next window', async () => {
    const memory = { state: 'unknown' as ConsentState, asked: false };
    const first = windowOf(memory, undefined);
    await first.consent.start();
    await first.consent.confirm('unknown');
    await first.consent.askOnce();
    await first.consent.askOnce();
    expect([first.questions(), first.consent.state, first.told]).toEqual([1, 'unknown', []]);

    const second = windowOf(memory, 'granted');
    await second.consent.start();
    await second.consent.askOnce();
    expect(second.questions()).toBe(0);
    await second.consent.choose();
    expect(second.told).toEqual(['granted']);

    const third = windowOf(memory, undefined);
    await third.consent.start();
    expect(third.told).toEqual(['granted']);
  });

  it('the daemon’s word wins over what the window remembers', async () => {
    const { consent, told } = windowOf({ state: 'granted', asked: true }, undefined);
    await consent.start();
    await consent.confirm('refused');
    expect(told).toEqual(['granted', 'refused']);
  });
});
