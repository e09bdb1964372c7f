import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import { divergence } from '../hindsight/divergence.ts';
import type { Turn } from '../journal/records.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Scene, WORKSPACE } from './scene.fixture.ts';
import type { LearnSettings } from './settings.ts';

/** A developer who has a way of their own with names, on beginnings the seed can continue. */
const BODIES = ['value', 'result', 'total', 'index', 'name', 'text', 'items', 'count', 'length', 'token', 'offset', 'range', 'start', 'end', 'line', 'file'];
const prefixOf = (name: string): string => `export class Counter {\n  private ${name} = 0;\n\n  get${name}(): number {\n    `;
const writtenOf = (name: string): string => `return ensureKnown(${name});\n`;

/** Sixteen offers, each followed by the developer writing something else in its place. */
async function divergedTurns(scene: Scene, count = BODIES.length): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (const [index, name] of BODIES.slice(0, count).entries()) {
    const turn = await scene.turn({ id: `t-${index}`, prefix: prefixOf(name) });
    scene.outcome(turn, { developerText: writtenOf(name) });
    turns.push(turn);
  }
  return turns;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** log p, under an adapter, of the token by which each response parted from what the developer wrote. */
async function contradicted(turns: readonly Turn[], adapter: string | null): Promise<number[]> {
  return Promise.all(
    turns.map(async (turn, index) => {
      const token = divergence(turn, writtenOf(BODIES[index] ?? ''))?.token ?? 0;
      return (await scene.logprobsOf(turn, turn.responseIds.slice(0, token + 1), adapter)).at(-1) ?? NaN;
    }),
  );
}

/** How much likelier what the developer wrote is under an adapter than under the base, nats in all. */
async function gained(turns: readonly Turn[], adapter: string | null): Promise<number> {
  let nats = 0;
  for (const [index, turn] of turns.entries()) {
    const text = writtenOf(BODIES[index] ?? '');
    nats += sum(await scene.logprobs(turn, text, adapter)) - sum(await scene.logprobs(turn, text, null));
  }
  return nats;
}

let scene: Scene;
const start = async (settings: Partial<LearnSettings> = {}, patch: Parameters<typeof Scene.start>[1] = {}): Promise<Scene> =>
  // A small golden set: what the gate thinks is judged elsewhere.
  (scene = await Scene.start(settings, { golden: GOLDEN_TEXTS.slice(0, 10), ...patch }));
afterEach(() => scene.close());

describe('a step with the real engine', () => {
  it('conformance 12, 27: sixteen corrections make the developer’s text likelier and the contradicted token less likely', async () => {
    const { trainer, journal, adapters } = await start({ lr: 4e-3 });
    const turns = await divergedTurns(scene);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 1, promoted: 1 });
    const serving = await adapters.ensureServing(WORKSPACE);
    expect(serving?.version).toBe(1);
    expect(await gained(turns, serving?.name ?? null)).toBeGreaterThan(0);
    expect(sum(await contradicted(turns, serving?.name ?? null))).toBeLessThan(sum(await contradicted(turns, null)));
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesReady: 0, samplesLeased: 0, samplesConsumed: 16, steps: 1 });
    const receipt: unknown = JSON.parse(readFileSync(path.join(adapters.dir(WORKSPACE, 1), 'receipt.json'), 'utf8'));
    expect(receipt).toMatchObject({ version: 1, parent: null, base: { fingerprint: scene.engine.model.fingerprint }, seed: 1, gate: { passed: true, decidedBy: 'golden' } });
    expect(receipt).toMatchObject({ samples: Array.from({ length: 16 }, (_, index) => index + 1), metrics: { effective: 16 } });
  });

  it.each(['opd', 'combined-gen1'] as const)('%s alone lowers the token that the developer contradicted', async (method) => {
    const { trainer, adapters } = await start({ method, lr: 4e-3 });
    const turns = await divergedTurns(scene);
    expect(await trainer.drain(WORKSPACE)).toMatchObject({ steps: 1 });
    const name = (await adapters.ensureServing(WORKSPACE))?.name ?? null;
    expect(sum(await contradicted(turns, name))).toBeLessThan(sum(await contradicted(turns, null)));
  });

  it.each(['base', 'ema'] as const)('the %s teaches as well, and with contrast', async (teacher) => {
    const { trainer, adapters } = await start({ teacher, contrast: true, lr: 2e-3, stepSamples: 8 });
    const turns = await divergedTurns(scene);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 2, promoted: 2 });
    expect(await gained(turns, (await adapters.ensureServing(WORKSPACE))?.name ?? null)).toBeGreaterThan(0);
    expect(existsSync(path.join(adapters.dir(WORKSPACE, 1), 'teacher'))).toBe(teacher === 'ema');
  });

  it('what was accepted becomes likelier', async () => {
    const { trainer, adapters } = await start({ method: 'binary', lr: 4e-3 });
    const turns: Turn[] = [];
    for (const [index, name] of BODIES.entries()) {
      const turn = await scene.turn({ id: `t-${index}`, prefix: prefixOf(name) });
      scene.outcome(turn, { outcome: 'accepted', acceptedChars: turn.shownText.length, developerText: `${turn.shownText}\n`, survival: [[30, 1]] });
      turns.push(turn);
    }
    expect(await trainer.drain(WORKSPACE)).toMatchObject({ steps: 1 });
    const name = (await adapters.ensureServing(WORKSPACE))?.name ?? null;
    const gains = await Promise.all(turns.map(async (turn) => sum(await scene.logprobs(turn, turn.shownText, name)) - sum(await scene.logprobs(turn, turn.shownText, null))));
    expect(sum(gains)).toBeGreaterThan(0);
  });
});

