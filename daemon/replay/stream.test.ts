import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeStream, encodeStream, readStream } from './stream.ts';
import type { Stream } from './stream.ts';

const stream: Stream = {
  name: 's',
  origin: 'c2',
  commits: [
    { commit: 'c1', files: [{ path: 'a.ts', base: 'a\n', hunks: [{ line: 1, removed: 0, added: ['b\n'] }] }] },
    { commit: 'c2', files: [{ path: 'a.ts', hunks: [{ line: 1, removed: 1, added: ['c\n'] }] }] },
  ],
};

describe('a stream file', () => {
  it('round-trips', () => {
    expect(decodeStream(encodeStream(stream), 'f')).toEqual(stream);
  });

  it('is refused, with the reason, where it is damaged', async () => {
    const whole = encodeStream(stream);
    const lines = (...texts: object[]): Buffer => gzipSync(texts.map((text) => `${JSON.stringify(text)}\n`).join(''));
    const head = { format: 'hindsight-stream', version: 1, name: 's', origin: 'c2', commits: 1 };
    expect(() => decodeStream(whole.subarray(0, whole.length - 12), 'f')).toThrow(/not a whole gzip file/);
    expect(() => decodeStream(gzipSync('{}'), 'f')).toThrow(/not the header/);
    expect(() => decodeStream(lines(head), 'f')).toThrow(/0 of 1 commits/);
    expect(() => decodeStream(lines(head, { commit: 'c1' }), 'f')).toThrow(/line 2 is not a commit/);
    expect(() => decodeStream(lines(head, { commit: 'c1', files: [{ path: 'a.ts', hunks: [] }] }), 'f')).toThrow(/a\.ts: its text is missing/);
    expect(() => decodeStream(lines(head, { commit: 'c1', files: [{ path: 'a.ts', base: 'x\n', hunks: [{ line: 4, removed: 1, added: [] }] }] }), 'f')).toThrow(/outside the file/);
    await expect(readStream('/nowhere/s.gz')).rejects.toThrow(/no such file/);
  });
});
