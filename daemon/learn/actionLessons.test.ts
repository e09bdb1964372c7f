import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import { injectIntoChat } from '../hindsight/inject.ts';
import type { Hint, Sample, Turn } from '../journal/records.ts';
import { bundledModel } from '../models/bundled.ts';
import { recordLesson } from '../episodes/lessons.ts';
import { actionLesson } from './actionLessons.ts';
import { Scene, WORKSPACE } from './scene.fixture.ts';
import type { LessonSource, SequenceOptions } from './sequences.ts';
import { DEFAULT_SETTINGS, METHODS } from './settings.ts';

let engine: EngineClient;
let options: SequenceOptions;
const messages = [{ role: 'user', content: 'Name a colour.' }];
const HINT = 'const answer = { colour: "green" };';

beforeAll(async () => {
  engine = await startEngine({ modelDir: bundledModel(), threads: 1 });
  options = { engine, adapter: null, teacher: null, method: METHODS.combined, settings: DEFAULT_SETTINGS, opdOn: () => true, snippetIds: () => Promise.resolve([]) };
});
afterAll(() => engine.close());

const hintOf = (text: string, source: Hint['source'] = 'correction'): Hint => ({ turn: 't', source, text, at: 2 });

async function reply(more: Partial<Sample>, ...said: string[]): Promise<LessonSource> {
  const { ids: promptIds } = await engine.render({ messages, addGenerationPrompt: true });
  const answer = await engine.generate({ prompt: promptIds, sampling: { maxTokens: 12, temperature: 0.7, seed: 3 }, adapter: null });
  const turn: Turn = {
    id: 't', session: 's', workspace: 'file:///p', modality: 'chat', role: 'main', split: 'train', block: 'b', offeredAt: 1, uri: '', languageId: '', version: 0, offset: 0,
    promptIds, promptMode: 'prefix', responseIds: answer.ids, logprobs: answer.logprobs, rawText: answer.text, offsets: answer.offsets, shownText: answer.text, finishReason: answer.finishReason,
    sampling: { maxTokens: 12, temperature: 0.7 }, adapter: null, fingerprint: 'f', before: '', after: '', action: { task: 'k', step: 0, request: 'r', calls: [], messages },
  };
  const sample: Sample = { id: 1, turn: 't', workspace: 'file:///p', route: 'distillation', advantage: null, weight: 1, version: 0, state: 'ready', step: null, reason: null, createdAt: 1, ...more };
  return { sample, turn, next: { turn: 't', outcome: 'answered', acceptedChars: 0, developerText: null, survival: [], decidedAt: 2 }, hints: said.map((text) => hintOf(text)) };
}

const sequenceOf = async (source: LessonSource) => {
  const lesson = await actionLesson(source, options);
  if ('masked' in lesson) throw new Error(lesson.masked);
  return lesson.sequence;
};

it('teaches at every token of the reply, and only there; the student never reads the correction', async () => {
  const source = await reply({}, HINT);
  const { ids, opd, kl, pg, temperature } = await sequenceOf(source);
  const { promptIds, responseIds } = source.turn;
  expect(ids).toEqual([...promptIds, ...responseIds]);
  expect(temperature).toBe(0.7);
  expect(opd?.positions).toEqual(responseIds.map((_, at) => promptIds.length + at));
  expect(kl?.positions).toEqual(opd?.positions);
  expect(pg).toBeUndefined();
  expect((await engine.detokenize({ ids: [...ids] })).text).not.toContain('green');
  // D is what the hinted teacher's own pass says, at the same temperature.
  const teacher = await engine.render({ messages: injectIntoChat(messages, HINT), addGenerationPrompt: true });
  const { sequences } = await engine.score({ sequences: [{ ids: [...teacher.ids, ...responseIds], positions: [teacher.ids.length], candidates: [opd?.tokens[0] ?? []] }], adapter: null, temperature: 0.7, topK: 0 });
  const student = await engine.score({ sequences: [{ ids: [...ids], positions: [promptIds.length], candidates: [opd?.tokens[0] ?? []] }], adapter: null, temperature: 0.7, topK: 0 });
  opd?.delta[0]?.forEach((value, at) => {
    const difference = (sequences[0]?.candidateLogprobs[0]?.[at] ?? NaN) - (student.sequences[0]?.candidateLogprobs[0]?.[at] ?? NaN);
    expect(value).toBeCloseTo(Math.max(-1, Math.min(1, difference)), 4);
  });
});

it('rewards a whole reply with its own log-probs as behaviour', async () => {
  const source = await reply({ route: 'policyGradient', advantage: -0.5, weight: 0.4 });
  const { pg, opd } = await sequenceOf(source);
  expect(opd).toBeUndefined();
  expect(pg?.advantages).toEqual(source.turn.responseIds.map(() => -0.2));
  expect(pg?.behaviour).toEqual(source.turn.logprobs);
});

