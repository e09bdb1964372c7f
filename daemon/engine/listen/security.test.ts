/**
 * A listening engine against strangers and bad tenants: everything is refused with an error of the
 * catalogue, the process lives on, and its memory is bounded. The real program, over real TLS.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import * as wire from '../../../protocol/engine.ts';
import { catalogue, toHindsightError } from '../../../protocol/errors.ts';
import { PROTOCOL } from '../../../protocol/handshake.ts';
import type { Pairing } from '../../../protocol/pairing.ts';
import { call } from '../../../protocol/transport.ts';
import { webSocketLink } from '../webSocket.ts';
import { connectPinned } from '../remote/connect.ts';
import { attachEngine } from '../remote/engine.ts';
import type { RemoteEngine } from '../remote/engine.ts';
import { startListening } from '../remote/listening.fixture.ts';
import type { ListeningEngine } from '../remote/listening.fixture.ts';

const FULL = process.env['HINDSIGHT_FULL'] === '1';
const FUZZED = FULL ? 100_000 : 4_000;
const CONNECTIONS = 1_000;
const MB = 2 ** 20;
const TARGETS = ['q_proj', 'v_proj'];
const never = new AbortController().signal;

let engine: ListeningEngine;
let scratch: string;
beforeAll(async () => {
  engine = await startListening();
  scratch = mkdtempSync(join(tmpdir(), 'hindsight-security-'));
});
afterAll(async () => {
  await engine.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const attach = (pairing: Pairing, client = 'test'): Promise<RemoteEngine> => attachEngine({ pairing, client, cache: join(scratch, 'tokenizers') });

/** Works as it did: whatever was thrown at the engine, an honest daemon is served. */
async function stillServes(pairing = engine.pairing): Promise<void> {
  expect(engine.alive()).toBe(true);
  const remote = await attach(pairing, 'honest');
  try {
    const { ids } = await remote.tokenize({ texts: ['const a'] });
    expect((await remote.generate({ prompt: ids[0] ?? [], sampling: { maxTokens: 4, temperature: 0 }, adapter: null })).ids.length).toBeGreaterThan(0);
  } finally {
    await remote.close();
  }
}

function rawTls(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: engine.pairing.host, port: engine.pairing.port, rejectUnauthorized: false }, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** What the engine says until it closes. */
function readAll(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
    socket.on('error', () => resolve(said));
    socket.on('close', () => resolve(said));
  });
}

