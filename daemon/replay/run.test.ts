import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type * as client from '../engine/client.ts';
import type { Engine } from '../engine/engine.ts';
import { DEFAULT_SETTINGS, METHODS } from '../learn/settings.ts';
import { Journal } from '../journal/journal.ts';
import { bundledModel } from '../models/bundled.ts';
import { ReplayEditor } from './editor.ts';
import { streamOfJournal } from './journalStream.ts';
import { RunStore } from './keep.ts';
import { resultOf } from './result.ts';
import type { RunRecord } from './result.ts';
import { replay } from './runs.ts';
import type { ReplayOptions } from './runs.ts';
import type { Stream, StreamCommit } from './stream.ts';
import { trains, variantOf } from './variants.ts';

/** Token ids of everything that the real engine was asked to read, told before it is asked. */
let onRead: ((ids: readonly number[], engine: Engine) => Promise<void>) | null = null;

vi.mock('../engine/client.ts', async (original) => {
  const real = await original<typeof client>();
  return { ...real, startEngine: async (...options: Parameters<typeof real.startEngine>) => tapped(await real.startEngine(...options)) };
});

/** The same engine; what it reads is shown to `onRead` first. */
function tapped(engine: client.EngineClient): client.EngineClient {
  const { generate, score, forwardBackward } = engine;
  const tap = <P, O, R>(call: (params: P, options?: O) => Promise<R>, idsOf: (params: P) => readonly (readonly number[])[]) => async (params: P, options?: O): Promise<R> => {
    for (const ids of idsOf(params)) await onRead?.(ids, engine);
    return call(params, options);
  };
  return Object.assign(engine, {
    generate: tap(generate, ({ prompt }) => [prompt]),
    score: tap(score, ({ sequences }) => sequences.map(({ ids }) => ids)),
    forwardBackward: tap(forwardBackward, ({ sequences }) => sequences.map(({ ids }) => ids)),
  });
}

/** A word that no model guesses. */
const marker = (n: number): string => `mk${createHash('sha256').update(`marker ${n}`).digest('hex').slice(0, 10)}`;
const MARKER = /mk[0-9a-f]{10}/g;

/** Two files that grow from commit to commit; every added line has a marker of its own. */
function markedStream(commits: number): Stream {
  let next = 0;
  const line = (): string => `  await call(${marker(next++)}, "value");\n`;
  const lines = (count: number): string[] => Array.from({ length: count }, line);
  return {
    name: 'marked',
    origin: 'o',
    commits: Array.from({ length: commits }, (_, n) => ({
      commit: `commit-${n}`,
      files: ['src/a.ts', 'src/b.ts'].map((path) => ({
        path,
        ...(n === 0 ? { base: 'export async function run(call: Call) {\n  await call("first", "value");\n}\n\nexport async function more(call: Call) {\n}\n' } : {}),
        // The second hunk stands below the first: its lines come later, and are in nobody's suffix yet.
        hunks: [{ line: 2, removed: 0, added: lines(2) }, { line: 7 + 2 * n, removed: 0, added: lines(1) }],
      })),
    })),
  };
}

const settings = { ...DEFAULT_SETTINGS, stepSamples: 6, quietSamples: 3, lr: 1e-3, holdoutShare: 0.4 };
const variantsOf = (...labels: string[]): ReplayOptions['variants'] => labels.map((label) => variantOf(label, settings));
const options = (commits: number, more: Partial<ReplayOptions>): ReplayOptions => ({
  stream: markedStream(commits), modelDir: bundledModel(), variants: [], seeds: 1, maxLines: 4, unrelated: ['const a = 1;\nexport { a };\n'], store: null, ...more,
});
/** What the figures are made of; everything that is not a clock's. */
const resultFrom = (variants: ReplayOptions['variants'], runs: readonly RunRecord[]): string =>
  JSON.stringify(resultOf(runs, { variants, learner: 'combined', stream: 's', origin: 'o', model: 'm', commit: null, settings, maxLines: 4, machine: {}, poison: null, outcomeToServed: null }));

const FULL = process.env['HINDSIGHT_FULL'] === '1';
const folders: string[] = [];

afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function storeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hindsight-kept-'));
  folders.push(folder);
  return folder;
}

beforeEach(() => {
  onRead = null;
  vi.restoreAllMocks();
});

