import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { impression, STUDENT, TEACHER } from './personas.ts';
import type { Persona } from './personas.ts';

const PROBLEM = { question: 'Ada buys 4 pencils at 3 crowns each and pays with 20 crowns. How much change does she get?', answer: 'The pencils cost 4 * 3 = 12 crowns.\nShe gets 20 - 12 = 8 crowns back.' };

const broken = (persona: Persona, reply: string): string[] => persona.rules.filter((rule) => !rule.holds(reply, PROBLEM)).map(({ name }) => name);

describe('the student', () => {
  it.each([
    ['She pays 12 crowns for the pencils, so she gets 8 crowns back.', []],
    ['Ada pays 4 * 3 = 12 crowns. 20 - 12 = 8, so she gets 8 back.', []],
    ['The pencils cost 12. Then 20 - 12 is 8, that is her change.', []],
    ['**Answer:** she gets 8 crowns back from the shop.', ['no markdown']],
    ['## Solution\nShe gets 8 crowns back from the shop.', ['no markdown']],
    ['She gets \\(20 - 12\\) crowns back, which is then 8.', ['no markdown']],
    ['She has to pay:\n1. 4 pencils for 3 crowns\n2. the change is 8 crowns', ['no lists']],
    ['She has to pay:\n- 12 crowns for pencils\n- and gets 8 back', ['no lists']],
    ['Step 1: she pays 12 crowns.\nStep 2: she gets 8 crowns back.', ['no lists']],
    ['Certainly! She gets 8 crowns back from the shop.', ['no set phrases']],
    ['Sure, she gets 8 crowns back from the shop.', ['no set phrases']],
    ['She is sure to get 8 crowns back from the shop.', []],
    ['She gets 8 crowns back. Let me know if you need more help!', ['no set phrases']],
    [`She gets 8 crowns back${', and one two three four five six seven eight nine ten'.repeat(8)}.`, ['an answer', 'short']],
    ['8', ['an answer']],
    ['She gets some crowns back from the shop.', ['an answer']],
    ['the the the the the the the the 8 the the the', ['an answer']],
    ['', ['an answer']],
  ])('finds in %j: %j', (reply, rules) => expect(broken(STUDENT, reply)).toEqual(rules));
});

describe('the teacher', () => {
  it.each([
    ['Well done! You worked out 4 * 3 = 12 first and then took the 12 from 20 to find the change.', []],
    ['Nice work with the pencils: the 12 crowns are right, and so are the 8 that come back to Ada.', []],
    ['Correct. You worked out what the pencils cost, 12, first and then took the 12 from 20 to find the change.', ['friendly']],
    ['Well done! I like how you wrote this down, it is easy to follow what you did and why.', ['specific']],
    ['Well done with the 12 and the 8!', ['long enough']],
    ['Certainly! Well done, you worked out what the pencils cost, 12, first and then took the 12 from 20.', ['no set phrases']],
    ['well well well well well well well well well well well well well well well 12 8', ['sensible', 'friendly']],
  ])('finds in %j: %j', (reply, rules) => expect(broken(TEACHER, reply)).toEqual(rules));
});

it('an impression is the share of rules that hold, and complains of exactly the others', () => {
  fc.assert(fc.property(fc.constantFrom(STUDENT, TEACHER), fc.string(), (persona, reply) => {
    const { score, satisfied, correction } = impression(persona, reply, PROBLEM);
    const missing = persona.rules.filter((rule) => !rule.holds(reply, PROBLEM));
    expect(score).toBeCloseTo(1 - missing.length / persona.rules.length);
    expect(satisfied).toBe(score === 1);
    expect(correction === null).toBe(satisfied);
    for (const rule of persona.rules) expect(correction?.includes(rule.wish) ?? false).toBe(missing.includes(rule));
  }));
});

it('adding markdown, a list or a set phrase never makes a reply better for the student', () => {
  fc.assert(fc.property(fc.string(), fc.constantFrom(' **so**', '\n- one', '\nCertainly, 8.'), (reply, tail) => {
    const style = (text: string): number => STUDENT.rules.slice(1, 4).filter((rule) => rule.holds(text, PROBLEM)).length;
    expect(style(reply + tail)).toBeLessThanOrEqual(style(reply));
  }));
});