describe('who is let in', () => {
  it('serves its pairing line over TLS 1.3 and nothing less', async () => {
    await stillServes();
    const old = connectTls({ host: engine.pairing.host, port: engine.pairing.port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
    await expect(new Promise((_, reject) => old.once('error', reject))).rejects.toThrow(/protocol version|alert/i);
  });

  it('a changed certificate is refused by the client with a clear sentence, before the token is sent', async () => {
    const sent: Buffer[] = [];
    const wrong = { ...engine.pairing, certificate: 'ab'.repeat(32) };
    // In between, to see what is sent at all: the token is in none of it, not even encrypted as a request.
    const proxy = createServer((socket) => {
      const up = connectTcp(engine.pairing.port, engine.pairing.host);
      socket.on('data', (chunk) => (sent.push(chunk), up.write(chunk)));
      up.pipe(socket);
      for (const one of [socket, up]) one.on('error', () => undefined).on('close', () => (socket.destroy(), up.destroy()));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as { port: number };
    await expect(attach({ ...wrong, host: '127.0.0.1', port })).rejects.toMatchObject({ errorName: 'certificateChanged', message: expect.stringContaining('another certificate') });
    // A TLS 1.3 client that only finishes its handshake: hello, change cipher spec, finished, an alert.
    expect(Buffer.concat(sent).length).toBeLessThan(1500);
    proxy.close();
  });

  it('another tenant’s adapters, files and numbers are not there', async () => {
    const [one, two] = [await attach(engine.pairing, 'same-client'), await attach(engine.token('other'), 'same-client')];
    await one.adapterCreate({ name: 'w/1', rank: 4, alpha: 8, targets: TARGETS, seed: 1 });
    const dir = join(scratch, 'w1');
    mkdirSync(dir);
    await one.adapterWrite({ name: 'w/1', dir });
    const prompt = (await one.tokenize({ texts: ['return'] })).ids[0] ?? [];
    const sampling = { maxTokens: 2, temperature: 0 };
    expect((await one.generate({ prompt, sampling, adapter: 'w/1' })).adapter).toBe('w/1');
    await expect(two.generate({ prompt, sampling, adapter: 'w/1' })).rejects.toMatchObject({ errorName: 'adapterMissing' });
    await expect(two.adapterDelete({ name: 'w/1' })).rejects.toMatchObject({ errorName: 'adapterMissing' });
    await expect(two.optimStep({ adapter: 'w/1', lr: 1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0, clipNorm: 1 })).rejects.toMatchObject({ errorName: 'adapterMissing' });
    expect((await two.metrics({})).adapters).toEqual([]);
    expect((await two.metrics({})).peakRssBytes).toBe(0);
    // The prefix that one has just computed is no faster for two: it would tell what one asked.
    expect((await one.generate({ prompt, sampling, adapter: null })).cachedTokens).toBeGreaterThanOrEqual(0);
    expect((await two.generate({ prompt, sampling, adapter: null })).cachedTokens).toBe(0);
    await one.adapterDelete({ name: 'w/1' });
    await Promise.all([one.close(), two.close()]);
  });

  it('a revoked token ends its links, and is refused afterwards', async () => {
    const pairing = engine.token('short');
    const remote = await attach(pairing);
    engine.hindsight('engine', 'tokens', 'revoke', 'short');
    await expect.poll(() => remote.down, { timeout: 10_000 }).toBe(true);
    await expect(attach(pairing)).rejects.toMatchObject({ errorName: 'tokenRefused' });
    await expect.poll(() => remote.reason, { timeout: 10_000 }).toMatch(/token/);
    await expect(remote.metrics({})).rejects.toMatchObject({ errorName: 'engineUnavailable' });
    await remote.close();
    expect(engine.hindsight('engine', 'tokens', 'list')).not.toContain('short');
  });
});

describe('names and files', () => {
  it('that are paths are refused', async () => {
    const remote = await attach(engine.pairing);
    const socket = await connectPinned(engine.pairing, never);
    const link = webSocketLink(socket, wire.REMOTE_MESSAGE_BYTES);
    link.listen();
    await call(link, wire.engineHello, { protocol: PROTOCOL, client: 'paths' });
    const ask = (method: string, params: object): Promise<unknown> => link.sendRequest(method, params).catch((thrown: unknown) => Promise.reject(toHindsightError(thrown)));
    for (const name of ['../../etc/passwd', '/etc/passwd', 'a/../b', '..', '.', 'a//b', 'a\\..\\b', 'a\0b', 'x'.repeat(300), 'C:/x', '.hidden']) {
      await expect(ask('adapter/create', { name, rank: 1, alpha: 1, targets: TARGETS, seed: 1 })).rejects.toMatchObject({ errorName: 'invalidParams' });
      await expect(ask('adapter/load', { name, files: {} })).rejects.toMatchObject({ errorName: 'invalidParams' });
      await expect(ask('file/open', { sha256: name, bytes: 1 })).rejects.toMatchObject({ errorName: 'invalidParams' });
      await expect(ask('file/read', { sha256: name, offset: 0 })).rejects.toMatchObject({ errorName: 'invalidParams' });
      await expect(ask('model/load', { dir: name })).rejects.toMatchObject({ errorName: 'modelMissing' });
    }
    await ask('model/load', { dir: 'seed' });
    await expect(ask('adapter/load', { name: 'a', dir: '/etc' })).rejects.toMatchObject({ errorName: 'unsupported' });
    await expect(ask('adapter/write', { name: 'a', dir: '/tmp' })).rejects.toMatchObject({ errorName: 'unsupported' });
    await expect(ask('adapter/load', { name: 'a', files: { '../x': 'ab'.repeat(32) } })).rejects.toMatchObject({ errorName: 'invalidParams' });
    await expect(ask('adapter/load', { name: 'a', files: { 'adapter_config.json': 'ab'.repeat(32) } })).rejects.toMatchObject({ errorName: 'adapterMissing' });
    await expect(ask('model/load', { dir: 'seed', threads: 64 })).rejects.toMatchObject({ errorName: 'unsupported' });
    link.dispose();
    socket.terminate();
    await remote.close();
  });

  it('whose bytes are not those of their hash, or too many, are refused', async () => {
    const socket = await connectPinned(engine.pairing, never);
    const link = webSocketLink(socket, wire.REMOTE_MESSAGE_BYTES);
    link.listen();
    await call(link, wire.engineHello, { protocol: PROTOCOL, client: 'liar' });
    const sha256 = 'cd'.repeat(32);
    await expect(call(link, wire.fileWrite, { sha256, offset: 0, data: 'AAAA' })).rejects.toMatchObject({ errorName: 'transferBroken' });
    expect(await call(link, wire.fileOpen, { sha256, bytes: 6 })).toEqual({ offset: 0 });
    await expect(call(link, wire.fileWrite, { sha256, offset: 3, data: 'AAAA' })).rejects.toMatchObject({ errorName: 'transferBroken' });
    expect(await call(link, wire.fileWrite, { sha256, offset: 0, data: 'AAAA' })).toEqual({ offset: 3 });
    await expect(call(link, wire.fileWrite, { sha256, offset: 3, data: 'AAAAAAAA' })).rejects.toMatchObject({ errorName: 'transferBroken' });
    await expect(call(link, wire.fileWrite, { sha256, offset: 3, data: 'AAAA' })).rejects.toMatchObject({ errorName: 'transferBroken', message: expect.stringContaining('hash') });
    await expect(call(link, wire.fileOpen, { sha256, bytes: 2 ** 50 })).rejects.toMatchObject({ errorName: 'quotaExceeded' });
    socket.terminate();
  });
});

describe('messages', () => {
  it('before a hello, and a hello that is said again, are refused', async () => {
    const socket = await connectPinned(engine.pairing, never);
    const link = webSocketLink(socket, wire.REMOTE_MESSAGE_BYTES);
    link.listen();
    await expect(call(link, wire.engineMetrics, {})).rejects.toMatchObject({ errorName: 'invalidParams', message: expect.stringContaining('hello') });
    const hello = { protocol: PROTOCOL, client: 'twice' };
    expect((await call(link, wire.engineHello, hello)).limits).toEqual({ messageBytes: wire.REMOTE_MESSAGE_BYTES, chunkBytes: wire.CHUNK_BYTES });
    await expect(call(link, wire.engineHello, hello)).rejects.toMatchObject({ errorName: 'handshakeRepeated' });
    link.dispose();
    socket.terminate();
  });

  it('of a recorded handshake, played again, open nothing', async () => {
    const recorded: Buffer[] = [];
    const proxy = createServer((socket) => {
      const up = connectTcp(engine.pairing.port, engine.pairing.host);
      socket.on('data', (chunk) => (recorded.push(chunk), up.write(chunk)));
      up.pipe(socket);
      for (const one of [socket, up]) one.on('error', () => undefined).on('close', () => (socket.destroy(), up.destroy()));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const remote = await attach({ ...engine.pairing, host: '127.0.0.1', port: (proxy.address() as { port: number }).port });
    await remote.close();
    proxy.close();
    const socket = connectTcp(engine.pairing.port, engine.pairing.host);
    const said = readAll(socket);
    for (const chunk of recorded) socket.write(chunk);
    // TLS 1.3 has a fresh key in every handshake: what was recorded does not decrypt.
    expect(await said).not.toContain('101 Switching');
    await stillServes();
  });

  it(`that are malformed (${FUZZED} of them, mutated and made up) are refused; the process is alive, its memory bounded`, async () => {
    const before = engine.rss();
    let [sent, refused, answered] = [0, 0, 0];
    const names = new Set<string>(catalogue().map(({ name }) => name));
    const strange = new Set<string>();
    const random = mulberry(Number(process.env['HINDSIGHT_SEED'] ?? 4));
    const pairing = engine.token('fuzzer');
    const hello = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'hello', params: { protocol: PROTOCOL, client: 'fuzz' } });
    while (sent < FUZZED) {
      const socket = await connectPinned(pairing, never);
      socket.on('message', (data: Buffer) => {
        const answer = JSON.parse(data.toString()) as { error?: { data?: { name?: string }; code?: number }; result?: unknown };
        if (answer.error === undefined) answered++;
        else {
          refused++;
          const name = answer.error.data?.name ?? JSON.stringify(answer.error);
          if (!names.has(name)) strange.add(name);
        }
      });
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.send(hello);
      for (let i = 0; i < 500 && sent < FUZZED && socket.readyState === socket.OPEN; i++) {
        sent++;
        socket.send(fuzzed(random), { binary: random() < 0.0005 });
        // All of it was looked at before more comes.
        if (i % 20 === 19) await echoed(socket);
      }
      await echoed(socket);
      socket.terminate();
      await closed;
    }
    expect([...strange]).toEqual([]);
    expect(refused).toBeGreaterThan(FUZZED / 2);
    expect(answered).toBeGreaterThan(0);
    expect(engine.rss() - before).toBeLessThan(400 * MB);
    await stillServes();
  }, FULL ? 1_800_000 : 60_000);

  it('that are too large are refused, and cost no memory', async () => {
    const before = engine.rss();
    const socket = await connectPinned(engine.pairing, never);
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    socket.send('x'.repeat(wire.REMOTE_MESSAGE_BYTES + 1));
    // 1009: message too big.
    expect(await closed).toBe(1009);
    const link = webSocketLink(await connectPinned(engine.pairing, never), wire.REMOTE_MESSAGE_BYTES);
    link.listen();
    await expect(call(link, wire.tokenize, { texts: ['x'.repeat(wire.REMOTE_MESSAGE_BYTES)] })).rejects.toMatchObject({ errorName: 'messageTooLarge' });
    link.dispose();
    expect(engine.rss() - before).toBeLessThan(100 * MB);
  });

  it('that a tenant piles up are refused over its limit, and its own link goes on', async () => {
    const remote = await attach(engine.token('greedy'));
    const prompt = (await remote.tokenize({ texts: ['for (let i = 0;'] })).ids[0] ?? [];
    const requests = await Promise.allSettled(Array.from({ length: 200 }, () => remote.generate({ prompt, sampling: { maxTokens: 40, temperature: 0 }, adapter: null })));
    const errors = requests.flatMap((one) => (one.status === 'rejected' ? [toHindsightError(one.reason).errorName] : []));
    expect(new Set(errors)).toEqual(new Set(['engineBusy']));
    expect(requests.length - errors.length).toBeGreaterThanOrEqual(64);
    await remote.close();
  });
});

describe('connections', () => {
  it('that dribble their request (slow-loris) are ended with an answer, in time', async () => {
    const started = performance.now();
    const sockets = await Promise.all(Array.from({ length: 20 }, rawTls));
    const said = sockets.map(readAll);
    for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
    const dribble = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('X-A: b\r\n')), 500);
    // One that has shown its token, and then says nothing.
    const silent = await connectPinned(engine.pairing, never);
    const reason = new Promise<string>((resolve) => silent.once('message', (data: Buffer) => resolve(data.toString())));
    for (const answer of await Promise.all(said)) expect(answer).toContain('malformedMessage');
    expect(await reason).toContain('deadline');
    clearInterval(dribble);
    expect(performance.now() - started).toBeLessThan(25_000);
    silent.terminate();
  });

  it(`${CONNECTIONS} at once neither end the process nor fill its memory; later ones are served`, async () => {
    const before = engine.rss();
    const outcomes = await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        try {
          return await connectPinned(engine.pairing, never);
        } catch (thrown) {
          return toHindsightError(thrown).errorName;
        }
      }),
    );
    const open = outcomes.filter((one): one is WebSocket => typeof one !== 'string');
    const errors = new Set(outcomes.filter((one) => typeof one === 'string'));
    expect(open.length).toBeLessThanOrEqual(16);
    expect([...errors].filter((name) => !['engineBusy', 'engineUnreachable'].includes(name))).toEqual([]);
    expect(errors).toContain('engineBusy');
    expect(engine.rss() - before).toBeLessThan(300 * MB);
    for (const socket of open) socket.terminate();
    await expect.poll(() => stillServes().then(() => true, () => false), { timeout: 20_000 }).toBe(true);
  });

  it('without a token, with a wrong one, or with too many of those are refused', async () => {
    const wrong = { ...engine.pairing, token: `hs_${'x'.repeat(43)}` };
    const raw = await rawTls();
    const said = readAll(raw);
    raw.write('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
    expect(await said).toMatch(/^HTTP\/1\.1 401[\s\S]*tokenRefused/);
    const names: string[] = [];
    for (let attempt = 0; attempt < 12; attempt++) names.push(await attach(wrong).then(() => 'let in', (thrown: unknown) => toHindsightError(thrown).errorName));
    expect(names[0]).toBe('tokenRefused');
    expect(names.at(-1)).toBe('tooManyAttempts');
    expect(names).not.toContain('let in');
    expect(engine.alive()).toBe(true);
  });
});

