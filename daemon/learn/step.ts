/**
 * One optimizer step: ready samples → leased → sequences → gradients → AdamW → candidate on disk.
 *
 * Exactly once (conformance 17): samples are leased in the transaction that makes the step's row and
 * consumed in the one that makes the candidate's; a crash in between leaves a `running` step, whose
 * samples `Trainer.recover` releases. Nothing of the serving adapter is touched on the way.
 */
import type { LossSettings, TrainSequence } from '../../protocol/engine.ts';
import type { AdapterStore, ServedAdapter } from '../adapters/store.ts';
import type { Clock } from '../clock.ts';
import type { Engine } from '../engine/engine.ts';
import { hintCandidates } from '../hindsight/hints.ts';
import type { InformativenessRecord } from '../hindsight/informativeness.ts';
import type { HintSnippet } from '../hindsight/inject.ts';
import type { Journal } from '../journal/journal.ts';
import type { Sample, Turn } from '../journal/records.ts';
import type { LessonCache } from './rehearsal.ts';
import { consumedSamples, drawRehearsed, skillSequence, skillTexts } from './rehearsal.ts';
import { buildLessons } from './sequences.ts';
import type { Lesson, LessonSource, SequenceOptions } from './sequences.ts';
import { METHODS } from './settings.ts';
import type { LearnSettings } from './settings.ts';
import { generator } from '../random.ts';
import type { Trainable } from './trainable.ts';

export interface StepParts {
  journal: Journal;
  engine: Engine;
  adapters: AdapterStore;
  trainable: Trainable;
  /** Sequences of earlier steps, for rehearsal. */
  lessons: LessonCache;
  settings: LearnSettings;
  clock: Clock;
  informativeness: InformativenessRecord;
  snippetIds: (snippet: HintSnippet) => Promise<number[]>;
  /** Makes sure that it is known whether hints tell the model something under a prompt mode. */
  measureHints: (mode: Turn['promptMode']) => Promise<void>;
  /** Waits while training is paused. @throws cancelled when the trainer closes */
  checkpoint: () => Promise<void>;
  onProgress: (phase: 'score' | 'train', done: number, of: number) => void;
  onWarning: (sentence: string) => void;
}

export interface StepRequest {
  workspace: string;
  /** Fewest effective samples worth a step. */
  least: number;
  lr: number;
  /** Weight of the hold on the base. */
  skillBeta: number;
}

/** Sequences of one engine call; training can pause between two of them. */
const MICRO_BATCH = 4;
/** Effective sample size of c under which the served and the trained policy have drifted apart. */
const LEAST_ESS = 0.3;

/** @returns the step's id, or null where there were too few samples; its state is then `trained` */
export async function takeStep(request: StepRequest, parts: StepParts): Promise<number | null> {
  const { journal, settings, clock } = parts;
  const { workspace } = request;
  const ready = freshSamples(request, parts);
  if (ready.length < request.least) return null;
  const step = journal.transaction(() => {
    const id = journal.insertStep({ workspace, seed: settings.seed, startedAt: clock.now(), state: 'running', candidate: null, metrics: {} });
    journal.leaseSamples(ready.map((sample) => sample.id), id);
    return id;
  });
  try {
    return await train(step, ready, request, parts);
  } catch (thrown) {
    parts.trainable.spoiled(workspace);
    journal.transaction(() => {
      journal.releaseSamples(step);
      journal.updateStep(step, { state: 'failed' });
    });
    throw thrown;
  }
}

async function train(step: number, first: readonly Sample[], request: StepRequest, parts: StepParts): Promise<number | null> {
  const { journal, adapters, trainable, settings, clock } = parts;
  const { workspace } = request;
  const startedAt = clock.now();
  const serving = await adapters.ensureServing(workspace);
  const weights = await weightsOf(workspace, serving, parts);
  const lessons = await effectiveLessons(step, first, weights, request, parts);
  if (lessons.length < request.least) {
    journal.transaction(() => {
      journal.releaseSamples(step);
      journal.updateStep(step, { state: 'failed', metrics: { effective: lessons.length } });
    });
    return null;
  }
  const name = await trainable.at(workspace, serving?.version ?? null);
  const rehearsal = await rehearse(step, workspace, weights, parts);
  const descended = await descend(name, [...lessons.map((lesson) => lesson.sequence), ...rehearsal.lessons], rehearsal.skill, request, parts);
  if (descended === null) return discard(step, lessons, parts, workspace);
  const metrics = { effective: lessons.length, rehearsed: rehearsal.lessons.length, ...descended };
  const version = journal.nextVersion(workspace);
  const candidate = await adapters.writeCandidate(name, {
    workspace, version, parent: serving?.version ?? null, samples: lessons.length, createdAt: clock.now(),
    receipt: { step, seed: settings.seed, settings: { ...settings, lr: request.lr, skillBeta: request.skillBeta }, samples: lessons.map((lesson) => lesson.sample), metrics },
  });
  journal.transaction(() => {
    journal.insertAdapter(candidate);
    journal.consumeSamples(step);
    journal.updateStep(step, { state: 'trained', candidate: version, metrics: { ...metrics, millis: clock.now() - startedAt } });
  });
  trainable.advanced(workspace, version);
  for (const lesson of lessons) parts.lessons.add(lesson.sample, lesson.sequence);
  return step;
}

