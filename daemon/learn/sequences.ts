/**
 * From samples to training sequences. One sequence per sample carries all its terms: student prompt,
 * tokens shared by response and developer, then either the response's own token (policy gradient at
 * the divergence) or the developer's text (distillation, splice, supervised). A term's row depends
 * only on what precedes it, so OPD at d needs no second sequence with the response's token.
 *
 * Teacher and student are the same weights (the serving adapter, unless the settings name another
 * teacher), the same pass and temperature; the teacher's prompt has the hint. A sample that cannot be built is masked with a reason: it never
 * becomes a zero (invariant 6 of design.md).
 */
import type { TrainSequence } from '../../protocol/engine.ts';
import type { Engine } from '../engine/engine.ts';
import { unrelatedHint } from '../hindsight/contrast.ts';
import { delta, spliceTarget, support } from '../hindsight/distill.ts';
import type { Support } from '../hindsight/distill.ts';
import { teacherPrompt } from '../hindsight/inject.ts';
import type { HintSnippet } from '../hindsight/inject.ts';
import type { Hint, NextState, Sample, Turn } from '../journal/records.ts';
import { actionLesson } from './actionLessons.ts';
import { firstGenerationLesson } from './firstGeneration.ts';
import { developerHint, planLesson } from './plan.ts';
import type { Plan } from './plan.ts';
import type { LearnSettings, Method } from './settings.ts';

/** A leased sample with what it came from. */
export interface LessonSource {
  sample: Sample;
  turn: Turn;
  next: NextState;
  /** Those that may teach, see `hintCandidates`. */
  hints: readonly Hint[];
}

export interface Lesson {
  sample: number;
  sequence: TrainSequence;
  /** log p_teacher - log p_student of the developer's token at the divergence; null = not measured. */
  told: number | null;
  promptMode: Turn['promptMode'];
}

export interface Masked {
  sample: number;
  masked: string;
  told: number | null;
  promptMode: Turn['promptMode'];
}

export interface SequenceOptions {
  engine: Engine;
  /** Serving adapter, the student's weights; null = base. */
  adapter: string | null;
  /** The teacher's, by `settings.teacher`; held constant. */
  teacher: string | null;
  method: Method;
  settings: LearnSettings;
  opdOn: (mode: Turn['promptMode']) => boolean;
  snippetIds: (snippet: HintSnippet) => Promise<number[]>;
}

interface Draft {
  source: LessonSource;
  plan: Plan;
  /** First tokens of the developer's text from token d on. */
  written: number[];
  teacherIds: number[] | null;
  /** The teacher's prompt with an unrelated hint in the hint's place; null without contrast. */
  wrongIds: number[] | null;
  support: Support | null;
  told: number | null;
  terms: Pick<TrainSequence, 'opd' | 'splice'>;
}

/** Sequences of some samples, by two batched score passes at most. Order is kept. */
export async function buildLessons(sources: readonly LessonSource[], options: SequenceOptions): Promise<(Lesson | Masked)[]> {
  const alone = new Map<number, Lesson | Masked>();
  for (const source of sources) {
    if (source.turn.action !== undefined) alone.set(source.sample.id, await actionLesson(source, options));
    else if (options.method.tokenAdvantages && source.sample.route === 'distillation') alone.set(source.sample.id, await firstGenerationLesson(source, options));
  }
  const written = await buildWritten(sources.filter(({ sample }) => !alone.has(sample.id)), options);
  const bySample = new Map([...alone, ...written.map((lesson) => [lesson.sample, lesson] as const)]);
  return sources.flatMap(({ sample }) => bySample.get(sample.id) ?? []);
}

/** Of completions: what the developer wrote is text. */
async function buildWritten(sources: readonly LessonSource[], options: SequenceOptions): Promise<(Lesson | Masked)[]> {
  const plans = sources.map((source) => planLesson(source, options.method));
  const drafts = await draft(sources, plans, options);
  const distilled = drafts.filter((one) => one !== null && one.plan.kind === 'distillation' && one.written.length > 0) as Draft[];
  await addTeachers(distilled, options);
  const taught = distilled.filter((one) => one.teacherIds !== null);
  await scoreStudent(taught, options);
  await scoreTeacher(taught, options);
  return sources.map((source, index) => {
    const one = drafts[index] ?? null;
    const plan = plans[index];
    const about = { sample: source.sample.id, told: one?.told ?? null, promptMode: source.turn.promptMode };
    if (one === null) return { ...about, masked: plan !== undefined && 'masked' in plan ? plan.masked : 'It could not be built.' };
    const sequence = assemble(one, options.settings);
    return sequence === null ? { ...about, masked: unusable(one) } : { ...about, sequence };
  });
}

