import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type * as client from '../engine/client.ts';
import type { Engine } from '../engine/engine.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { ReplayEditor } from './editor.ts';
import { resultOf } from './result.ts';
import { replay } from './run.ts';
import type { ReplayOptions } from './run.ts';
import type { Stream } from './stream.ts';

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
const options = (commits: number, more: Partial<ReplayOptions>): ReplayOptions => ({
  stream: markedStream(commits), modelDir: bundledModel(), methods: ['frozen'], seeds: 1, settings, maxLines: 4, unrelated: ['const a = 1;\nexport { a };\n'], ...more,
});

beforeEach(() => {
  onRead = null;
  vi.restoreAllMocks();
});

describe('a replay', () => {
  it('shows nothing to the model before it was typed: prompt, suffix, other files, memory, hints, gate', async () => {
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
    const [run] = await replay(options(5, { methods: ['memory+combined'] }));
    expect([...leaked]).toEqual([]);
    // The test could see a leak: the markers were read once they were typed, and something was learned.
    expect(read.size).toBeGreaterThan(15);
    expect(typed.size).toBe(30);
    expect(run?.decisions.length).toBeGreaterThan(0);
  }, 240_000);

  it('gives the same result for the same seed, and measures every method at the same places', async () => {
    const methods = ['frozen', 'combined'] as const;
    const twice = [await replay(options(3, { methods })), await replay(options(3, { methods }))];
    const results = twice.map((runs) => JSON.stringify(resultOf(runs, { stream: 's', origin: 'o', model: 'm', commit: null, settings, maxLines: 4, machine: {}, secondsOutcomeToServed: null })));
    expect(results[0]).toBe(results[1]);
    expect(twice[0]).toEqual(twice[1]);
    const [frozen, combined] = twice[0] ?? [];
    const places = (run: typeof frozen): unknown => run?.commits.map((commit) => [commit.commit, commit.tally.bytes, commit.lines.map((line) => line.text)]);
    expect(places(frozen)).toEqual(places(combined));
    // Nothing was learned before the first commit's end, so both methods are alike there to the last digit.
    expect(frozen?.commits[0]?.tally).toEqual(combined?.commits[0]?.tally);
    expect(combined?.decisions.length).toBeGreaterThan(0);
    expect(combined?.commits.at(-1)?.tally.nats).not.toBe(frozen?.commits.at(-1)?.tally.nats);
  }, 240_000);
});