type LessonWeights = Pick<SequenceOptions, 'adapter' | 'teacher'>;

/** Student and teacher of a step, by their names on the engine. */
async function weightsOf(workspace: string, serving: ServedAdapter | null, { adapters, settings }: StepParts): Promise<LessonWeights> {
  const adapter = serving?.name ?? null;
  switch (settings.teacher) {
    case 'serving':
      return { adapter, teacher: adapter };
    case 'base':
      return { adapter, teacher: null };
    case 'ema':
      return { adapter, teacher: serving === null ? null : await adapters.ensureTeacher(workspace, serving.version, settings.emaRate) };
  }
}

/** Earlier lessons, and texts that hold the general skill; the draw depends on the step alone. */
async function rehearse(step: number, workspace: string, weights: LessonWeights, parts: StepParts): Promise<{ lessons: TrainSequence[]; skill: TrainSequence[] }> {
  const { journal, engine, settings } = parts;
  const random = generator(settings.seed * 100_003 + step);
  const drawn = settings.rehearsedSamples === 0 ? [] : drawRehearsed(consumedSamples(journal, workspace), settings.rehearsedSamples, random);
  const missing = drawn.filter((sample) => parts.lessons.get(sample.id) === null).flatMap((sample) => lessonSource({ ...sample, advantage: null }, journal) ?? []);
  const built = missing.length === 0 ? [] : await buildLessons(missing, { engine, ...weights, method: METHODS[settings.method], settings, opdOn: () => false, snippetIds: parts.snippetIds });
  for (const lesson of built) if (!('masked' in lesson)) parts.lessons.add(lesson.sample, lesson.sequence);
  // Plain cross-entropy has no anchor by definition.
  const held = settings.skillTexts > 0 && !METHODS[settings.method].supervised;
  const texts = held ? await skillTexts(engine, journal) : [];
  const skill = Array.from({ length: Math.min(settings.skillTexts, texts.length) }, () => texts[Math.floor(random() * texts.length)] ?? []).map(skillSequence);
  return { lessons: drawn.flatMap((sample) => parts.lessons.get(sample.id) ?? []), skill };
}

/** A batch whose gradient is not a number would fail for ever: it leaves with that reason. */
function discard(step: number, lessons: readonly Lesson[], { journal, trainable }: StepParts, workspace: string): null {
  trainable.spoiled(workspace);
  journal.transaction(() => {
    for (const lesson of lessons) journal.dropSample(lesson.sample, 'The gradient of its batch was not a number.');
    journal.updateStep(step, { state: 'failed' });
  });
  return null;
}

/** Ready samples of the workspace that were made on this base, oldest first; those of long gone
 *  versions are dropped. Another base's token ids mean other text: they wait for an engine that has it. */
function freshSamples({ workspace }: StepRequest, { journal, settings, engine }: StepParts): Sample[] {
  const promoted = journal.adapters(workspace).filter((record) => record.state === 'serving' || record.state === 'retired' || record.state === 'rolledBack');
  const fresh: Sample[] = [];
  for (const sample of journal.samples({ workspace, state: 'ready' })) {
    const age = promoted.filter((record) => record.version > sample.version).length;
    if (age > settings.maxStaleness) journal.dropSample(sample.id, `It is ${age} versions old; ${settings.maxStaleness} are allowed.`);
    else if (fresh.length < settings.stepSamples && isOf(journal.turn(sample.turn), engine.model.fingerprint)) fresh.push(sample);
  }
  return fresh;
}

/** A turn that is gone is dropped where its lesson is made. */
function isOf(turn: Turn | null, fingerprint: string): boolean {
  return turn === null || turn.fingerprint === fingerprint;
}

/** Sequences of the leased samples, topped up for those that turned out to be masked: masked samples
 *  leave with their reason and do not count towards the batch (conformance 18). */
async function effectiveLessons(step: number, first: readonly Sample[], weights: LessonWeights, request: StepRequest, parts: StepParts): Promise<Lesson[]> {
  const { journal, settings, onProgress } = parts;
  const lessons: Lesson[] = [];
  let batch = first;
  while (batch.length > 0) {
    onProgress('score', lessons.length, settings.stepSamples);
    await parts.checkpoint();
    lessons.push(...(await lessonsOf(batch, weights, parts)));
    const missing = settings.stepSamples - lessons.length;
    batch = missing > 0 ? freshSamples(request, parts).slice(0, missing) : [];
    journal.leaseSamples(batch.map((sample) => sample.id), step);
  }
  onProgress('score', lessons.length, settings.stepSamples);
  return lessons;
}

