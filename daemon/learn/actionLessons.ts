/**
 * Lessons from what the agent said and did on request (OpenClaw-RL v2): replies, calls of tools, edits.
 * A verdict rewards or punishes the whole response; a hint (what the user made of an edit, the problem that
 * it left, the user's correction, the judge's) teaches at every token of it: student and teacher are the same weights, and the teacher reads the hint at the
 * end of the last user message (hindsight/inject.ts). The response's own ids are scored under both;
 * nothing of it is re-tokenised. Nobody wrote the whole response anew, so there is no splice, except
 * of what practice found, and nothing for `sft`.
 */
import type { ScoreResult, TrainSequence } from '../../protocol/engine.ts';
import type { Engine } from '../engine/engine.ts';
import { delta, spliceTarget, support } from '../hindsight/distill.ts';
import type { Support } from '../hindsight/distill.ts';
import { unrelatedHint } from '../hindsight/contrast.ts';
import { askedHints, chooseHint } from '../hindsight/hints.ts';
import type { HintEffect } from '../hindsight/hints.ts';
import { injectIntoChat, instruction } from '../hindsight/inject.ts';
import type { Message } from '../hindsight/inject.ts';
import type { Turn } from '../journal/records.ts';
import { environmentTokens } from './environment.ts';
import { tokenAdvantages } from './firstGeneration.ts';
import type { Lesson, LessonSource, Masked, SequenceOptions } from './sequences.ts';

/** Tokens of a response that are taught at most. */
const TAUGHT_TOKENS = 256;

type Scored = ScoreResult['sequences'][number];

/** @returns the reason in `masked` where the sample is of no use */
export async function actionLesson(source: LessonSource, options: SequenceOptions): Promise<Lesson | Masked> {
  const { sample, turn } = source;
  const about = { sample: sample.id, told: null, promptMode: turn.promptMode };
  const tokens = turn.responseIds.slice(0, Math.min(TAUGHT_TOKENS, options.engine.model.maxPositions - turn.promptIds.length));
  if (turn.promptIds.length === 0 || tokens.length === 0) return { ...about, masked: 'The response has no tokens here.' };
  switch (sample.route) {
    case 'policyGradient':
      return { ...about, sequence: await foreseeing(source, rewarded(source, tokens, options), options) };
    case 'distillation': {
      const taught = await (turn.action?.practised ? imitated(source, tokens, options) : distilled(source, tokens, options));
      return typeof taught === 'string' ? { ...about, masked: taught } : { ...about, sequence: await foreseeing(source, taught, options) };
    }
    case 'sft':
      return { ...about, masked: 'Nobody wrote what should have been said.' };
  }
}

function base(turn: Turn, tokens: readonly number[], { settings }: SequenceOptions): TrainSequence & { positions: number[] } {
  const positions = tokens.map((_, at) => turn.promptIds.length + at);
  return { positions, ids: [...turn.promptIds, ...tokens], temperature: turn.sampling.temperature > 0 ? turn.sampling.temperature : 1, ...(settings.klBeta > 0 && { kl: { positions } }) };
}

function rewarded({ sample, turn }: LessonSource, tokens: readonly number[], options: SequenceOptions): TrainSequence {
  const { positions, ...sequence } = base(turn, tokens, options);
  return { ...sequence, pg: { positions, advantages: positions.map(() => (sample.advantage ?? 0) * sample.weight), behaviour: tokens.map((_, at) => turn.logprobs[at] ?? null) } };
}

/** @returns a sentence where it teaches nothing */
async function distilled(source: LessonSource, tokens: readonly number[], options: SequenceOptions): Promise<TrainSequence | string> {
  const { engine, adapter, settings, method } = options;
  const { sample, turn, hints } = source;
  const messages = turn.action?.messages;
  const texts = askedHints(hints.filter(({ text }) => text.trim() !== '').map(instruction), settings.hintMode);
  if (messages === undefined || texts.length === 0) return 'What the model read, or what was said against it, is not known.';
  const { positions, ...sequence } = base(turn, tokens, options);
  const { sequences: [student] } = await engine.score({ sequences: [{ ids: sequence.ids, positions }], adapter, temperature: sequence.temperature, topK: settings.topK });
  const supports = tokens.map((_, at) => supportAt(student, at));
  const moved: Moved[] = [];
  // One teacher pass a hint; how far they overlap is asked only where there is something to choose.
  for (const text of texts) moved.push(...(await movedBy(text, { turn, messages, tokens, positions, supports, temperature: sequence.temperature, topK: texts.length > 1 ? settings.topK : 0 }, options)));
  if (moved.length === 0) return 'The hint does not fit beside the prompt.';
  const best = chooseHint(moved);
  if (best === null) return 'The hint does not move the model.';
  if (method.tokenAdvantages) return { ...sequence, pg: { positions, advantages: tokenAdvantages(best.logprobs, student?.logprobs ?? [], sample.advantage), behaviour: tokens.map((_, at) => turn.logprobs[at] ?? null) } };
  // Good, and something was said all the same: it is rewarded, and taught.
  return { ...(sample.advantage === null ? sequence : rewarded(source, tokens, options)), opd: best.opd };
}