describe('when a step is due', () => {
  it('a full batch at once, a small one after a minute of quiet, fewer never', async () => {
    const { trainer, journal, clock } = await start({ stepSamples: 6, quietSamples: 3 });
    await divergedTurns(scene, 2);
    trainer.poke(WORKSPACE);
    clock.advance(120_000);
    await trainer.close();
    expect(journal.steps()).toHaveLength(0);
    await scene.reopen();
    const third = await scene.turn({ id: 'third', prefix: prefixOf('third') });
    scene.outcome(third, { developerText: writtenOf('third') });
    scene.trainer.poke(WORKSPACE);
    clock.advance(59_000);
    expect(scene.journal.steps()).toHaveLength(0);
    clock.advance(2_000);
    await expect.poll(() => scene.journal.steps({ state: 'gated' }).length, { timeout: 30_000 }).toBe(1);
  });

  it('while paused nothing moves in the background, an explicit wish is served', async () => {
    const { trainer, journal } = await start({ stepSamples: 4 });
    await divergedTurns(scene, 4);
    trainer.pause();
    trainer.poke(WORKSPACE);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesReady: 4, steps: 0 });
    expect(await trainer.drain(WORKSPACE)).toMatchObject({ steps: 1 });
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesReady: 0, samplesConsumed: 4 });
  });
});

describe('the machine', () => {
  it('has better things to do: a step waits for it, before it starts and on the way, and says why; a wish is served', async () => {
    const clock = new VirtualClock(1_790_000_000_000);
    let reason: string | null = 'on battery';
    let begun = 0;
    // Begun, a step is held at its second look.
    const waits = (training: boolean): string | null => reason ?? (training && ++begun === 2 ? (reason = 'busy') : null);
    const { trainer, journal } = await start({ stepSamples: 4, skillTexts: 1 }, { clock, waits });
    await divergedTurns(scene, 4);
    trainer.poke(WORKSPACE);
    await expect.poll(() => trainer.waiting).toBe('on battery');
    clock.advance(60_000);
    expect([trainer.waiting, journal.steps().length]).toEqual(['on battery', 0]);
    reason = null;
    clock.advance(2000);
    await expect.poll(() => trainer.waiting, { timeout: 30_000 }).toBe('busy');
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesLeased: 4, steps: 0 });
    await trainer.drain(WORKSPACE);
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesConsumed: 4, steps: 1 });
  });
});