async function lessonsOf(samples: readonly Sample[], weights: LessonWeights, parts: StepParts): Promise<Lesson[]> {
  const { journal, engine, settings, informativeness } = parts;
  const sources = samples.map((sample) => lessonSource(sample, journal));
  for (const mode of new Set(sources.flatMap((source) => (source?.sample.route === 'distillation' ? [source.turn.promptMode] : [])))) await parts.measureHints(mode);
  const known = sources.filter((source) => source !== null);
  const opdOn = (mode: Turn['promptMode']): boolean => informativeness.opdOn(mode);
  const built = await buildLessons(known, { engine, ...weights, method: METHODS[settings.method], settings, opdOn, snippetIds: parts.snippetIds });
  samples.forEach((sample, index) => {
    if (sources[index] === null) journal.dropSample(sample.id, 'Its turn is gone from the journal.');
  });
  for (const mode of new Set(built.map((lesson) => lesson.promptMode))) {
    const told = built.flatMap((lesson) => (lesson.promptMode === mode && lesson.told !== null ? [lesson.told] : []));
    if (told.length > 0) informativeness.observe(mode, told);
  }
  return built.flatMap((lesson) => {
    if (!('masked' in lesson)) return [lesson];
    journal.dropSample(lesson.sample, lesson.masked);
    return [];
  });
}

function lessonSource(sample: Sample, journal: Journal): LessonSource | null {
  const turn = journal.turn(sample.turn);
  const next = journal.known(sample.turn);
  if (turn === null || next === null || turn.split !== 'train') return null;
  return { sample, turn, next, hints: hintCandidates(journal.hints(sample.turn)) };
}

type Metrics = Record<string, number | null>;

/** Gradients of all lessons in micro-batches, then one AdamW step. null = not a number. */
async function descend(name: string, sequences: readonly TrainSequence[], skill: readonly TrainSequence[], { lr, skillBeta }: StepRequest, parts: StepParts): Promise<Metrics | null> {
  const { engine, settings, onProgress, onWarning } = parts;
  const loss = lossSettings(sequences, settings);
  const sums = { pg: 0, opd: 0, splice: 0, kl: 0, ce: 0 };
  const ess: { value: number; positions: number }[] = [];
  let tokens = 0;
  for (let done = 0; done < sequences.length; done += MICRO_BATCH) {
    onProgress('train', done, sequences.length);
    await parts.checkpoint();
    const result = await engine.forwardBackward({ adapter: name, sequences: sequences.slice(done, done + MICRO_BATCH), settings: loss });
    for (const term of ['pg', 'opd', 'splice', 'kl', 'ce'] as const) {
      if (result.positions[term] > 0 && result.loss[term] === null) return null;
      sums[term] += result.loss[term] ?? 0;
    }
    if (result.effectiveSampleSize !== null) ess.push({ value: result.effectiveSampleSize, positions: result.positions.pg });
    tokens += result.tokens;
  }
  let lossSkill: number | null = null;
  if (skill.length > 0) {
    await parts.checkpoint();
    const result = await engine.forwardBackward({ adapter: name, sequences: [...skill], settings: { ...lossSettings(skill, settings), klBeta: skillBeta } });
    if (result.loss.kl === null) return null;
    lossSkill = result.loss.kl;
    tokens += result.tokens;
  }
  const { beta1, beta2, eps, weightDecay, clipNorm } = settings;
  const { gradNorm } = await engine.optimStep({ adapter: name, lr, beta1, beta2, eps, weightDecay, clipNorm });
  onProgress('train', sequences.length, sequences.length);
  const effectiveSampleSize = weightedMean(ess);
  if (effectiveSampleSize !== null && effectiveSampleSize < LEAST_ESS) {
    onWarning(`What was served and what is trained have drifted apart: effective sample size ${effectiveSampleSize.toFixed(2)}.`);
  }
  const lossOf = (term: keyof typeof sums): number | null => (loss.divisor[term] > 0 ? sums[term] : null);
  return { lr, skillBeta, tokens, lossSkill, gradNorm, effectiveSampleSize, lossPg: lossOf('pg'), lossOpd: lossOf('opd'), lossSplice: lossOf('splice'), lossKl: lossOf('kl'), lossCe: lossOf('ce') };
}

/** Every term is averaged over the sequences of the whole step that have it. */
function lossSettings(sequences: readonly TrainSequence[], settings: LearnSettings): LossSettings {
  const having = (term: 'pg' | 'opd' | 'splice' | 'kl' | 'ce'): number => sequences.filter((sequence) => sequence[term] !== undefined).length;
  const divisor = { pg: having('pg'), opd: having('opd'), splice: having('splice'), kl: having('kl'), ce: having('ce') };
  const { clipLow, clipHigh, klBeta, pgWeight, opdWeight, spliceWeight } = settings;
  // Supervised sequences are the only ones with cross-entropy here, and they have nothing else.
  const ceLambda = METHODS[settings.method].supervised ? 1 : settings.ceLambda;
  return { clipLow, clipHigh, klBeta, ceLambda, pgWeight, opdWeight, spliceWeight, divisor };
}

function weightedMean(values: readonly { value: number; positions: number }[]): number | null {
  const positions = values.reduce((sum, one) => sum + one.positions, 0);
  return positions === 0 ? null : values.reduce((sum, one) => sum + one.value * one.positions, 0) / positions;
}
