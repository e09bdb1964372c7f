/** `hindsight model get`, the built program against a local hub: interrupted, resumed, refused. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bundledModel } from './bundled.ts';
import { inspectModel } from './inspect.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../dist/hindsight.js');
const REPOSITORY = 'owner/tiny';
const COMMIT = 'c'.repeat(40);
const WEIGHTS = 'model.safetensors';

/** The endpoints of a hub that a download needs, over the seed's files; every answer's range is kept. */
class LocalHub {
  readonly files = new Map<string, Buffer>(readdirSync(bundledModel()).map((name) => [name, readFileSync(path.join(bundledModel(), name))]));
  /** First byte of each request for the weights. */
  readonly starts: number[] = [];
  readonly asked = new Set<string>();
  /** Cuts the connection after this many bytes of the weights; taken from the front. */
  readonly cuts: number[] = [];
  /** What the hub says that the weights hash to, where it is not true. */
  saysHash: string | null = null;
  #server: Server | undefined;

  constructor() {
    // What nobody loads, and must not be fetched.
    this.files.set('pytorch_model.bin', Buffer.alloc(1000)).set('onnx', Buffer.alloc(10));
  }

  async open(): Promise<string> {
    this.#server = createServer((request, response) => this.#answer(request, response));
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://hub');
    const json = (value: unknown): void => void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (url.pathname === `/api/models/${REPOSITORY}/revision/main`) return json({ _id: '1', id: REPOSITORY, sha: COMMIT, private: false, gated: false, downloads: 0, likes: 0, lastModified: '2026-01-01T00:00:00Z' });
    if (url.pathname === `/api/models/${REPOSITORY}/tree/${COMMIT}`) return json([...this.files].map(([name, bytes]) => this.#entry(name, bytes)));
    const name = url.pathname.startsWith(`/${REPOSITORY}/resolve/${COMMIT}/`) ? path.basename(url.pathname) : '';
    const bytes = this.files.get(name);
    if (bytes === undefined) return void response.writeHead(404, { 'content-type': 'application/json', 'x-error-code': 'RepoNotFound' }).end('{"error":"Repository not found"}');
    this.#send(name, bytes, request.headers.range, response);
  }

  #entry(name: string, bytes: Buffer): object {
    const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
    if (name !== WEIGHTS) return { type: 'file', path: name, size: bytes.length, oid };
    return { type: 'file', path: name, size: bytes.length, oid: 'f'.repeat(40), lfs: { oid: this.saysHash ?? createHash('sha256').update(bytes).digest('hex'), size: bytes.length, pointerSize: 130 } };
  }

  #send(name: string, bytes: Buffer, range: string | undefined, response: ServerResponse): void {
    const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const body = bytes.subarray(Number(first), last === '' ? bytes.length : Number(last) + 1);
    response.writeHead(range === undefined ? 200 : 206, { etag: '"e"', 'content-length': body.length, ...(range === undefined ? {} : { 'content-range': `bytes ${first}-${Number(first) + body.length - 1}/${bytes.length}` }) });
    // The client asks for one byte to learn the size.
    const isProbe = body.length === 1;
    if (!isProbe) this.asked.add(name);
    if (name !== WEIGHTS || isProbe) return void response.end(body);
    this.starts.push(Number(first));
    const cut = this.cuts.shift();
    if (cut === undefined) return void response.end(body);
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 50));
  }
}

