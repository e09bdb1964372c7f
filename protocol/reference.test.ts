import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { catalogue, HindsightError, toHindsightError } from './errors.ts';
import { agree } from './handshake.ts';
import { allMessages, protocolReference, protocolSchema } from './reference.ts';

describe('every message', () => {
  it.each(allMessages.map((m) => [m.method, m] as const))('%s: its example survives the wire and the check', (_, m) => {
    const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
    expect(m.params.parse(wire(m.example.params))).toEqual(m.example.params);
    if (m.kind === 'request') expect(m.result.parse(wire(m.example.result))).toEqual(m.example.result);
  });

  it.each(allMessages.map((m) => [m.method, m] as const))('%s: a wrong message is refused', (_, m) => {
    expect(m.params.safeParse('not an object').success).toBe(false);
    const required = m.params instanceof z.ZodObject ? Object.entries(m.params.shape).filter(([, field]) => !(field as z.ZodType).safeParse(undefined).success) : [];
    for (const [key] of required) {
      const without = { ...(m.example.params as Record<string, unknown>) };
      delete without[key];
      expect(m.params.safeParse(without).success, `without ${key}`).toBe(false);
    }
  });

  it('has a method of its own', () => {
    expect(new Set(allMessages.map((m) => m.method)).size).toBe(allMessages.length);
  });
});

describe('the generated reference', () => {
  // `npx vitest run protocol -u` rewrites both files after a deliberate change.
  it('is what the definitions say', async () => {
    await expect(JSON.stringify(protocolSchema(), null, 1) + '\n').toMatchFileSnapshot('generated/schema.json');
    await expect(protocolReference()).toMatchFileSnapshot('generated/reference.md');
  });
});

describe('errors', () => {
  it('have distinct names and a remedy each', () => {
    for (const { what, remedy } of catalogue()) expect(what.length * remedy.length).toBeGreaterThan(0);
  });

  it('cross the wire unchanged', () => {
    const error = new HindsightError('adapterMissing', { adapter: 'v7' });
    const received = toHindsightError({ code: error.code, message: error.message, data: { name: error.errorName, details: error.details } });
    expect(received).toEqual(error);
    expect(received.message).toBe('There is no adapter v7. See `hindsight adapters list`.');
  });
});

describe('the handshake', () => {
  const sides = { ours: 'the extension', theirs: 'the daemon' };
  it('takes the highest common version', () => {
    expect(agree({ min: 1, max: 3 }, { min: 2, max: 5 }, sides)).toBe(3);
  });
  it('says which side to update', () => {
    expect(() => agree({ min: 1, max: 1 }, { min: 2, max: 2 }, sides)).toThrow(/Update the extension/);
    expect(() => agree({ min: 2, max: 2 }, { min: 1, max: 1 }, sides)).toThrow(/Update the daemon/);
  });
});