/** Practice: the response that turned the tests green, by forward KL from the teacher that read the
 *  reflection, or from the model itself where none was needed. @returns a sentence where it teaches nothing */
async function imitated({ turn, hints }: LessonSource, tokens: readonly number[], options: SequenceOptions): Promise<TrainSequence | string> {
  const { engine, teacher: adapter, settings, method } = options;
  const messages = turn.action?.messages;
  if (!method.splice || messages === undefined) return 'This method does not imitate.';
  const reflection = hints.find(({ source }) => source === 'reflection')?.text ?? '';
  const prompt = reflection === '' ? turn.promptIds : await hintedPrompt(turn, messages, reflection, engine);
  if (prompt.length + tokens.length > engine.model.maxPositions) return 'The hint does not fit beside the prompt.';
  const { positions, ...sequence } = base(turn, tokens, options);
  const { sequences: [teacher] } = await engine.score({ sequences: [{ ids: [...prompt, ...tokens], positions: tokens.map((_, at) => prompt.length + at) }], adapter, temperature: sequence.temperature, topK: settings.topK });
  const rows = tokens.flatMap((token, at) => {
    const target = spliceTarget(teacher?.topIds[at] ?? [], teacher?.topLogprobs[at] ?? [], { token, logprob: teacher?.logprobs[at] ?? null }, settings.spliceFloor);
    return target === null ? [] : [{ position: positions[at] ?? 0, ...target }];
  });
  return { ...sequence, splice: { positions: rows.map((row) => row.position), tokens: rows.map((row) => row.tokens), targets: rows.map((row) => row.targets) } };
}

/** ECHO, where it is asked for: what the commands before the response printed is foreseen, too. */
async function foreseeing({ turn }: LessonSource, sequence: TrainSequence, { engine, settings, method }: SequenceOptions): Promise<TrainSequence> {
  if (settings.ceLambda === 0 || method.supervised) return sequence;
  const { text, offsets } = await engine.detokenize({ ids: turn.promptIds });
  const positions = environmentTokens(text, offsets);
  return positions.length === 0 ? sequence : { ...sequence, ce: { positions } };
}

interface Moved extends HintEffect {
  opd: NonNullable<TrainSequence['opd']>;
  /** log p of the response's own tokens. */
  logprobs: readonly (number | null)[];
}

interface Response {
  turn: Turn;
  messages: readonly Message[];
  tokens: readonly number[];
  positions: readonly number[];
  supports: readonly (Support | null)[];
  temperature: number;
  topK: number;
}

/** What one hint makes of the teacher; nothing where it does not fit. */
async function movedBy(hint: string, { turn, messages, tokens, positions, supports, temperature, topK }: Response, { engine, teacher: adapter, settings }: SequenceOptions): Promise<Moved[]> {
  const prompts = [await hintedPrompt(turn, messages, hint, engine), ...(settings.contrast ? [await hintedPrompt(turn, messages, unrelatedHint(turn, hint), engine)] : [])];
  if (prompts.some((prompt) => prompt.length + tokens.length > engine.model.maxPositions)) return [];
  const { sequences: [teacher, wrong] } = await engine.score({
    sequences: prompts.map((prompt) => ({ ids: [...prompt, ...tokens], positions: tokens.map((_, at) => prompt.length + at), candidates: supports.map((one) => one?.tokens ?? []) })),
    adapter,
    temperature,
    topK,
  });
  const rows = supports.flatMap((one, at) => {
    if (one === null) return [];
    const move = delta(teacher?.candidateLogprobs[at] ?? [], wrong?.candidateLogprobs[at] ?? one.student, settings.deltaClip);
    return [{ position: positions[at] ?? 0, tokens: one.tokens, delta: move, weights: one.weights, overlap: overlapOf(one.tokens, teacher, at) }];
  });
  const opd = { positions: rows.map((row) => row.position), tokens: rows.map((row) => row.tokens), delta: rows.map((row) => row.delta), weights: rows.map((row) => row.weights) };
  return [{ opd, logprobs: teacher?.logprobs ?? [], overlap: rows.reduce((sum, row) => sum + row.overlap, 0), meanDelta: meanMove(rows) }];
}

async function hintedPrompt({ promptIds }: Turn, messages: readonly Message[], hint: string, engine: Engine): Promise<number[]> {
  const { bos } = engine.model;
  const { ids } = await engine.render({ messages: injectIntoChat(messages, hint), addGenerationPrompt: true });
  return bos !== null && promptIds[0] === bos && ids[0] !== bos ? [bos, ...ids] : ids;
}

function overlapOf(own: readonly number[], teacher: Scored | undefined, at: number): number {
  const known = new Set(own);
  return (teacher?.topIds[at] ?? []).filter((token) => known.has(token)).length;
}

/** The student's own top K; there is no token of a developer to lift. */
function supportAt(scored: Scored | undefined, at: number): Support | null {
  const [ids, logprobs] = [scored?.topIds[at] ?? [], scored?.topLogprobs[at] ?? []];
  return support(ids, logprobs, { token: ids[0] ?? 0, logprob: logprobs[0] ?? null }, 0);
}

function meanMove(rows: readonly { delta: readonly (number | null)[] }[]): number {
  const known = rows.flatMap((row) => row.delta.filter((value) => value !== null));
  return known.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(1, known.length);
}
