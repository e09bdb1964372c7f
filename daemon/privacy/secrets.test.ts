import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mask, scrub, secretsIn } from './secrets.ts';
import { plantedSecrets } from '../../protocol/planted.fixture.ts';

describe('secrets in a text', () => {
  for (const { kind, text, secret } of plantedSecrets(7)) {
    it(`masks ${kind}, wherever it stands`, async () => {
      for (const whole of [text, `const before = 1;\n${text}\nconst after = 2;\n`, `// é ${text}\r\n`]) {
        const scrubbed = await scrub(whole);
        expect(scrubbed).not.toContain(secret);
        expect(scrubbed).toHaveLength(whole.length);
        expect(scrubbed.split('\n')).toHaveLength(whole.split('\n').length);
        expect(await scrub(scrubbed)).toBe(scrubbed);
      }
    });
  }

  it('leaves code alone that only talks about secrets', async () => {
    const code = [
      'const password = readPassword();',
      'if (token === null) throw new Error("token missing");',
      'export function apiKey(env: Env): string { return env.API_KEY; }',
      'type Token = "open" | "close";',
      'const secret = process.env["SECRET"];',
      'password: string;',
      'TOKEN=$(cat token.txt)',
      'import { secretsIn } from "./secrets.ts";',
      'https://example.org/path:8080/x@y',
      'const sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";',
    ].join('\n');
    expect(await secretsIn(code)).toEqual([]);
  });

  it('leaves nothing behind in the process, however often it looks', async () => {
    for (let at = 0; at < 50; at++) await secretsIn(`const identifierOfSomeLength${at} = anotherIdentifier();`);
    expect(performance.getEntries().filter(({ entryType }) => entryType === 'mark' || entryType === 'measure')).toEqual([]);
  });

  it('keeps length and line ends whatever is masked', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.nat(), (text, a, b) => {
        const [from = 0, to = 0] = [a % (text.length + 1), b % (text.length + 1)].sort((x, y) => x - y);
        const masked = mask(text, [{ from, to }]);
        expect(masked).toHaveLength(text.length);
        expect(masked.replace(/[^\r\n]/g, '')).toBe(text.replace(/[^\r\n]/g, ''));
        expect(masked.slice(0, from) + masked.slice(to)).toBe(text.slice(0, from) + text.slice(to));
      }),
    );
  });
});
