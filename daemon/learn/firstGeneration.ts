/**
 * The first generation of OpenClaw-RL (arXiv 2603.10165): verdict and hint are one advantage per token of
 * the response, A_t = (log p_teacher - log p_old) + r, with the weights 1 and 1, in the clipped policy
 * gradient. The teacher reads the hint; p_old are the step's starting weights. It stays available as
 * `combined-gen1`, to be compared with.
 */
import type { TrainSequence } from '../../protocol/engine.ts';
import { teacherPrompt } from '../hindsight/inject.ts';
import { developerHint, planLesson } from './plan.ts';
import type { Lesson, LessonSource, Masked, SequenceOptions } from './sequences.ts';

type Known = number | null;

/** @param reward  r of the whole response; null where there is no verdict
 *  @param shared  leading tokens that were right: their advantage is never negative (conformance 27)
 *  @returns null where the teacher or the student is unknown */
export function tokenAdvantages(teacher: readonly Known[], old: readonly Known[], reward: Known, shared = 0): Known[] {
  return teacher.map((hinted, at) => {
    const own = old[at] ?? null;
    if (hinted === null || own === null) return null;
    const advantage = hinted - own + (reward ?? 0);
    return at < shared ? Math.max(0, advantage) : advantage;
  });
}

/** Of a completion: its tokens up to the divergence, that one included where it was offered; what follows it is masked. */
export async function firstGenerationLesson(source: LessonSource, options: SequenceOptions): Promise<Lesson | Masked> {
  const { sample, turn, hints } = source;
  const { engine, adapter, teacher, method, settings } = options;
  const about = { sample: sample.id, told: null, promptMode: turn.promptMode };
  const plan = planLesson(source, method);
  if ('masked' in plan) return { ...about, masked: plan.masked };
  const tokens = turn.responseIds.slice(0, plan.shared + (plan.teachable ? 1 : 0));
  if (tokens.length === 0) return { ...about, masked: 'The diverging token was never offered.' };
  const room = engine.model.maxPositions - turn.promptIds.length - tokens.length;
  const hinted = await teacherPrompt(turn, developerHint(hints) ?? '', { bos: engine.model.bos, room, snippetIds: options.snippetIds });
  if (hinted === null || hinted === turn.promptIds) return { ...about, masked: 'The hint does not fit beside the prompt.' };
  const { ids: [written] } = await engine.tokenize({ texts: [plan.writtenText] });
  const wanted = written?.slice(0, 1) ?? [];
  const temperature = turn.sampling.temperature > 0 ? turn.sampling.temperature : 1;
  const pass = async (prompt: readonly number[], of: string | null) => {
    const positions = tokens.map((_, at) => prompt.length + at);
    const candidates = tokens.map((_, at) => (at === plan.shared ? wanted : []));
    const { sequences: [scored] } = await engine.score({ sequences: [{ ids: [...prompt, ...tokens], positions, candidates }], adapter: of, temperature });
    return { logprobs: scored?.logprobs ?? [], wanted: scored?.candidateLogprobs[plan.shared]?.[0] ?? null };
  };
  const [taught, old] = [await pass(hinted, teacher), await pass(turn.promptIds, adapter)];
  const told = taught.wanted === null || old.wanted === null ? null : taught.wanted - old.wanted;
  if (!options.opdOn(turn.promptMode)) return { ...about, told, masked: 'Hints tell this model nothing yet.' };
  const positions = tokens.map((_, at) => turn.promptIds.length + at);
  const sequence: TrainSequence = {
    ids: [...turn.promptIds, ...tokens],
    temperature,
    pg: { positions, advantages: tokenAdvantages(taught.logprobs, old.logprobs, sample.advantage, plan.shared), behaviour: positions.map((_, at) => turn.logprobs[at] ?? null) },
    ...(settings.klBeta > 0 && { kl: { positions } }),
  };
  return { ...about, told, sequence };
}
