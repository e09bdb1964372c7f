/** The addon in whole processes: how it is built, and how a process with a busy model ends. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { temporaryFolder } from './models.ts';

const ROOT = join(import.meta.dirname, '../..');
const ADDON = join(ROOT, 'dist/hindsight_cpu.node');
const SEED = join(ROOT, 'testdata/models/seed');

/** A program that loads the seed model with the bare addon, starts a long generation and does `then`. */
const program = (then: string) => `
  const holder = { exports: {} };
  process.dlopen(holder, ${JSON.stringify(ADDON)});
  holder.exports.load({ dir: ${JSON.stringify(SEED)}, threads: 2 }).then(({ handle }) => {
    const prompt = Int32Array.from({ length: 300 }, (_, i) => i);
    holder.exports.generate(handle, { id: 1, prompt, maxTokens: 600, temperature: 2, seed: 1 }).then(() => console.log('done'), () => undefined);
    ${then}
  });`;

test.each([
  ['process.exit', 'setTimeout(() => process.exit(7), 20);', 7, ''],
  ['an uncaught error', 'setTimeout(() => { throw new Error("x"); }, 20);', 1, ''],
  ['nothing: it waits for the answer, then ends by itself', '', 0, 'done\n'],
])('a process with a generation under way ends by %s', (_, then, status, output) => {
  const run = spawnSync(process.execPath, ['-e', program(then)], { encoding: 'utf8', timeout: 30_000 });
  expect([run.status, run.signal, run.stdout]).toEqual([status, null, output]);
});

test('a worker thread with a busy model can be terminated, again and again', async () => {
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(program(`require('node:worker_threads').parentPort.postMessage('busy');`), { eval: true });
    await new Promise((resolve) => worker.once('message', resolve));
    await new Promise((resolve) => setTimeout(resolve, 10 * i));
    expect(await worker.terminate()).toBe(1);
  }
});

test('without CMake or compiler the build says in one sentence what to install', () => {
  const run = spawnSync(process.execPath, [join(ROOT, 'native/build.mjs')], { encoding: 'utf8', env: { PATH: temporaryFolder() } });
  expect(run.status).toBe(1);
  expect(run.stderr).toMatch(/^hindsight: the native engine needs CMake and a C\+\+17 compiler: install it .*\.\n$/);
});