let echoes = 0;
/** Resolves when everything sent before was looked at, or the link is gone. */
async function echoed(socket: WebSocket): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  const id = `echo-${++echoes}`;
  await new Promise<void>((resolve) => {
    const done = (): void => (socket.off('message', look), socket.off('close', done), resolve());
    const look = (data: Buffer): void => (data.includes(id) ? done() : undefined);
    socket.on('message', look).once('close', done);
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'echo' }));
    setTimeout(done, 5000).unref();
  });
}

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A valid message with its parts exchanged or its bytes changed, or none at all. */
function fuzzed(random: () => number): string {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const message = pick(wire.engineMessages);
  const junk: unknown[] = [null, -1, 1e308, '', '\u0000', 'x'.repeat(2000), [], {}, [[[[]]]], true, { __proto__: 1, constructor: {} }, NaN, '../..', 2 ** 53];
  const params: Record<string, unknown> = { ...(message.example.params as Record<string, unknown>) };
  for (const key of Object.keys(params)) if (random() < 0.5) params[key] = pick(junk);
  if (random() < 0.1) params[pick(['__proto__', 'constructor', 'once', 'x'])] = pick(junk);
  // What is valid and would take long is not what is tested here.
  const method = random() < 0.1 ? pick(['nothing', '$/cancelRequest', '$/setTrace', '$/progress', '', 'toString', '$/cancelRequest', 'rpc.discover', '__proto__']) : message.method;
  const text = JSON.stringify({ jsonrpc: random() < 0.999 ? '2.0' : pick(['1.0', 2]), ...(random() < 0.02 ? {} : { id: random() < 0.05 ? pick([1, 2, 'a', '']) : random() * 1e9 }), method, params: random() < 0.1 ? pick(junk) : params });
  if (random() > 0.002) return text;
  const at = Math.floor(random() * text.length);
  return random() < 0.5 ? text.slice(0, at) : text.slice(0, at) + pick(['}', '"', '\u0000', '[', ',']) + text.slice(at + 1);
}