describe('what was served and what is trained', () => {
  it('have drifted apart: the effective sample size is logged, and under 0.3 there is a warning', async () => {
    const warnings: string[] = [];
    const { trainer, journal } = await start({ method: 'binary', stepSamples: 2, quietSamples: 1, rehearsedSamples: 0, skillTexts: 0 }, { onWarning: (_, sentence) => warnings.push(sentence) });
    const taken = async (id: string, change: (turn: Turn) => Partial<Turn>): Promise<void> => {
      const turn = await scene.turn({ id: `${id} as served`, prefix: prefixOf('taken') });
      const own = { ...turn, id, ...change(turn) };
      journal.insertTurn(own);
      scene.outcome(own, { outcome: 'accepted', acceptedChars: turn.shownText.length, developerText: `${turn.shownText}\n`, survival: [[30, 1]] });
      await trainer.drain(WORKSPACE);
    };
    await taken('same', () => ({}));
    expect(journal.steps().at(-1)?.metrics['effectiveSampleSize']).toBeCloseTo(1, 2);
    expect(warnings).toEqual([]);
    // One token as unlikely as it was, all others nearly impossible now.
    await taken('drifted', ({ responseIds, logprobs }) => ({ responseIds: responseIds.toReversed(), logprobs: logprobs.map((_, at) => (at === 0 ? -30 : 0)) }));
    expect(journal.steps().at(-1)?.metrics['effectiveSampleSize']).toBeLessThan(0.3);
    expect(warnings).toEqual([expect.stringMatching(/drifted apart: effective sample size 0\.\d\d/)]);
  });
});

describe('samples', () => {
  it('conformance 17: the 17th of a burst is neither lost nor trained twice', async () => {
    const { trainer, journal } = await start();
    await divergedTurns(scene, 16);
    const last = await scene.turn({ id: 'last', prefix: prefixOf('last') });
    scene.outcome(last, { developerText: writtenOf('last') });
    expect(await trainer.drain(WORKSPACE)).toMatchObject({ steps: 1 });
    expect(journal.samples({ state: 'ready' }).map((sample) => sample.turn)).toEqual(['last']);
    expect(journal.samples({ state: 'consumed' })).toHaveLength(16);
  });

  it('conformance 18: masked ones leave with a reason and do not count towards the batch', async () => {
    const { trainer, journal } = await start({ stepSamples: 6, quietSamples: 6 });
    for (let index = 0; index < 3; index++) {
      const turn = await scene.turn({ id: `masked-${index}`, prefix: prefixOf('masked') });
      scene.outcome(turn, { developerText: null });
    }
    await divergedTurns(scene, 5);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 0, promoted: 0 });
    expect(journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesReady: 5, samplesDropped: 3, samplesConsumed: 0, steps: 0 });
    const sixth = await scene.turn({ id: 'sixth', prefix: prefixOf('sixth') });
    scene.outcome(sixth, { developerText: writtenOf('sixth') });
    expect(await trainer.drain(WORKSPACE)).toMatchObject({ steps: 1 });
    expect(journal.samples({ state: 'dropped' }).map((sample) => sample.reason)).toHaveLength(3);
    expect(journal.samples({ state: 'consumed' })).toHaveLength(6);
  });

  it('of long gone versions are dropped with a reason', async () => {
    const { trainer, journal } = await start({ maxStaleness: 1, stepSamples: 4 });
    for (const version of [1, 2]) journal.insertAdapter({ workspace: WORKSPACE, version, parent: null, fingerprint: 'f', dir: '', sha256: '', state: 'retired', createdAt: 0, samples: 1, reason: '' });
    await divergedTurns(scene, 4);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 0, promoted: 0 });
    expect(journal.samples({ state: 'dropped' })[0]?.reason).toContain('2 versions old');
  });

  it('conformance 3: turns without a next state, and held-out ones, make none', async () => {
    const { trainer, journal } = await start();
    await scene.turn({ id: 'open', prefix: prefixOf('open') });
    const heldOut = await scene.turn({ id: 'held', prefix: prefixOf('held'), split: 'holdout' });
    expect(scene.outcome(heldOut, { developerText: writtenOf('held') })).toBe(false);
    expect(journal.samples({})).toEqual([]);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 0, promoted: 0 });
  });
});