async function draft(sources: readonly LessonSource[], plans: readonly (Plan | { masked: string })[], options: SequenceOptions): Promise<(Draft | null)[]> {
  const texts = plans.map((plan) => ('masked' in plan ? '' : plan.writtenText));
  const { ids } = await options.engine.tokenize({ texts });
  return sources.map((source, index) => {
    const plan = plans[index];
    if (plan === undefined || 'masked' in plan) return null;
    const room = options.engine.model.maxPositions - source.turn.promptIds.length - plan.shared;
    const written = (ids[index] ?? []).slice(0, Math.max(0, Math.min(options.settings.spliceTokens, room)));
    return { source, plan, written, teacherIds: null, wrongIds: null, support: null, told: null, terms: {} };
  });
}

async function addTeachers(drafts: readonly Draft[], { engine, settings, snippetIds }: SequenceOptions): Promise<void> {
  for (const one of drafts) {
    const { turn, hints } = one.source;
    const hint = developerHint(hints) ?? '';
    const tail = [...turn.responseIds.slice(0, one.plan.shared), ...one.written];
    const room = engine.model.maxPositions - turn.promptIds.length - tail.length;
    const options = { bos: engine.model.bos, room, snippetIds };
    const prompt = await teacherPrompt(turn, hint, options);
    // Without a hint the teacher is the student: there is nothing to distil.
    one.teacherIds = prompt === null || prompt === turn.promptIds ? null : [...prompt, ...tail];
    const wrong = settings.contrast && one.plan.teachable ? await teacherPrompt(turn, unrelatedHint(turn, hint), options) : null;
    one.wrongIds = wrong === null ? null : [...wrong, ...tail.slice(0, one.plan.shared + 1)];
  }
}

/** Student's own top-K at d, and the log-prob of the developer's token there. */
async function scoreStudent(drafts: readonly Draft[], { engine, adapter, settings }: SequenceOptions): Promise<void> {
  const wanted = drafts.filter((one) => one.plan.teachable);
  if (wanted.length === 0) return;
  const { sequences } = await engine.score({
    sequences: wanted.map(({ source: { turn }, plan, written }) => ({
      ids: [...turn.promptIds, ...turn.responseIds.slice(0, plan.shared), written[0] ?? 0],
      positions: [turn.promptIds.length + plan.shared],
    })),
    adapter,
    temperature: temperatureOf(wanted[0]),
    topK: settings.topK,
  });
  wanted.forEach((one, index) => {
    const scored = sequences[index];
    const developer = { token: one.written[0] ?? 0, logprob: scored?.logprobs[0] ?? null };
    one.support = support(scored?.topIds[0] ?? [], scored?.topLogprobs[0] ?? [], developer, settings.developerWeight);
  });
}

/** The hinted teacher on the developer's text: D of the support at d, and the splice targets. */
async function scoreTeacher(drafts: readonly Draft[], options: SequenceOptions): Promise<void> {
  const { engine, teacher, settings, method } = options;
  const wanted = drafts.filter((one) => method.splice || one.support !== null);
  if (wanted.length === 0) return;
  const { sequences } = await engine.score({
    sequences: wanted.map((one) => {
      const teacherIds = one.teacherIds ?? [];
      const first = teacherIds.length - one.written.length;
      const positions = method.splice ? range(first - one.plan.shared, Math.min(teacherIds.length, first - one.plan.shared + settings.spliceTokens)) : [first];
      if (!positions.includes(first)) positions.push(first);
      return { ids: teacherIds.slice(0, (positions.at(-1) ?? first) + 1), positions, candidates: positions.map((position) => (position === first ? (one.support?.tokens ?? []) : [])) };
    }),
    adapter: teacher,
    temperature: temperatureOf(wanted[0]),
    topK: method.splice ? settings.topK : 0,
  });
  const wrong = settings.contrast ? await scoreWrong(wanted, options) : null;
  wanted.forEach((one, index) => {
    const scored = sequences[index];
    if (scored === undefined) return;
    // With contrast, what could not be contrasted is unknown.
    addOpd(one, scored.candidateLogprobs.find((row) => row.length > 0) ?? [], wrong === null ? (one.support?.student ?? []) : (wrong.get(one) ?? []), options);
    if (method.splice) addSplice(one, scored, settings);
  });
}

/** The teacher under the unrelated hints, at d: what the mere presence of a hint does. */
async function scoreWrong(drafts: readonly Draft[], { engine, teacher }: SequenceOptions): Promise<Map<Draft, (number | null)[]>> {
  const wanted = drafts.filter((one) => one.support !== null && one.wrongIds !== null);
  if (wanted.length === 0) return new Map();
  const { sequences } = await engine.score({
    sequences: wanted.map(({ wrongIds, support }) => ({ ids: wrongIds ?? [], positions: [(wrongIds ?? []).length - 1], candidates: [support?.tokens ?? []] })),
    adapter: teacher,
    temperature: temperatureOf(wanted[0]),
    topK: 0,
  });
  return new Map(wanted.map((one, index) => [one, sequences[index]?.candidateLogprobs[0] ?? []]));
}

