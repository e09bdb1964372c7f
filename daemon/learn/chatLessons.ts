/**
 * Lessons from replies (OpenClaw-RL v2: chat). A verdict rewards or punishes the whole reply; a
 * correction teaches at every token of it: student and teacher are the same weights, and the teacher
 * reads the user's correction at the end of the last user message (hindsight/inject.ts). The reply's
 * own ids are scored under both; nothing of it is re-tokenised. Nobody wrote what should have been
 * said, so there is no splice and nothing for `sft`.
 */
import type { TrainSequence } from '../../protocol/engine.ts';
import { delta, support } from '../hindsight/distill.ts';
import type { Support } from '../hindsight/distill.ts';
import { unrelatedHint } from '../hindsight/contrast.ts';
import { injectIntoChat } from '../hindsight/inject.ts';
import type { Turn } from '../journal/records.ts';
import type { Lesson, LessonSource, Masked, SequenceOptions } from './sequences.ts';

/** Tokens of a reply that are taught at most. */
const TAUGHT_TOKENS = 256;
/** A hint that moves the teacher less than this, in mean |D|, teaches nothing (learning.md, "Hints"). */
const LEAST_MEAN_DELTA = 0.02;

export function isReply({ modality, action }: Turn): boolean {
  return modality === 'chat' && action !== undefined && action.calls.length === 0;
}

/** @returns null where the sample is of no use; the reason is then in `masked` */
export async function chatLesson(source: LessonSource, options: SequenceOptions): Promise<Lesson | Masked> {
  const { sample, turn } = source;
  const about = { sample: sample.id, told: null, promptMode: turn.promptMode };
  const tokens = turn.responseIds.slice(0, Math.min(TAUGHT_TOKENS, options.engine.model.maxPositions - turn.promptIds.length));
  if (turn.promptIds.length === 0 || tokens.length === 0) return { ...about, masked: 'The reply has no tokens here.' };
  switch (sample.route) {
    case 'policyGradient':
      return { ...about, sequence: rewarded(source, tokens, options) };
    case 'distillation': {
      const taught = await distilled(source, tokens, options);
      return typeof taught === 'string' ? { ...about, masked: taught } : { ...about, sequence: taught };
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
async function distilled({ turn, hint }: LessonSource, tokens: readonly number[], options: SequenceOptions): Promise<TrainSequence | string> {
  const { engine, adapter, teacher: teacherAdapter, settings } = options;
  const messages = turn.action?.messages;
  if (messages === undefined || !(hint ?? '').trim()) return 'What the model read, or what was said against it, is not known.';
  const { positions, ...sequence } = base(turn, tokens, options);
  const hinted = async (text: string): Promise<number[]> => {
    const { ids } = await engine.render({ messages: injectIntoChat(messages, text), addGenerationPrompt: true });
    return turn.promptIds[0] === engine.model.bos && ids[0] !== engine.model.bos ? [engine.model.bos, ...ids] : ids;
  };
  const prompts = [await hinted(hint ?? ''), ...(settings.contrast ? [await hinted(unrelatedHint(turn, hint ?? ''))] : [])];
  if (prompts.some((prompt) => prompt.length + tokens.length > engine.model.maxPositions)) return 'The hint does not fit beside the prompt.';
  const student = await engine.score({ sequences: [{ ids: sequence.ids, positions }], adapter, temperature: sequence.temperature, topK: settings.topK });
  const supports = tokens.map((_, at) => supportAt(student.sequences[0], at));
  const { sequences: [teacher, wrong] } = await engine.score({
    sequences: prompts.map((prompt) => ({ ids: [...prompt, ...tokens], positions: tokens.map((_, at) => prompt.length + at), candidates: supports.map((one) => one?.tokens ?? []) })),
    adapter: teacherAdapter,
    temperature: sequence.temperature,
    topK: 0,
  });
  const rows = supports.flatMap((one, at) => {
    if (one === null) return [];
    const moved = delta(teacher?.candidateLogprobs[at] ?? [], wrong?.candidateLogprobs[at] ?? one.student, settings.deltaClip);
    return [{ position: positions[at] ?? 0, tokens: one.tokens, delta: moved, weights: one.weights }];
  });
  if (meanMove(rows) < LEAST_MEAN_DELTA) return 'The correction does not move the model.';
  return { ...sequence, opd: { positions: rows.map((row) => row.position), tokens: rows.map((row) => row.tokens), delta: rows.map((row) => row.delta), weights: rows.map((row) => row.weights) } };
}

/** The student's own top K; there is no token of a developer to lift. */
function supportAt(scored: { topIds: number[][]; topLogprobs: (number | null)[][] } | undefined, at: number): Support | null {
  const [ids, logprobs] = [scored?.topIds[at] ?? [], scored?.topLogprobs[at] ?? []];
  return support(ids, logprobs, { token: ids[0] ?? 0, logprob: logprobs[0] ?? null }, 0);
}

function meanMove(rows: readonly { delta: readonly (number | null)[] }[]): number {
  const known = rows.flatMap((row) => row.delta.filter((value) => value !== null));
  return known.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(1, known.length);
}
