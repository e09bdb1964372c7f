import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Seal, userSeal } from './seal.ts';

describe('a seal', () => {
  it('gives back any text, and no text twice the same', () => {
    const seal = new Seal();
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
        const sealed = seal.close(text);
        expect(seal.open(sealed)).toBe(text);
        expect(seal.close(text)).not.toBe(sealed);
        if (text.length > 4) expect(Buffer.from(sealed, 'base64').toString('latin1')).not.toContain(text);
      }),
    );
  });

  it('opens nothing of another key, nothing cut off, nothing changed', () => {
    const sealed = new Seal().close('password = hunter2');
    const seal = new Seal();
    expect(seal.open(sealed)).toBeUndefined();
    const own = seal.close('password = hunter2');
    for (let cut = 0; cut < own.length; cut += 4) expect(seal.open(own.slice(0, cut))).toBeUndefined();
    const bytes = Buffer.from(own, 'base64');
    bytes.forEach((_, at) => {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(seal.open(changed.toString('base64'))).toBeUndefined();
    });
    expect(seal.open('not base64 at all {}')).toBeUndefined();
  });

  it('is the same for all windows of a user, and a window’s own without a keychain', async () => {
    const stored = new Map<string, string>();
    const keychain = { get: (name: string) => Promise.resolve(stored.get(name)), store: (name: string, value: string) => Promise.resolve(void stored.set(name, value)) };
    const [one, other] = await Promise.all([userSeal(keychain, () => undefined), userSeal(keychain, () => undefined)]);
    const later = await userSeal(keychain, () => undefined);
    expect([later.open(one.close('a')), later.open(other.close('b'))]).toEqual(['a', 'b']);
    const said: string[] = [];
    const alone = await userSeal({ get: () => Promise.reject(new Error('locked')), store: () => Promise.resolve() }, (line) => said.push(line));
    expect(alone.open(alone.close('c'))).toBe('c');
    expect(said).toHaveLength(1);
  });
});
