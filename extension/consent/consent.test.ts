import { describe, expect, it } from 'vitest';
import type { ConsentChoice } from '../../protocol/editor.ts';
import { Consent, UNCHOSEN, type Answer } from './consent.ts';

const YES: ConsentChoice = { state: 'granted', classes: ['suggestions', 'edits'] };
const NO: ConsentChoice = { state: 'refused', classes: [] };

function windowOf(memory: { state: ConsentChoice; asked: boolean }, answer: ConsentChoice | undefined) {
  const told: ConsentChoice[] = [];
  let questions = 0;
  const consent = new Consent({
    remembered: () => memory.state,
    remember: (state) => Promise.resolve(void (memory.state = state)),
    wasAsked: () => memory.asked,
    setAsked: () => Promise.resolve(void (memory.asked = true)),
    ask: () => {
      questions += 1;
      return Promise.resolve(answer as Answer | undefined);
    },
    pick: () => Promise.resolve(answer as Answer | undefined),
    record: (said) => Promise.resolve({ classes: [], ...said }),
    changed: (choice) => Promise.resolve(void told.push(choice)),
  });
  return { consent, told, questions: () => questions };
}

describe('consent', () => {
  it('is unknown until chosen, asked once per workspace, and remembered by the next window', async () => {
    const memory = { state: UNCHOSEN, asked: false };
    const first = windowOf(memory, undefined);
    await first.consent.start();
    await first.consent.confirm(UNCHOSEN);
    await first.consent.askOnce();
    await first.consent.askOnce();
    expect([first.questions(), first.consent.choice, first.told]).toEqual([1, UNCHOSEN, []]);

    const second = windowOf(memory, YES);
    await second.consent.start();
    await second.consent.askOnce();
    expect(second.questions()).toBe(0);
    await second.consent.choose();
    expect(second.told).toEqual([YES]);

    const third = windowOf(memory, undefined);
    await third.consent.start();
    expect(third.told).toEqual([YES]);
  });

  it('the daemon’s word wins over what the window remembers', async () => {
    const { consent, told } = windowOf({ state: YES, asked: true }, undefined);
    await consent.start();
    await consent.confirm(NO);
    expect(told).toEqual([YES, NO]);
  });

  it('is told anew when only the classes change', async () => {
    const { consent, told } = windowOf({ state: YES, asked: true }, { state: 'granted', classes: ['suggestions'] });
    await consent.start();
    await consent.choose();
    await consent.choose();
    expect(told).toEqual([YES, { state: 'granted', classes: ['suggestions'] }]);
  });
});
