import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { remarks } from './benchmark.ts';
import { niceTicks } from './chart.ts';
import { htmlReport } from './report.ts';
import { resultOf } from './result.ts';
import type { RunRecord } from './result.ts';
import { generator } from '../random.ts';
import { NO_TALLY } from './statistics.ts';
import { variantOf } from './variants.ts';

const COMMITS = 40;

/** Runs whose log-likelihood rises by `gain` nats per byte over the history. */
function run(method: string, seed: number, gain: number): RunRecord {
  const random = generator(5);
  const noise = generator(seed * 31 + method.length);
  return {
    method,
    seed,
    commits: Array.from({ length: COMMITS }, (_, n) => {
      const bytes = 200 + Math.floor(random() * 200);
      const nats = -bytes * (1.1 + 0.3 * random()) + bytes * (gain * (n / COMMITS) + 0.02 * gain * (noise() - 0.5));
      const chars = bytes - 20;
      return {
        commit: `c${n}`,
        tally: { ...NO_TALLY, lines: 8, chars, shown: 20, accepted: 2, acceptedChars: 20 + Math.round(100 * gain), exactLines: 1, nats, bytes },
        lines: [{ path: 'src/a.ts', text: 'if (a < b && c) {', suggestion: null, nats: -20 - (n % 3 ? 0 : gain * 30), bytes: 17 }],
        steps: 1,
        promoted: 1,
        serving: n + 1,
      };
    }),
    forgettingPct: gain * 4,
    adapterVersions: method === 'frozen' ? 0 : 3,
    decisions: method === 'frozen' ? [] : [{ version: 1, after: 4, state: 'serving', samples: 16, reason: 'Held-out edits became likelier by 0.031 nats/byte.' }],
    lessons: [{ commit: 'c3', path: 'src/<b>.ts', context: 'function f() {\n  const x = 1;', suggestion: 'return <T>y;', written: 'return x & 1;', hint: '  const x = 1;\n  return x & 1;', bytes: 13, natsBefore: -18, natsAfter: -11 }],
  };
}

const runs = [run('frozen', 1, 0), ...[1, 2].flatMap((seed) => [run('sft', seed, 0.04), run('combined', seed, 0.12), run('binary', seed, -0.03), run('memory', seed, 0.001)])];
const LATENCY = { total: 12.34, waiting: 8, training: 3, gateAndNextRequest: 1 };
const variants = ['frozen', 'sft', 'combined', 'binary', 'memory'].map((label) => variantOf(label, DEFAULT_SETTINGS));
const result = resultOf(runs, {
  variants, learner: 'combined',
   stream: 'a & b', origin: 'f00', model: 'seed', commit: null, settings: DEFAULT_SETTINGS, maxLines: 12, machine: { cpu: 'x', cores: 2 }, poison: null, outcomeToServed: LATENCY,
});

describe('the result', () => {
  it('has the agreed shape, of the last 30 % of the commits', () => {
    expect(result).toMatchObject({ stream: 'a & b', model: 'seed', seeds: 2, commits: 40, compared: 12, secondsOutcomeToServed: 12.34, commit: null });
    expect(Object.keys(result.methods)).toEqual(['frozen', 'sft', 'combined', 'binary', 'memory']);
    expect(result.methods.combined?.delta.nextEditLogLikPerByte).toMatchObject({ versus: 'frozen' });
    expect(result.methods.frozen?.delta).toEqual({});
  });

  it('tells better, worse and neither apart', () => {
    expect(result.methods.combined?.delta.nextEditLogLikPerByte?.lo).toBeGreaterThan(0.09);
    expect(result.methods.binary?.delta.nextEditLogLikPerByte?.hi).toBeLessThan(0);
    // Two seeds against one of frozen: what is equal stays equal.
    expect(result.methods.memory?.delta.shown?.mean).toBe(0);
  });

  it('is the same for the same runs', () => {
    expect(JSON.stringify(resultOf(runs, { ...result, variants, settings: DEFAULT_SETTINGS, maxLines: 12, outcomeToServed: LATENCY }).methods)).toBe(JSON.stringify(result.methods));
  });
});

describe('the report', () => {
  const html = htmlReport(result);
  if (process.env['HINDSIGHT_REPORT']) writeFileSync(process.env['HINDSIGHT_REPORT'], html);

  it('stands alone: no script, nothing fetched', () => {
    expect(html).not.toMatch(/<script|src=|href=|url\(|@import/);
  });

  it('escapes what it quotes', () => {
    expect(html).toContain('return &lt;T&gt;y;');
    expect(html).toContain('a &amp; b');
    expect(html).not.toContain('<b>.ts');
  });

  it('shows every method with its interval, and what got worse', () => {
    for (const name of Object.keys(result.methods)) expect(html).toContain(`<th scope="row">${name}</th>`);
    expect(html).toContain('binary: likelihood of the next edit');
    expect(html).not.toContain('NaN');
  });
});

it('a poisoned stream is told by what the gate let pass, a planted preference by its curves', () => {
  const shares = (wanted: number) => ({ wanted, unwanted: 0, margin: 1 });
  const probed = runs.map((one): RunRecord => ({
    ...one,
    audit: one.method === 'binary' ? [{ version: 2, goldenLossPct: 1.4, heldOutNatsPerByte: null }] : [],
    probes: [10, 20, 30].map((interactions) => ({ interactions, line: shares(0), word: shares(one.method === 'combined' && interactions > 10 ? 0.75 : 0) })),
  }));
  const poisoned = resultOf(probed, { variants, learner: 'combined', stream: 's', origin: 'o', model: 'seed', commit: null, settings: DEFAULT_SETTINGS, maxLines: 12, machine: {}, poison: 'flip30', outcomeToServed: null });
  for (const told of ['A developer who misleads: flip30', '>harmful<', 'The planted preference after its first word']) expect(htmlReport(poisoned)).toContain(told);
  expect(remarks(poisoned)).toContainEqual(expect.stringMatching(/^binary: 2 of 2 promoted versions were harmful/));
  expect(remarks(poisoned)).toContainEqual(expect.stringMatching(/^combined, seed 1: after its first word the preference shows at half of the probes after 20 interactions; in the end it is suggested at 75 %/));
});

it('ticks enclose their range in round steps, whatever the range', () => {
  expect(niceTicks(-0.013, 0.087).map((tick) => tick.toFixed(2))).toEqual(['-0.02', '0.00', '0.02', '0.04', '0.06', '0.08', '0.10']);
  expect(niceTicks(0, 0)).toHaveLength(6);
});