it('rewards and teaches where it went well and something was said all the same', async () => {
  const { pg, opd, ids } = await sequenceOf(await reply({ advantage: 0.5, weight: 0.8 }, HINT));
  expect(pg?.positions).toEqual(opd?.positions);
  expect(pg?.advantages.every((advantage) => advantage === 0.4)).toBe(true);
  expect(opd?.positions.at(-1)).toBe(ids.length - 1);
});

it('in the first generation the teacher’s log-ratio and the verdict are one advantage per token', async () => {
  const source = await reply({ advantage: -0.5 }, HINT);
  const lesson = await actionLesson(source, { ...options, method: METHODS['combined-gen1'] });
  if ('masked' in lesson) throw new Error(lesson.masked);
  const { pg, opd, splice, temperature } = lesson.sequence;
  const { promptIds, responseIds } = source.turn;
  const teacher = await engine.render({ messages: injectIntoChat(messages, HINT), addGenerationPrompt: true });
  const full = async (prompt: readonly number[]) => (await engine.score({ sequences: [{ ids: [...prompt, ...responseIds], positions: responseIds.map((_, at) => prompt.length + at) }], adapter: null, temperature })).sequences[0]?.logprobs ?? [];
  const [hinted, plain] = [await full(teacher.ids), await full(promptIds)];
  expect([opd, splice]).toEqual([undefined, undefined]);
  expect(pg?.positions).toEqual(responseIds.map((_, at) => promptIds.length + at));
  pg?.advantages.forEach((advantage, at) => expect(advantage).toBeCloseTo((hinted[at] ?? NaN) - (plain[at] ?? NaN) - 0.5, 4));
});

it('of several corrections the longest teaches where that is asked for', async () => {
  const long = `${HINT} Say it in one line, and never mention a second colour beside it.`;
  const source = await reply({}, HINT, long);
  const lesson = await actionLesson(source, { ...options, settings: { ...DEFAULT_SETTINGS, hintMode: 'longest' } });
  const alone = await actionLesson({ ...source, hints: [hintOf(long)] }, options);
  const other = await actionLesson({ ...source, hints: [hintOf(HINT)] }, options);
  const moved = (one: typeof lesson): unknown => ('sequence' in one ? one.sequence.opd?.delta : one.masked);
  expect(moved(lesson)).toEqual(moved(alone));
  expect(moved(lesson)).not.toEqual(moved(other));
});