let home: string;
let hub: LocalHub;
let endpoint: string;
beforeEach(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'hindsight-get-'));
  hub = new LocalHub();
  endpoint = await hub.open();
});
afterEach(async () => {
  await hub.close();
  rmSync(home, { recursive: true });
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param whileRunning called again and again until it answers true; then the program is killed */
async function get(args: readonly string[], environment: Record<string, string> = {}, whileRunning?: () => boolean): Promise<Ended> {
  const child = spawn(process.execPath, [PROGRAM, 'model', 'get', ...args], { env: { ...process.env, HF_ENDPOINT: '', HF_TOKEN: '', HINDSIGHT_HOME: home, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const watching = setInterval(() => whileRunning?.() && child.kill('SIGKILL'), 20);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(watching);
  return { status, stdout, stderr };
}

function expectRefusal({ status, stdout, stderr }: Ended, sentence: RegExp): void {
  expect(stderr).toMatch(sentence);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stdout).toBe('');
  expect(status).toBe(1);
}

const size = statSync(path.join(bundledModel(), WEIGHTS)).size;
const partial = (): string | undefined => {
  const folder = path.join(home, 'models/.get-owner--tiny');
  return existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.part')) : undefined;
};
const partialBytes = (): number => statSync(path.join(home, 'models/.get-owner--tiny', partial() ?? ''), { throwIfNoEntry: false })?.size ?? 0;

describe('hindsight model get', () => {
  it('fetches the files that are loaded and no other, and what is there can be used', async () => {
    const { status, stdout, stderr } = await get([REPOSITORY, '--json', '-'], { HF_ENDPOINT: `${endpoint}/` });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'tiny', architecture: 'qwen3', parameters: 4_197_120 });
    expect([...hub.asked].sort()).toEqual(['README.md', 'config.json', WEIGHTS, 'tokenizer.json', 'tokenizer_config.json']);
    expect(readdirSync(path.join(home, 'models'))).toEqual(['tiny']);
    expect((await inspectModel(path.join(home, 'models/tiny'))).bytes).toBe(size);
    expectRefusal(await get([REPOSITORY, '--endpoint', endpoint]), /There is a model tiny already.*--name/);
  });

  it('goes on by itself where the connection was cut', async () => {
    hub.cuts.push(3_000_000, 2_000_000);
    expect((await get([REPOSITORY, '--endpoint', endpoint])).status).toBe(0);
    const [first, second, third] = hub.starts;
    expect(hub.starts).toHaveLength(3);
    expect(first).toBe(0);
    expect(second).toBeGreaterThan(0);
    expect(third).toBeGreaterThan(second ?? size);
    expect(readFileSync(path.join(home, 'models/tiny', WEIGHTS)).equals(hub.files.get(WEIGHTS) ?? Buffer.alloc(0))).toBe(true);
  });

  it('killed in the middle, it goes on in the next run with the bytes that are missing', async () => {
    hub.cuts.push(4_000_000, 0, 0, 0, 0);
    const killed = await get([REPOSITORY, '--endpoint', endpoint], {}, () => partialBytes() > 1_000_000);
    expect(killed.status).toBeNull();
    expect(existsSync(path.join(home, 'models/tiny'))).toBe(false);
    const kept = partialBytes();
    expect(kept).toBeGreaterThan(1_000_000);
    hub.cuts.splice(0);
    hub.starts.splice(0);
    hub.asked.clear();
    expect((await get([REPOSITORY, '--endpoint', endpoint])).status).toBe(0);
    expect(hub.starts).toEqual([kept]);
    expect([...hub.asked]).toEqual([WEIGHTS]);
  });

  it('keeps nothing whose hash is not the published one', async () => {
    hub.saysHash = 'a'.repeat(64);
    expectRefusal(await get([REPOSITORY, '--endpoint', endpoint]), /model\.safetensors of owner\/tiny did not arrive as it was published: its hash is [0-9a-f]{12} and not a{12}\..*--endpoint/);
    expect(existsSync(path.join(home, 'models/tiny'))).toBe(false);
    expect(partial()).toBeUndefined();
  });

  it('refuses before the weights are fetched, each time in one sentence', async () => {
    expectRefusal(await get(['tiny', '--endpoint', endpoint]), /OWNER\/NAME/);
    expectRefusal(await get(['owner/other', '--endpoint', endpoint]), /The list of files of owner\/other could not be downloaded: the hub has no main of it/);
    expectRefusal(await get([REPOSITORY, '--endpoint', 'hub.example.org']), /is not the address of a hub/);
    expectRefusal(await get([REPOSITORY, '--endpoint', 'http://127.0.0.1:1']), /could not be downloaded: .*Run the command again/);
    hub.files.set('config.json', Buffer.from('{"model_type": "mamba", "vocab_size": 1, "num_hidden_layers": 1, "max_position_embeddings": 1}'));
    expectRefusal(await get([REPOSITORY, '--endpoint', endpoint]), /its architecture is mamba/);
    expect(hub.starts).toEqual([]);
  });
});
