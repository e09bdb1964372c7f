/** Methods and seeds of the simulation side by side, and the one JSON object it answers with. */
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import type { LearnSettings } from '../learn/settings.ts';
import { inLanes } from '../replay/lanes.ts';
import { trains, variantOf } from '../replay/variants.ts';
import { personalisation, scorePerUpdate, sessionsToAlignment } from './alignment.ts';
import type { UpdateScore } from './alignment.ts';
import { PERSONAS } from './personas.ts';
import type { PersonaName } from './personas.ts';
import { simulatePersonal } from './personal.ts';
import type { Accounting, PersonalOptions, PersonalRun } from './personal.ts';

export interface StudyOptions extends Omit<PersonalOptions, 'persona' | 'settings' | 'onSession' | 'threads'> {
  persona: PersonaName;
  methods: readonly string[];
  seeds: number;
  settings: LearnSettings;
  onProgress?: (done: number, of: number, what: string) => void;
}

export interface PersonalMethod {
  seed: number;
  /** Mean first-reply score of all sessions, and after 8 and 16 updates; null = so many were not taken. */
  score: number;
  scoreAfter: { 8: number | null; 16: number | null };
  perUpdate: UpdateScore[];
  /** Sessions until three first replies in a row satisfied; null = not within the sessions. */
  sessionsToAlignment: number | null;
  satisfied: number;
  updates: number;
  promoted: number;
  accounting: Accounting;
  firstReplies: { score: number; text: string }[];
}

export interface PersonalResult {
  model: string;
  persona: PersonaName;
  template: PersonalOptions['template'];
  sessions: number;
  seeds: number;
  settings: LearnSettings;
  /** One entry per seed. */
  methods: Record<string, PersonalMethod[]>;
}

export async function study(options: StudyOptions): Promise<PersonalResult> {
  const { methods, seeds, settings, onProgress, persona, ...common } = options;
  const jobs = methods.map((label) => variantOf(label, settings)).flatMap((variant) =>
    Array.from({ length: trains(variant) ? seeds : 1 }, (_, at) => ({ label: variant.label, settings: { ...variant.settings, seed: variant.settings.seed + at } })));
  const lanes = Math.min(availableParallelism(), jobs.length);
  const threads = Math.max(1, Math.floor(availableParallelism() / lanes));
  const result: PersonalResult = { model: basename(common.modelDir), persona, template: common.template, sessions: common.sessions, seeds, settings, methods: Object.fromEntries(methods.map((label) => [label, []])) };
  let done = 0;
  await inLanes(jobs, lanes, async (job) => {
    const onSession = (): void => onProgress?.(++done, jobs.length * common.sessions, `${job.label}, seed ${job.settings.seed}`);
    const run = await simulatePersonal({ ...common, persona: PERSONAS[persona], settings: job.settings, threads, onSession });
    result.methods[job.label]?.push(methodOf(job.settings.seed, run));
  });
  for (const of of Object.values(result.methods)) of.sort((a, b) => a.seed - b.seed);
  return result;
}

function methodOf(seed: number, { sessions, updates, promoted, accounting }: PersonalRun): PersonalMethod {
  return {
    seed,
    score: sessions.reduce((sum, { score }) => sum + score, 0) / sessions.length,
    scoreAfter: { 8: personalisation(sessions, 8, 16), 16: personalisation(sessions, 16) },
    perUpdate: scorePerUpdate(sessions),
    sessionsToAlignment: sessionsToAlignment(sessions),
    satisfied: sessions.filter(({ satisfied }) => satisfied).length,
    updates,
    promoted,
    accounting,
    firstReplies: sessions.map(({ score, firstReply }) => ({ score, text: firstReply })),
  };
}
