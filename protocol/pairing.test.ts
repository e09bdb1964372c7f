import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPairing, parsePairing } from './pairing.ts';

const hex = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 }).map((digits) => digits.join(''));
const pairing = fc.record({ host: fc.constantFrom('gpu-box', '10.0.0.7', 'fe80::1', 'a.example.org'), port: fc.integer({ min: 1, max: 65_535 }), token: fc.stringMatching(/^[\w-]{16,80}$/), certificate: hex });

describe('a pairing line', () => {
  it('says what it was made of, also with white space around it', () => {
    fc.assert(fc.property(pairing, (one) => {
      expect(parsePairing(`  ${formatPairing(one)}\n`)).toEqual(one);
    }));
  });

  it('that is cut off anywhere is refused, and its secret is not repeated', () => {
    fc.assert(
      fc.property(pairing, fc.double({ min: 0, max: 0.999, noNaN: true }), (one, share) => {
        const line = formatPairing(one);
        let thrown: unknown;
        try {
          parsePairing(line.slice(0, Math.floor(line.length * share)));
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toMatchObject({ errorName: 'pairingInvalid' });
        expect(String(thrown)).not.toContain(one.token);
      }),
    );
  });
});