describe('a replay', () => {
  // Every method has its own way from what was typed to what the model reads: prompts, retrieved
  // snippets, teachers' hints, training sequences, held-out edits.
  it.each(FULL ? Object.keys(METHODS) : ['recall+combined', 'sft'])('shows nothing to the model before it was typed: %s', async (method) => {
    const typed = new Set<string>();
    const change = ReplayEditor.prototype.change;
    vi.spyOn(ReplayEditor.prototype, 'change').mockImplementation(async function (this: ReplayEditor, uri, event) {
      await change.call(this, uri, event);
      for (const [word] of this.text(uri).matchAll(MARKER)) typed.add(word);
    });
    const [read, leaked] = [new Set<string>(), new Set<string>()];
    onRead = async (ids, engine) => {
      const { text } = await engine.detokenize({ ids: [...ids] });
      for (const [word] of text.matchAll(MARKER)) (typed.has(word) ? read : leaked).add(word);
    };
    // A model makes up markers of its own; one that is typed later was known too early.
    const foretold = new Set<string>();
    const suggest = ReplayEditor.prototype.suggest;
    vi.spyOn(ReplayEditor.prototype, 'suggest').mockImplementation(async function (this: ReplayEditor, uri, offset) {
      const suggestion = await suggest.call(this, uri, offset);
      for (const [word] of suggestion?.text.matchAll(MARKER) ?? []) if (!typed.has(word)) foretold.add(word);
      return suggestion;
    });
    const variants = variantsOf(method);
    const [run] = await replay(options(5, { variants }));
    expect([...leaked, ...[...foretold].filter((word) => typed.has(word))]).toEqual([]);
    // The test could see a leak: the markers were read once they were typed, and something was learned.
    expect(read.size).toBeGreaterThan(15);
    expect(typed.size).toBe(30);
    expect(run?.decisions.length !== 0).toBe(variants.some(trains));
  }, 240_000);

  it('gives the same result whatever runs beside it and with how many threads, and measures every method at the same places', async () => {
    const variants = variantsOf('frozen', 'combined');
    const twice = [await replay(options(3, { variants, jobs: 2, threads: 1 })), await replay(options(3, { variants, jobs: 1, threads: 2 }))];
    const results = twice.map((runs) => resultFrom(variants, runs));
    expect(results[0]).toBe(results[1]);
    expect(twice[0]).toEqual(twice[1]);
    const [frozen, combined] = twice[0] ?? [];
    const places = (run: RunRecord | undefined): unknown => run?.commits.map((commit) => [commit.commit, commit.tally.bytes, commit.lines.map((line) => line.text)]);
    expect(places(frozen)).toEqual(places(combined));
    // Nothing was learned before the first commit's end, so both methods are alike there to the last digit.
    expect(frozen?.commits[0]?.tally).toEqual(combined?.commits[0]?.tally);
    expect(combined?.decisions.length).toBeGreaterThan(0);
    expect(combined?.commits.at(-1)?.tally.nats).not.toBe(frozen?.commits.at(-1)?.tally.nats);
  }, 240_000);

  it('goes on where it was stopped: finished runs are kept, the others are made, and the result is the same', async () => {
    const dir = storeFolder();
    const variants = variantsOf('frozen', 'memory', 'combined');
    const whole = await replay(options(2, { variants }));
    const made: string[] = [];
    const stopped = replay(options(2, {
      variants, store: new RunStore(dir), jobs: 1,
      onProgress: (done, _of, what) => {
        made.push(what);
        if (done === 3) throw new Error('the lights went out');
      },
    }));
    await expect(stopped).rejects.toThrow('the lights went out');
    expect(readdirSync(dir)).toHaveLength(1);
    made.length = 0;
    const resumed = await replay(options(2, { variants, store: new RunStore(dir), jobs: 1, onProgress: (_done, of, what) => made.push(`${of} ${what}`) }));
    expect(made.every((what) => what.startsWith('4 ') && !what.includes('frozen') && what.includes('1 of 3 runs were there'))).toBe(true);
    expect(resultFrom(variants, resumed)).toBe(resultFrom(variants, whole));
    // Another name for the same settings is the same run; a file that was cut off is not a run.
    const [file = ''] = readdirSync(dir);
    truncateSync(join(dir, file), readFileSync(join(dir, file)).length - 9);
    const again: string[] = [];
    const aliases = [...variants, variantOf('combined:lr=0.001', settings)];
    expect(await replay(options(2, { variants: aliases, store: new RunStore(dir), jobs: 1, onProgress: (_done, _of, what) => again.push(what) }))).toEqual([...whole, { ...whole.at(-1), method: 'combined:lr=0.001' }]);
    expect(again).toHaveLength(2);
  }, 240_000);

  it('can be made of a journal: the same lines again, with nothing in sight that was written later', async () => {
    const made: Stream[] = [];
    const close = Journal.prototype.close;
    vi.spyOn(Journal.prototype, 'close').mockImplementation(function (this: Journal) {
      made.push(streamOfJournal(this, 'home'));
      close.call(this);
    });
    await replay(options(4, { variants: variantsOf('frozen') }));
    vi.restoreAllMocks();
    const [stream] = made;
    if (!stream) throw new Error('no journal was closed');
    expect(stream.commits.length).toBeGreaterThan(2);
    const added = (commit: StreamCommit): string[] => commit.files.flatMap((file) => file.hunks.flatMap((hunk) => hunk.added.join('').match(MARKER) ?? []));
    stream.commits.forEach((commit, at) => {
      const later = new Set(stream.commits.slice(at + 1).flatMap(added));
      for (const file of commit.files) {
        const own = new Set(added({ ...commit, files: [file] }));
        expect((file.base?.match(MARKER) ?? []).filter((word) => later.has(word) || own.has(word))).toEqual([]);
      }
    });
    const [run] = await replay(options(4, { stream, variants: variantsOf('combined') }));
    expect(run?.commits.length).toBe(stream.commits.length);
    expect(run?.decisions.length).toBeGreaterThan(0);
  }, 240_000);
});