describe('conformance 21: a candidate that fails the gate', () => {
  it('never serves, leaves a receipt, and training goes on from what serves', async () => {
    // A learning rate that ruins the model in one step: the golden set must notice.
    const { trainer, adapters, journal } = await start({ lr: 4 }, { golden: GOLDEN_TEXTS });
    await divergedTurns(scene, 16);
    expect(await trainer.drain(WORKSPACE)).toEqual({ steps: 1, promoted: 0 });
    expect(journal.serving(WORKSPACE)).toBeNull();
    expect(adapters.serving(WORKSPACE)).toBeNull();
    expect(scene.published).toEqual([]);
    const record = adapters.list(WORKSPACE)[0];
    expect(record).toMatchObject({ version: 1, state: 'rejected' });
    expect(record?.reason).toMatch(/golden set/);
    expect(existsSync(path.join(adapters.dir(WORKSPACE, 1), 'receipt.json'))).toBe(true);
    expect(existsSync(path.join(adapters.dir(WORKSPACE, 1), 'adapter_model.safetensors'))).toBe(false);
    await expect(adapters.rollback(WORKSPACE, 1)).rejects.toMatchObject({ errorName: 'badRequest' });
    await expect(adapters.ensureLoaded(WORKSPACE, 1)).rejects.toMatchObject({ errorName: 'adapterMissing' });
    expect(journal.samples({ state: 'consumed' })).toHaveLength(16);
  });
});

describe('a killed process', () => {
  it('in the middle of a step releases its samples and leaves no folder', async () => {
    const { journal } = await start({ stepSamples: 4 });
    await divergedTurns(scene, 4);
    const step = journal.insertStep({ workspace: WORKSPACE, seed: 1, startedAt: 0, state: 'running', candidate: null, metrics: {} });
    journal.leaseSamples(journal.samples({ state: 'ready' }).map((sample) => sample.id), step);
    await scene.engine.adapterCreate({ name: 'orphan', rank: 4, alpha: 8, targets: ['q_proj'], seed: 1 });
    await scene.adapters.writeCandidate('orphan', { workspace: WORKSPACE, version: 1, parent: null, samples: 4, createdAt: 0, receipt: {} });
    await scene.reopen();
    scene.trainer.recover();
    expect(scene.journal.steps()[0]?.state).toBe('failed');
    expect(existsSync(scene.adapters.dir(WORKSPACE, 1))).toBe(false);
    await scene.trainer.drain(WORKSPACE);
    expect(scene.journal.samples({ state: 'consumed' })).toHaveLength(4);
    expect(scene.journal.steps({ state: 'gated' })).toHaveLength(1);
  });

  it('of the engine, at any phase of a step, loses and doubles nothing', async () => {
    let killAt: string | null = null;
    await start({ stepSamples: 4 }, { onProgress: (_workspace, phase) => {
      if (phase !== killAt) return;
      killAt = null;
      process.kill(scene.engine.pid ?? NaN, 'SIGKILL');
    } });
    await divergedTurns(scene, 4);
    for (const phase of ['score', 'train', 'gate']) {
      const restarted = new Promise<void>((resolve) => void scene.engine.onRestart(resolve));
      killAt = phase;
      await expect(scene.trainer.drain(WORKSPACE)).rejects.toMatchObject({ errorName: 'engineUnavailable' });
      await restarted;
      // What comes back goes on by itself: the samples are a full batch.
      await scene.trainer.drain(WORKSPACE);
      expect(scene.journal.pipeCounts(WORKSPACE)).toMatchObject({ samplesReady: 0, samplesLeased: 0 });
      expect(scene.journal.steps({ state: 'gated' }).length).toBe(['score', 'train', 'gate'].indexOf(phase) + 1);
      for (let index = 0; index < 4; index++) {
        const turn = await scene.turn({ id: `${phase}-${index}`, prefix: prefixOf(`f${index}`) });
        scene.outcome(turn, { developerText: writtenOf(`f${index}`) });
      }
    }
    expect(scene.journal.verify()).toEqual([]);
  });

  it('between candidate and gate judges that candidate, trains nothing twice', async () => {
    const { trainer } = await start({ stepSamples: 4 }, { onProgress: (_workspace, phase) => {
      if (phase === 'gate') throw new Error('killed');
    } });
    await divergedTurns(scene, 4);
    await expect(trainer.drain(WORKSPACE)).rejects.toThrow('killed');
    expect(scene.journal.steps()[0]).toMatchObject({ state: 'trained', candidate: 1 });
    expect(scene.journal.serving(WORKSPACE)).toBeNull();
    await scene.reopen();
    scene.trainer.recover();
    await scene.trainer.drain(WORKSPACE);
    expect(scene.journal.steps().map((step) => step.state)).toEqual(['gated']);
    expect(scene.journal.serving(WORKSPACE)).toBe(1);
  });
});