/** @param reference  what the teacher is compared with, per token of the support */
function addOpd(one: Draft, teacher: readonly (number | null)[], reference: readonly (number | null)[], { settings, opdOn }: SequenceOptions): void {
  if (one.support === null) return;
  const { tokens, student, weights } = one.support;
  const own = tokens.indexOf(one.written[0] ?? -1);
  const told = teacher[own] ?? null;
  one.told = told === null ? null : told - (student[own] ?? told);
  if (!opdOn(one.source.turn.promptMode)) return;
  const position = one.source.turn.promptIds.length + one.plan.shared;
  one.terms.opd = { positions: [position], tokens: [tokens], delta: [delta(teacher, tokens.map((_, index) => reference[index] ?? null), settings.deltaClip)], weights: [weights] };
}

/** The whole text that the developer wrote: what the response shares with it, too. A shared token's
 *  target is at least what the student gave it, so that none of them is ever lowered (conformance 27). */
function addSplice(one: Draft, scored: { logprobs: (number | null)[]; topIds: number[][]; topLogprobs: (number | null)[][] }, settings: LearnSettings): void {
  const { turn } = one.source;
  const text = [...turn.responseIds.slice(0, one.plan.shared), ...one.written].slice(0, settings.spliceTokens);
  const rows = text.flatMap((token, index) => {
    const own = index < one.plan.shared ? Math.exp(turn.logprobs[index] ?? 0) : 0;
    const target = spliceTarget(scored.topIds[index] ?? [], scored.topLogprobs[index] ?? [], { token, logprob: scored.logprobs[index] ?? null }, Math.max(settings.spliceFloor, own));
    return target === null ? [] : [{ position: turn.promptIds.length + index, ...target }];
  });
  if (rows.length === 0) return;
  one.terms.splice = { positions: rows.map((row) => row.position), tokens: rows.map((row) => row.tokens), targets: rows.map((row) => row.targets) };
}

/** null where no term is left. */
function assemble(one: Draft, settings: LearnSettings): TrainSequence | null {
  const { turn, sample } = one.source;
  const { plan } = one;
  const start = turn.promptIds.length;
  const end = plan.kind === 'policyGradient' ? turn.responseIds.slice(plan.shared, plan.shared + (plan.contradicted ? 1 : 0)) : one.written;
  const ids = [...turn.promptIds, ...turn.responseIds.slice(0, plan.shared), ...end];
  const sequence: TrainSequence = { ids, temperature: turn.sampling.temperature > 0 ? turn.sampling.temperature : 1, ...one.terms };
  if (plan.pg.length > 0) {
    sequence.pg = {
      positions: plan.pg.map((token) => start + token),
      advantages: plan.pg.map(() => (sample.advantage ?? 0) * sample.weight),
      // What was recalled has no policy that it was drawn from: c is 1, as for a demonstration.
      ...(turn.source !== 'recall' && { behaviour: plan.pg.map((token) => turn.logprobs[token] ?? null) }),
    };
  }
  if (plan.kind === 'sft') sequence.ce = { positions: range(start + plan.from, ids.length) };
  const trained = [...new Set([...(sequence.pg?.positions ?? []), ...(sequence.opd?.positions ?? []), ...(sequence.splice?.positions ?? [])])].sort((a, b) => a - b);
  if (trained.length === 0 && (sequence.ce?.positions.length ?? 0) === 0) return null;
  // The anchor to the base holds what is trained, but would pull at shared tokens that only the splice
  // raises; plain cross-entropy has no anchor by definition.
  const anchored = trained.filter((position) => position >= start + plan.shared || sequence.pg?.positions.includes(position));
  if (settings.klBeta > 0 && anchored.length > 0) sequence.kl = { positions: anchored };
  return sequence;
}

function unusable(one: Draft): string {
  if (one.plan.kind !== 'distillation') return 'No token of it can be trained.';
  if (one.teacherIds === null) return 'The hint does not fit beside the prompt.';
  return one.plan.teachable ? 'Hints tell this model nothing yet.' : 'The diverging token was never offered.';
}

/** Completions decode greedily, their log-probs are at temperature 1. */
function temperatureOf(one: Draft | undefined): number {
  const temperature = one?.source.turn.sampling.temperature ?? 0;
  return temperature > 0 ? temperature : 1;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