it('puts the developer’s text and a checker’s words into words that the teacher can follow, and keeps them from the student', async () => {
  const source = await reply({});
  const read = async (hint: Hint): Promise<string> => {
    const rendered: string[] = [];
    const render: EngineClient['render'] = (params, ...rest) => {
      rendered.push(JSON.stringify(params.messages));
      return engine.render(params, ...rest);
    };
    const listening = new Proxy(engine, { get: (target, key) => (key === 'render' ? render : Reflect.get(target, key, target) as unknown) });
    const lesson = await actionLesson({ ...source, hints: [hint] }, { ...options, engine: listening });
    expect((await engine.detokenize({ ids: 'sequence' in lesson ? [...lesson.sequence.ids] : [] })).text).not.toContain('log.at');
    return rendered.join('');
  };
  expect(await read(hintOf('log.at("a", b)\n', 'developer'))).toMatch(/instruction\]\\nThis is what then stood in its place:\\n```\\nlog\.at/);
  expect(await read(hintOf('ts: log.att is not defined', 'diagnostic'))).toMatch(/instruction\]\\nAvoid this problem:\\nts: log\.att is not defined/);
});

it('masks what is not known, with a reason', async () => {
  expect(await actionLesson(await reply({}, ''), options)).toMatchObject({ masked: expect.stringContaining('not known') as string });
  expect(await actionLesson(await reply({ route: 'sft' }, HINT), options)).toMatchObject({ masked: expect.stringContaining('Nobody wrote') as string });
  const outside = await reply({}, HINT);
  expect(await actionLesson({ ...outside, turn: { ...outside.turn, promptIds: [] } }, options)).toMatchObject({ masked: expect.stringContaining('no tokens') as string });
});

describe('a call of a tool', () => {
  /** A call's turn differs from a reply's in its calls alone. */
  async function calling(more: Partial<Sample>, ...said: string[]): Promise<LessonSource> {
    const source = await reply(more, ...said);
    return { ...source, turn: { ...source.turn, modality: 'tool', action: { task: 'k', step: 0, request: 'r', calls: [{ id: 'c', tool: 'read_file', arguments: { path: 'a.ts' } }], messages } } };
  }

  /** Counts the sequences that are scored, and for how many tokens their top K was asked. */
  function counting(): { options: SequenceOptions; passes: number[] } {
    const passes: number[] = [];
    const score: EngineClient['score'] = (params, ...rest) => {
      passes.push(params.topK ?? 0);
      return engine.score(params, ...rest);
    };
    const counted = new Proxy(engine, { get: (target, key) => (key === 'score' ? score : Reflect.get(target, key, target) as unknown) });
    return { options: { ...options, engine: counted }, passes };
  }

  it('is taught by a hint, and punished by a verdict, at every token', async () => {
    const taught = await sequenceOf(await calling({}, HINT));
    expect(taught.opd?.positions.length).toBe(taught.ids.length - (taught.opd?.positions[0] ?? 0));
    const punished = await sequenceOf(await calling({ route: 'policyGradient', advantage: -1 }));
    expect(punished.pg?.advantages.every((advantage) => advantage === -1)).toBe(true);
  });

  it('of several hints learns the one that overlaps most; one hint costs one teacher pass', async () => {
    const others = ['Write the answer in capital letters, please.', 'return colours.find((one) => one.name);'];
    const one = counting();
    await actionLesson(await calling({}, HINT), one.options);
    expect(one.passes).toEqual([DEFAULT_SETTINGS.topK, 0]);
    const several = counting();
    const source = await calling({}, HINT, ...others);
    const chosen = await actionLesson(source, several.options);
    expect(several.passes).toEqual([DEFAULT_SETTINGS.topK, DEFAULT_SETTINGS.topK, DEFAULT_SETTINGS.topK, DEFAULT_SETTINGS.topK]);
    const overlaps = await Promise.all([HINT, ...others].map((text) => overlapOf(source.turn, text)));
    const best = [HINT, ...others][overlaps.indexOf(Math.max(...overlaps))] ?? '';
    const alone = await actionLesson(await calling({}, best), options);
    expect('sequence' in chosen && chosen.sequence.opd).toEqual('sequence' in alone && alone.sequence.opd);
  });

  /** Σ_t |topK_student ∩ topK_teacher| by two full passes. */
  async function overlapOf({ promptIds, responseIds }: Turn, text: string): Promise<number> {
    const { ids } = await engine.render({ messages: injectIntoChat(messages, text), addGenerationPrompt: true });
    const at = (prompt: readonly number[]) => ({ ids: [...prompt, ...responseIds], positions: responseIds.map((_, index) => prompt.length + index) });
    const { sequences: [student, teacher] } = await engine.score({ sequences: [at(promptIds), at(ids)], adapter: null, temperature: 0.7, topK: DEFAULT_SETTINGS.topK });
    return (student?.topIds ?? []).reduce((sum, row, index) => sum + row.filter((token) => teacher?.topIds[index]?.includes(token)).length, 0);
  }

  it('with a judge’s hint becomes a step', async () => {
    const scene = await Scene.start({ stepSamples: 1, quietSamples: 1, holdoutShare: 0, skillTexts: 1 }, { golden: GOLDEN_TEXTS.slice(0, 4) });
    try {
      const { turn, next } = await calling({});
      const own = { ...turn, id: 'call', workspace: WORKSPACE, fingerprint: scene.engine.model.fingerprint };
      scene.journal.insertTurn(own);
      const closed = { ...next, turn: 'call', outcome: 'observed' as const };
      scene.journal.closeTurn(closed);
      const verdict = { turn: 'call', score: 0, confidence: 1, source: 'judge' as const, evidence: [], kind: 'provisional' as const, at: 3 };
      recordLesson(scene.journal, scene.settings, own, closed, verdict, [{ ...hintOf(HINT, 'judge'), turn: 'call' }]);
      expect((await scene.trainer.drain(WORKSPACE)).steps).toBe(1);
      expect(scene.journal.samples({ workspace: WORKSPACE })).toMatchObject([{ route: 'distillation', state: 'consumed' }]);
      expect(scene.journal.steps()[0]?.metrics['lossOpd']).toEqual(expect.any(Number));
    } finally {
      await scene.close();
    }
  });
});

it('foresees what the command before it printed, where that is asked for, and not otherwise', async () => {
  const [output, read] = ['1 test failed: adds', 'export const sum = 1;'];
  const asked = (tool: string, text: string) => [{ role: 'user', content: 'Fix it.' }, { role: 'assistant', content: `<tool_call>\n{"name":"${tool}","arguments":{}}\n</tool_call>` }, { role: 'user', content: `<tool_response>\n${text}\n</tool_response>` }];
  const ce = async (tool: string, text: string, ceLambda: number): Promise<string | null> => {
    const source = await reply({ route: 'policyGradient', advantage: -1 });
    const { ids: promptIds } = await engine.render({ messages: asked(tool, text), addGenerationPrompt: true });
    const lesson = await actionLesson({ ...source, turn: { ...source.turn, promptIds } }, { ...options, settings: { ...DEFAULT_SETTINGS, ceLambda } });
    if ('masked' in lesson) throw new Error(lesson.masked);
    const tokens = lesson.sequence.ce?.positions.map((position) => lesson.sequence.ids[position] ?? 0);
    return tokens === undefined ? null : (await engine.detokenize({ ids: tokens })).text;
  };
  const foreseen = await ce('run_tests', output, 0.1);
  expect(foreseen).not.toBe('');
  expect(output).toContain(foreseen?.trim());
  expect((foreseen ?? '').length).toBeGreaterThan(output.length / 2);
  expect(await ce('run_tests', output, 0)).toBeNull();
  expect(await ce('read_file', read, 0.1)).toBeNull();
});
