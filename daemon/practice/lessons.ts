/** What turned the tests green becomes turns and samples: each step as the policy would have taken it
 *  without having read the reflection, which only its teacher reads (learn/actionLessons.ts). */
import { randomUUID } from 'node:crypto';
import type { Attempt } from './attempt.ts';
import type { Practised } from './practice.ts';
import type { Step } from '../agent/chat/task.ts';
import { callText } from '../agent/chat/toolText.ts';
import type { Engine } from '../engine/engine.ts';
import { withoutHint } from '../hindsight/inject.ts';
import type { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { scrubAll } from '../privacy/secrets.ts';

export interface PracticeLesson {
  turn: Turn;
  next: NextState;
  reflection: string | null;
}

export interface LessonPlace {
  engine: Engine;
  workspace: string;
  /** Promoted version that serves; null = base model. */
  adapter: number | null;
  now: number;
}

/** Steps that are too long for the model are left out. */
export async function practiceLessons({ success, reflection }: Pick<Practised, 'success' | 'reflection'>, place: LessonPlace): Promise<PracticeLesson[]> {
  const lessons: PracticeLesson[] = [];
  for (const { step, observations } of success?.steps ?? []) {
    const turn = await turnOf(step, place);
    if (turn === null) continue;
    const next: NextState = { turn: turn.id, outcome: 'observed', acceptedChars: 0, developerText: null, survival: [], decidedAt: place.now, observations: await scrubAll(observations) };
    lessons.push({ turn, next, reflection: reflection === null ? null : await scrubAll(reflection) });
  }
  return lessons;
}

/** All of it, or nothing, in one transaction. @returns how many samples there are now */
export function storeLessons(journal: Journal, lessons: readonly PracticeLesson[], sentence: string): number {
  journal.transaction(() => {
    for (const { turn, next, reflection } of lessons) {
      journal.insertTurn(turn);
      journal.closeTurn(next);
      // It says nothing of how often the agent is right by itself: the baselines do not see it.
      journal.insertVerdict({ turn: turn.id, score: 1, confidence: 1, source: 'verifier', evidence: [`Practice: ${sentence}`], kind: 'provisional', at: next.decidedAt });
      if (reflection !== null) journal.insertHint({ turn: turn.id, source: 'reflection', text: reflection, at: next.decidedAt });
      journal.insertSample({ turn: turn.id, workspace: turn.workspace, route: 'distillation', advantage: null, weight: 1, version: turn.adapter ?? 0 });
    }
  });
  return lessons.length;
}

async function turnOf(step: Step, { engine, workspace, adapter, now }: LessonPlace): Promise<Turn | null> {
  const action = await scrubAll({ ...step.action, practised: true as const, messages: withoutHint(step.action.messages ?? []) });
  const { ids: rendered } = await engine.render({ messages: action.messages, addGenerationPrompt: true });
  const { bos } = engine.model;
  const promptIds = bos === null || rendered[0] === bos ? rendered : [bos, ...rendered];
  const response = await responseOf(step, engine);
  if (response.responseIds.length === 0 || promptIds.length + response.responseIds.length > engine.model.maxPositions) return null;
  return {
    id: `t-${randomUUID()}`, session: `practice-${action.task}`, workspace, modality: step.modality, role: 'main', split: 'train', block: action.task, offeredAt: now,
    uri: '', languageId: '', version: 0, offset: 0, promptIds, promptMode: 'prefix', ...response, shownText: response.rawText, finishReason: 'stop',
    sampling: step.answer.trace.sampling, adapter, fingerprint: engine.model.fingerprint, before: '', after: '', action,
  };
}

type Response = Pick<Turn, 'responseIds' | 'logprobs' | 'rawText' | 'offsets'>;

/** The tokens as they were sampled; those of another model's text are this one's spelling of it. */
async function responseOf({ answer }: Attempt['steps'][number]['step'], engine: Engine): Promise<Response> {
  const { trace } = answer;
  if (trace.fingerprint === engine.model.fingerprint && trace.responseIds.length > 0) {
    const { responseIds, logprobs, rawText, offsets } = trace;
    return { responseIds, logprobs, rawText, offsets };
  }
  const rawText = await scrubAll([answer.text, ...answer.calls.map(callText)].filter((part) => part !== '').join('\n'));
  const { ids } = await engine.tokenize({ texts: [rawText] });
  const responseIds = ids[0] ?? [];
  const { offsets } = await engine.detokenize({ ids: responseIds });
  return { responseIds, logprobs: responseIds.map(() => null), rawText, offsets };
}
