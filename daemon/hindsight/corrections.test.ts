import { describe, expect, it } from 'vitest';
import { writeMessages } from '../reward/classifier/corpus/messages/messages.ts';
import { plainCorrection } from './corrections.ts';

const ACTION = { request: 'Log the total.', reply: 'I added console.log(cart_total) to the checkout.', files: ['src/cart.ts'] };

describe('a message that plainly corrects', () => {
  it.each([
    'No, use log.at instead.', 'no - the other file', 'Not quite, it has to round down first', 'don\'t print it, return it', 'I meant the gross total', 'that should be in the tests folder',
    'please put the old name back', 'you dropped the license header', 'log.at instead of console.log in the checkout', 'Nein, bitte in der anderen Datei', '/code no, use log.at here',
  ])('%j', (text) => {
    expect(plainCorrection(ACTION, text)).toBe(text.replace('/code ', ''));
  });

  it('is none of the corpus’s other messages', () => {
    const taken = writeMessages(1, 20).filter(({ text }) => plainCorrection(ACTION, text) !== null);
    expect(taken.filter(({ label }) => label !== 'failed')).toEqual([]);
    expect(taken.length).toBeGreaterThan(50);
  });

  it('who asks for something new in place of something old corrects nothing', () => {
    expect(plainCorrection(ACTION, 'Use a Spinner instead of the inlined one in the installer')).toBeNull();
  });
});
