import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { z } from 'zod';
import { FrameSizes, streamLink } from './links.ts';
import { request } from './message.ts';
import { call, handle } from './transport.ts';

const LIMIT = 10_000;
const echo = request('echo', 'daemon→engine', 'Test.', z.object({ text: z.string(), answer: z.int() }), z.object({ text: z.string() }), { params: { text: '', answer: 0 }, result: { text: '' } });
const never = request('never', 'daemon→engine', 'Test.', z.object({}), z.object({}), { params: {}, result: {} });

interface Pair {
  client: MessageConnection;
  server: MessageConnection;
  up: PassThrough;
  down: PassThrough;
}
let open: Pair;
function pair(limits: { client?: number; server?: number } = {}): Pair {
  const [up, down] = [new PassThrough(), new PassThrough()];
  const client = streamLink(down, up, limits.client ?? LIMIT);
  const server = streamLink(up, down, limits.server ?? LIMIT);
  handle(server, echo, ({ answer }) => ({ text: 'x'.repeat(answer) }));
  handle(server, never, () => new Promise(() => undefined));
  for (const link of [client, server]) {
    link.onError(() => undefined);
    link.listen();
  }
  return (open = { client, server, up, down });
}
afterEach(() => {
  open.client.dispose();
  open.server.dispose();
});

describe('the size limit of a message', () => {
  it('is kept by the sender, whose request is answered at once; the link goes on', async () => {
    const { client } = pair();
    await expect(call(client, echo, { text: 'y'.repeat(LIMIT), answer: 1 })).rejects.toMatchObject({ errorName: 'messageTooLarge', details: { limit: LIMIT } });
    expect(await call(client, echo, { text: '', answer: 2 })).toEqual({ text: 'xx' });
  });

  it('holds for answers: the error goes out in their place', async () => {
    const { client } = pair();
    await expect(call(client, echo, { text: '', answer: LIMIT })).rejects.toMatchObject({ errorName: 'messageTooLarge' });
    expect(await call(client, echo, { text: '', answer: 3 })).toEqual({ text: 'xxx' });
  });

  it('is kept by the receiver, by the header alone: nothing of the body is taken, the link ends with the reason', async () => {
    const { client, up, down } = pair({ client: 2 ** 30 });
    let said = '';
    down.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const failed = expect(call(client, never, {})).rejects.toMatchObject({ errorName: 'linkClosed' });
    up.write(`Content-Length: ${2 ** 40}\r\n\r\n{`);
    await failed;
    expect(said).toContain('messageTooLarge');
  });

  it('counts frames and not chunks, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(300), fc.boolean()), { minLength: 1, maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (frames, cuts) => {
        const stream = Buffer.concat(frames.map(([size, typed]) => Buffer.from(`${typed ? 'Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n' : ''}Content-Length: ${size}\r\n\r\n${'\r\n\r\n'.padEnd(size, 'z').slice(0, size)}`)));
        const sizes = new FrameSizes(200);
        let refused = false;
        for (let at = 0, cut = 0; at < stream.length && !refused; cut++) {
          const step = cuts[cut % cuts.length] ?? 1;
          refused = sizes.pass(stream.subarray(at, at + step)) !== null;
          at += step;
        }
        expect(refused).toBe(frames.some(([size]) => size > 200));
      }),
    );
  });

  it('is not escaped by a header without an end, or without a length', () => {
    expect(new FrameSizes(10).pass(Buffer.alloc(5000, 'a'))).toMatchObject({ errorName: 'malformedMessage' });
    expect(new FrameSizes(10).pass(Buffer.from('Content-Type: x\r\n\r\n'))).toMatchObject({ errorName: 'malformedMessage' });
  });
});

describe('a link that closes without being disposed of', () => {
  it('fails its waiting calls at once, and later ones', async () => {
    const { client, down } = pair();
    const started = performance.now();
    const waiting = expect(call(client, never, {}, { deadline: 60 })).rejects.toMatchObject({ errorName: 'linkClosed', details: { what: 'never' } });
    setTimeout(() => down.destroy(), 20);
    await waiting;
    await expect(call(client, never, {}, { deadline: 60 })).rejects.toMatchObject({ errorName: 'linkClosed' });
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
