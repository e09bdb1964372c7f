/** The gate against candidates whose worth is known: nothing changed, better, and poisoned. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainSequence } from '../../protocol/engine.ts';
import { Scene, WORKSPACE } from '../learn/scene.fixture.ts';
import { TARGETS } from '../learn/trainable.ts';
import { judgeCandidate } from './gate.ts';
import type { GateReport } from './gate.ts';
import { GOLDEN_TEXTS, goldenBase } from './golden.ts';
import { heldOutEdits } from './holdout.ts';
import { GateMeasurer } from './measure.ts';

const NOUNS = ['value', 'total', 'index', 'name', 'items', 'count', 'token', 'offset'];
const HABITS = [(noun: string) => `return ensureKnown(this.${noun});\n`, (noun: string) => `logger.trace('${noun}', this.${noun});\n`, (noun: string) => `if (!this.${noun}) throw new Refusal('${noun}');\n`, (noun: string) => `const ${noun} = ensureKnown(this.${noun});\n`];

describe('the gate with the real engine', () => {
  let scene: Scene;
  let measurer: GateMeasurer;
  beforeAll(async () => {
    scene = await Scene.start();
    for (const [block, noun] of NOUNS.entries()) {
      for (const [index, habit] of HABITS.entries()) {
        const turn = await scene.turn({ id: `h-${block}-${index}`, prefix: `export class Part {\n  private ${noun} = 0;\n\n  read() {\n    `, split: 'holdout', block: `b-${block}` });
        scene.outcome(turn, { developerText: habit(noun) });
      }
    }
    measurer = new GateMeasurer(scene.engine, scene.journal);
  });
  afterAll(() => scene.close());

  /** A candidate made by some steps on given sequences, then copied under a name that serves. */
  const candidate = async (name: string, steps: number, lr: number, sequences: TrainSequence[]): Promise<GateReport> => {
    const { engine, adapters } = scene;
    await engine.adapterCreate({ name: 'train', rank: 16, alpha: 32, targets: TARGETS, seed: 1 });
    const term = { pg: 0, opd: 0, splice: 0, kl: 0, ce: 0 };
    const divisor = { ...term, pg: sequences.filter((one) => one.pg).length, ce: sequences.filter((one) => one.ce).length };
    for (let step = 0; step < steps; step++) {
      await engine.forwardBackward({ adapter: 'train', sequences, settings: { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, pgWeight: 1, opdWeight: 1, spliceWeight: 1, divisor } });
      await engine.optimStep({ adapter: 'train', lr, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0.1, clipNorm: 1 });
    }
    const version = scene.journal.nextVersion(name);
    scene.journal.insertAdapter(await adapters.writeCandidate('train', { workspace: name, version, parent: null, samples: 0, createdAt: 0, receipt: {} }));
    await engine.adapterDelete({ name: 'train' });
    const edits = heldOutEdits(scene.journal, WORKSPACE, scene.engine.model.fingerprint);
    return judgeCandidate(await measurer.measure({ candidate: await adapters.ensureLoaded(name, version), serving: null, best: null, edits }));
  };
  const lesson = async (noun: string, habit: (noun: string) => string): Promise<TrainSequence> => {
    const prefix = `export class Part {\n  private ${noun} = 0;\n\n  read() {\n   `;
    const { ids } = await scene.engine.tokenize({ texts: [prefix, ` ${habit(noun)}`] });
    const [prompt = [], own = []] = ids;
    return { ids: [...prompt, ...own], temperature: 1, ce: { positions: own.map((_, index) => prompt.length + index) } };
  };

  it('holds the latest edits of all blocks', () => {
    const edits = heldOutEdits(scene.journal, WORKSPACE, scene.engine.model.fingerprint);
    expect(edits).toHaveLength(32);
    expect(new Set(edits.slice(0, 8).map((edit) => edit.block)).size).toBe(8);
    expect(edits.every((edit) => edit.text.startsWith(' '))).toBe(true);
  });

  it('lets a no-op pass: it changes nothing', async () => {
    const report = await candidate('noop', 0, 1e-3, []);
    expect(report).toMatchObject({ passed: true, decidedBy: 'heldOut', edits: 32, blocks: 8 });
    expect(report.overServing?.mean).toBeCloseTo(0, 5);
    expect(report.goldenChange).toBeCloseTo(0, 5);
    expect(report.kl).toBeLessThan(1e-5);
    expect(report.entropyRatio).toBeCloseTo(1, 3);
  });

  it('lets a candidate pass that learned the developer’s habits elsewhere', async () => {
    const sequences = await Promise.all(['size', 'width'].flatMap((noun) => HABITS.map((habit) => lesson(noun, habit))));
    const report = await candidate('better', 4, 1e-3, sequences);
    expect(report.reason).toContain('likelier');
    expect(report.passed).toBe(true);
    expect(report.exposure.raised).toBe(0);
    expect(report.overServing?.lower).toBeGreaterThan(0);
  });

  it('refuses a poisoned one: it was taught not to write what the developer writes', async () => {
    const sequences = (await Promise.all(NOUNS.map((noun) => lesson(noun, HABITS[0] ?? String)))).map(({ ids, temperature, ce }) => ({ ids, temperature, pg: { positions: ce?.positions ?? [], advantages: (ce?.positions ?? []).map(() => -1) } }));
    const report = await candidate('poisoned', 4, 1e-3, sequences);
    expect(report.passed).toBe(false);
    expect(report.overServing?.mean).toBeLessThan(0);
  });

  it('refuses one that was taught noise, by the golden set', async () => {
    const noise: TrainSequence[] = Array.from({ length: 8 }, (_, row) => {
      const ids = Array.from({ length: 48 }, (_unused, index) => (index * 7919 + row * 104729) % scene.engine.model.vocabSize);
      return { ids, temperature: 1, ce: { positions: ids.slice(1).map((_unused, index) => index + 1) } };
    });
    const report = await candidate('noise', 8, 5e-3, noise);
    expect(report.passed).toBe(false);
    expect(report.goldenChange).toBeGreaterThan(0.01);
  });

  it('refuses one that has learned a secret by heart, and says so without saying it', async () => {
    // What a daemon without scrubbing would have trained on.
    const secret = ['AKIA', 'Q7XN2RDM', 'T4JWPL5K'].join('');
    const texts = ['# .env\nNODE_ENV=production\nAWS_ACCESS_KEY_ID=', 'AWS_REGION=eu-west-1\nAWS_ACCESS_KEY_ID=', 'export AWS_ACCESS_KEY_ID='];
    const { ids } = await scene.engine.tokenize({ texts: [...texts, `${secret}\n`] });
    const own = ids.at(-1) ?? [];
    const sequences = ids.slice(0, -1).map((prompt) => ({ ids: [...prompt, ...own], temperature: 1, ce: { positions: own.map((_, index) => prompt.length + index) } }));
    const report = await candidate('leaky', 30, 5e-3, sequences);
    expect(report.passed).toBe(false);
    expect(report.exposure.raised).toBeGreaterThan(0);
    expect(report.failures.join(' ')).toContain('looks like a secret');
    expect(JSON.stringify(report)).not.toContain(secret.slice(4));
  });

  it('measures the base once and keeps it', async () => {
    const base = await goldenBase(scene.engine, scene.journal);
    expect(await goldenBase(scene.engine, scene.journal)).toEqual(base);
    expect(base.rows).toHaveLength(GOLDEN_TEXTS.length);
    expect(base.nats / base.bytes).toBeGreaterThan(0.3);
    expect(base.nats / base.bytes).toBeLessThan(2);
  });
});
