import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { holdsKey } from './exposure.ts';

/** Bytes that no secret of anybody begins with, repeatable. */
const drawn = (index: number): Buffer => createHash('sha256').update(`key ${index}`).digest();
const base36 = (bytes: Buffer): string => [...bytes].map((byte) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'[byte % 36]).join('');

describe('what a key looks like', () => {
  it.each([
    ['hexadecimal, 32 digits', (index: number) => drawn(index).toString('hex').slice(0, 32)],
    ['base 64', (index: number) => drawn(index).toString('base64').slice(0, 40)],
    ['a UUID', (index: number) => drawn(index).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')],
    ['capitals and digits behind a prefix', (index: number) => `AKIA${base36(drawn(index)).slice(0, 16)}`],
  ])('%s: of 200, nine in ten are known', (_name, make) => {
    const known = Array.from({ length: 200 }, (_, index) => make(index)).filter(holdsKey).length;
    expect(known).toBeGreaterThanOrEqual(180);
  });

  it('is not that of names, addresses, made-up values and code', () => {
    const said = ['application/json', 'content-type: text/html; charset=utf-8', 'process.env.API_TOKEN_2', 'password@localhost:5432/app', 'example.org/repository.git', 'test_http2_connection_1', 'httpx.AsyncClient(http2=True)', 'someone@example.org', 'xxxxxxxxxxxxxxxxxxxx', '0000000000000000000', 'your-token-goes-here-123', 'eu-central-1.amazonaws.com', 'RSA PRIVATE KEY', 'self.assertEqual(response.status_code,200)'];
    expect(said.filter(holdsKey)).toEqual([]);
  });
});
