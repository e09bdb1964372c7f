import { afterAll, beforeAll, expect, it } from 'vitest';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import { injectIntoChat } from '../hindsight/inject.ts';
import type { Sample, Turn } from '../journal/records.ts';
import { bundledModel } from '../models/bundled.ts';
import { chatLesson } from './chatLessons.ts';
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

async function reply(more: Partial<Sample>, hint: string | null): Promise<LessonSource> {
  const { ids: promptIds } = await engine.render({ messages, addGenerationPrompt: true });
  const answer = await engine.generate({ prompt: promptIds, sampling: { maxTokens: 12, temperature: 0.7, seed: 3 }, adapter: null });
  const turn: Turn = {
    id: 't', session: 's', workspace: 'file:///p', modality: 'chat', role: 'main', split: 'train', block: 'b', offeredAt: 1, uri: '', languageId: '', version: 0, offset: 0,
    promptIds, promptMode: 'prefix', responseIds: answer.ids, logprobs: answer.logprobs, rawText: answer.text, offsets: answer.offsets, shownText: answer.text, finishReason: answer.finishReason,
    sampling: { maxTokens: 12, temperature: 0.7 }, adapter: null, fingerprint: 'f', before: '', after: '', action: { task: 'k', step: 0, request: 'r', calls: [], messages },
  };
  const sample: Sample = { id: 1, turn: 't', workspace: 'file:///p', route: 'distillation', advantage: null, weight: 1, version: 0, state: 'ready', step: null, reason: null, createdAt: 1, ...more };
  return { sample, turn, next: { turn: 't', outcome: 'answered', acceptedChars: 0, developerText: null, survival: [], decidedAt: 2 }, hint };
}

const sequenceOf = async (source: LessonSource) => {
  const lesson = await chatLesson(source, options);
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
  const source = await reply({ route: 'policyGradient', advantage: -0.5, weight: 0.4 }, null);
  const { pg, opd } = await sequenceOf(source);
  expect(opd).toBeUndefined();
  expect(pg?.advantages).toEqual(source.turn.responseIds.map(() => -0.2));
  expect(pg?.behaviour).toEqual(source.turn.logprobs);
});

it('masks what is not known, with a reason', async () => {
  expect(await chatLesson(await reply({}, ''), options)).toMatchObject({ masked: expect.stringContaining('not known') as string });
  expect(await chatLesson(await reply({ route: 'sft' }, HINT), options)).toMatchObject({ masked: expect.stringContaining('Nobody wrote') as string });
  const outside = await reply({}, HINT);
  expect(await chatLesson({ ...outside, turn: { ...outside.turn, promptIds: [] } }, options)).toMatchObject({ masked: expect.stringContaining('no tokens') as string });
});
