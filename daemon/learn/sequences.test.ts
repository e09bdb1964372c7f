import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainSequence } from '../../protocol/engine.ts';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import { divergence } from '../hindsight/divergence.ts';
import { unrelatedHint } from '../hindsight/contrast.ts';
import { insertSnippet, hintSnippets } from '../hindsight/inject.ts';
import type { Hint, NextState, Turn } from '../journal/records.ts';
import { Scene, WORKSPACE } from './scene.fixture.ts';
import { buildLessons } from './sequences.ts';
import type { Lesson, Masked, SequenceOptions } from './sequences.ts';
import { METHODS } from './settings.ts';
import type { MethodName } from './settings.ts';

const PREFIX = 'export class Counter {\n  private value = 0;\n\n  get(): number {\n    ';
const WRITTEN = 'return ensureKnown(value);\n';

describe('sequences of a sample, with the real engine', () => {
  let scene: Scene;
  let turn: Turn;
  beforeAll(async () => {
    scene = await Scene.start({ stepSamples: 4, lr: 0.02 }, { golden: GOLDEN_TEXTS.slice(0, 10) });
    // A non-zero adapter serves: what is tested must not hold only at the base.
    for (let index = 0; index < 4; index++) {
      const one = await scene.turn({ id: `warm-${index}`, prefix: `export function f${index}() {\n  ` });
      scene.outcome(one, { developerText: `assertKnown(${index});\n` });
    }
    await scene.trainer.drain(WORKSPACE);
    turn = await scene.turn({ id: 'turn', prefix: PREFIX });
  });
  afterAll(() => scene.close());

  const serving = (): string | null => scene.adapters.serving(WORKSPACE)?.name ?? null;
  const build = async (route: 'policyGradient' | 'distillation' | 'sft', advantage: number | null, next: Partial<NextState>, method: MethodName = 'combined', opd = true, changes: Partial<SequenceOptions> = {}): Promise<Lesson | Masked> => {
    const full: NextState = { turn: turn.id, outcome: 'diverged', acceptedChars: 0, developerText: WRITTEN, survival: [], decidedAt: 0, ...next };
    const sample = { id: 1, turn: turn.id, workspace: WORKSPACE, route, advantage, weight: 1, version: 1, state: 'leased' as const, reason: null, step: 1, createdAt: 0 };
    const hints: Hint[] = route === 'distillation' && full.developerText !== null ? [{ turn: turn.id, source: 'developer', text: full.developerText, at: 0 }] : [];
    const [lesson] = await buildLessons([{ sample, turn, next: full, hints }], {
      engine: scene.engine, adapter: serving(), teacher: serving(), method: METHODS[method], settings: scene.settings, opdOn: () => opd, snippetIds: scene.snippetIds, ...changes,
    });
    if (!lesson) throw new Error('no lesson');
    return lesson;
  };
  const sequenceOf = (lesson: Lesson | Masked): TrainSequence => {
    if ('masked' in lesson) throw new Error(lesson.masked);
    return lesson.sequence;
  };
  const positionsOf = (sequence: TrainSequence): number[] => [sequence.pg, sequence.opd, sequence.splice, sequence.kl, sequence.ce].flatMap((term) => term?.positions ?? []);

  it('a non-zero adapter serves, so that nothing here holds at the base alone', () => expect(serving()).not.toBeNull());

  it('conformance 8: the student’s ids are those that were served, and hold no hint', async () => {
    const { ids } = sequenceOf(await build('distillation', null, {}));
    const shared = divergence(turn, WRITTEN)?.token ?? 0;
    expect(ids.slice(0, turn.promptIds.length)).toEqual(turn.promptIds);
    expect(ids.slice(turn.promptIds.length, turn.promptIds.length + shared)).toEqual(turn.responseIds.slice(0, shared));
    const written = (await scene.engine.tokenize({ texts: [divergence(turn, WRITTEN)?.developerText ?? ''] })).ids[0];
    expect(ids.slice(turn.promptIds.length + shared)).toEqual(written);
  });

  it('conformance 13: no prompt token carries a loss', async () => {
    const lessons = [await build('distillation', null, {}), await build('policyGradient', -0.3, {}), await build('policyGradient', 0.7, { outcome: 'accepted', developerText: null }), await build('sft', null, {}, 'sft')];
    for (const lesson of lessons) for (const position of positionsOf(sequenceOf(lesson))) expect(position).toBeGreaterThanOrEqual(turn.promptIds.length);
  });

  it('conformance 27: before the divergence nothing negative, after it nothing of the response', async () => {
    const d = turn.promptIds.length + (divergence(turn, WRITTEN)?.token ?? 0);
    const punished = sequenceOf(await build('policyGradient', -0.3, {}));
    expect(punished.pg?.positions).toEqual([d]);
    expect(punished.ids).toHaveLength(d + 1);
    expect(positionsOf(punished).every((position) => position === d)).toBe(true);
    const taught = sequenceOf(await build('distillation', 0.4, { outcome: 'partial', acceptedChars: 6 }));
    expect(taught.opd?.positions).toEqual([d]);
    expect(taught.splice?.positions[0]).toBe(turn.promptIds.length);
    for (let shared = 0; turn.promptIds.length + shared < d; shared++) {
      // Forward KL raises a token whose target is above what the student gives it.
      const own = taught.splice?.tokens[shared]?.indexOf(turn.responseIds[shared] ?? -1) ?? -1;
      expect(taught.splice?.targets[shared]?.[own]).toBeGreaterThanOrEqual(Math.exp(turn.logprobs[shared] ?? 0) - 1e-6);
    }
    for (const position of taught.pg?.positions ?? []) expect(position).toBeLessThan(d);
    expect(taught.pg?.advantages.every((advantage) => (advantage ?? 0) > 0) ?? true).toBe(true);
  });

  it('rewards of what was taken in part only the tokens that stand there whole', async () => {
    const chars = 6;
    const whole = turn.offsets.filter((offset, token) => (turn.offsets[token + 1] ?? turn.rawText.length) <= chars && offset < chars).length;
    expect(whole).toBeGreaterThan(0);
    const { ids, pg } = sequenceOf(await build('policyGradient', 0.7, { outcome: 'partial', acceptedChars: chars, developerText: null }));
    expect(pg?.positions).toEqual(Array.from({ length: whole }, (_, token) => turn.promptIds.length + token));
    expect(ids).toEqual([...turn.promptIds, ...turn.responseIds.slice(0, whole)]);
  });

  it('conformance 9, 10: the teacher’s log-probs are a full pass of the hinted ids; without a hint they are the student’s', async () => {
    const lesson = await build('distillation', null, {});
    const { opd } = sequenceOf(lesson);
    const at = divergence(turn, WRITTEN);
    const snippet = hintSnippets(turn, WRITTEN)[0];
    if (!opd || !at || !snippet) throw new Error('nothing was taught');
    const hinted = insertSnippet(turn.promptIds, await scene.snippetIds(snippet), scene.engine.model.bos);
    const tokens = opd.tokens[0] ?? [];
    const full = async (prompt: number[]): Promise<(number | null)[]> => {
      const ids = [...prompt, ...turn.responseIds.slice(0, at.token), tokens[0] ?? 0];
      const { sequences } = await scene.engine.score({ sequences: [{ ids, positions: [ids.length - 1], candidates: [tokens] }], adapter: serving() });
      return sequences[0]?.candidateLogprobs[0] ?? [];
    };
    const teacher = await full(hinted);
    const student = await full(turn.promptIds);
    expect(opd.delta[0]).toHaveLength(tokens.length);
    opd.delta[0]?.forEach((delta, index) => expect(delta).toBeCloseTo(Math.max(-1, Math.min(1, (teacher[index] ?? NaN) - (student[index] ?? NaN))), 3));
    // The score path on the served prompt is the generation path, the first token included.
    const scored = await scene.logprobsOf(turn, turn.responseIds, serving());
    scored.forEach((logprob, index) => expect(Math.abs(logprob - (turn.logprobs[index] ?? NaN))).toBeLessThan(1e-3));
  });

  it('another teacher’s log-probs are its own; with contrast, what an unrelated hint in the same place does is subtracted', async () => {
    const at = divergence(turn, WRITTEN)?.token ?? 0;
    const full = async (hint: string, tokens: number[], adapter: string | null): Promise<(number | null)[]> => {
      const snippet = hint === '' ? undefined : hintSnippets(turn, hint)[0];
      const prompt = snippet === undefined ? turn.promptIds : insertSnippet(turn.promptIds, await scene.snippetIds(snippet), scene.engine.model.bos);
      const ids = [...prompt, ...turn.responseIds.slice(0, at), tokens[0] ?? 0];
      const { sequences } = await scene.engine.score({ sequences: [{ ids, positions: [ids.length - 1], candidates: [tokens] }], adapter });
      return sequences[0]?.candidateLogprobs[0] ?? [];
    };
    const clip = 100;
    const settings = { ...scene.settings, deltaClip: clip };
    const { opd: based } = sequenceOf(await build('distillation', null, {}, 'opd', true, { settings, teacher: null }));
    const tokens = based?.tokens[0] ?? [];
    const [teacher, student] = [await full(WRITTEN, tokens, null), await full('', tokens, serving())];
    based?.delta[0]?.forEach((delta, index) => expect(delta).toBeCloseTo((teacher[index] ?? NaN) - (student[index] ?? NaN), 3));

    const lesson = await build('distillation', null, {}, 'opd', true, { settings: { ...settings, contrast: true } });
    const { opd: contrasted } = sequenceOf(lesson);
    expect(contrasted?.tokens[0]).toEqual(tokens);
    const [right, wrong] = [await full(WRITTEN, tokens, serving()), await full(unrelatedHint(turn, WRITTEN), tokens, serving())];
    contrasted?.delta[0]?.forEach((delta, index) => expect(delta).toBeCloseTo((right[index] ?? NaN) - (wrong[index] ?? NaN), 3));
    const first = (await scene.engine.tokenize({ texts: [divergence(turn, WRITTEN)?.developerText ?? ''] })).ids[0]?.[0] ?? -1;
    expect(contrasted?.delta[0]?.[tokens.indexOf(first)]).toBeGreaterThan(0);
    // What hints tell the model is measured against the student, contrast or not.
    expect(lesson.told).toBeCloseTo((right[tokens.indexOf(first)] ?? NaN) - (student[tokens.indexOf(first)] ?? NaN), 3);
  });

  it('the first generation: teacher less student, and the verdict, on the response up to the divergence', async () => {
    const at = divergence(turn, WRITTEN)?.token ?? 0;
    const snippet = hintSnippets(turn, WRITTEN)[0];
    if (!snippet) throw new Error('the turn has no snippet');
    const hinted = insertSnippet(turn.promptIds, await scene.snippetIds(snippet), scene.engine.model.bos);
    const tokens = turn.responseIds.slice(0, at + 1);
    const full = async (prompt: number[]): Promise<(number | null)[]> => {
      const { sequences } = await scene.engine.score({ sequences: [{ ids: [...prompt, ...tokens], positions: tokens.map((_, token) => prompt.length + token) }], adapter: serving() });
      return sequences[0]?.logprobs ?? [];
    };
    const [teacher, student] = [await full(hinted), await full(turn.promptIds)];
    const lesson = await build('distillation', -0.25, {}, 'combined-gen1');
    const { ids, pg, opd, splice } = sequenceOf(lesson);
    expect([opd, splice]).toEqual([undefined, undefined]);
    expect(ids).toEqual([...turn.promptIds, ...tokens]);
    expect(pg?.positions).toEqual(tokens.map((_, token) => turn.promptIds.length + token));
    pg?.advantages.forEach((advantage, token) => {
      const plain = (teacher[token] ?? NaN) - (student[token] ?? NaN) - 0.25;
      expect(advantage).toBeCloseTo(token < at ? Math.max(0, plain) : plain, 3);
    });
    expect(pg?.advantages.at(-1)).toBeLessThan(-0.25);
    // What hints tell the model is measured for it as for the others.
    expect(lesson.told).toBeCloseTo((await build('distillation', null, {}, 'opd')).told ?? NaN, 3);
  });

  it('gives each method only its terms', async () => {
    const terms = (lesson: Lesson | Masked): string[] => Object.keys(sequenceOf(lesson)).filter((key) => key !== 'ids' && key !== 'temperature').sort();
    expect(terms(await build('distillation', null, {}))).toEqual(['kl', 'opd', 'splice']);
    expect(terms(await build('distillation', null, {}, 'opd'))).toEqual(['kl', 'opd']);
    expect(terms(await build('policyGradient', 0.7, { outcome: 'accepted', developerText: null }, 'binary'))).toEqual(['kl', 'pg']);
    expect(terms(await build('sft', null, {}, 'sft'))).toEqual(['ce']);
    expect(terms(await build('distillation', -0.25, {}, 'combined-gen1'))).toEqual(['kl', 'pg']);
    expect(terms(await build('distillation', null, {}, 'combined', false))).toEqual(['kl', 'splice']);
  });

  it('masks with a sentence what cannot be taught', async () => {
    for (const method of ['opd', 'combined-gen1'] as const) expect(await build('distillation', null, {}, method, false)).toMatchObject({ masked: 'Hints tell this model nothing yet.' });
    expect(await build('policyGradient', -0.3, { developerText: null })).toMatchObject({ masked: 'Where it went wrong is not known.' });
    expect(await build('distillation', null, { developerText: turn.rawText })).toMatchObject({ masked: expect.stringContaining('does not part') as string });
  });
});
