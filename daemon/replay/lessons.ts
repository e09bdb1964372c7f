/** A few of the places that the model was taught at, for a person to read. */
import type { Engine } from '../engine/engine.ts';
import type { Place } from './developer.ts';
import { logLikelihoods } from './likelihood.ts';
import type { Continuation } from './likelihood.ts';
import type { LessonRecord } from './result.ts';

/** A place where the suggestion was not what the developer wrote. */
export interface TaughtPlace {
  commit: string;
  place: Place;
  continuation: Continuation;
  /** Under the adapter that served then. */
  natsBefore: number;
}

const CANDIDATES = 24;
const BETTER = 3;
const WORSE = 1;
const CONTEXT_LINES = 4;

/** The largest changes among evenly spread places: three gains, and the worst loss where there is one. */
export async function pickLessons(engine: Engine, taught: readonly TaughtPlace[], adapter: string): Promise<LessonRecord[]> {
  const every = Math.max(1, taught.length / CANDIDATES);
  const some = Array.from({ length: Math.min(CANDIDATES, taught.length) }, (_, at) => taught[Math.floor(at * every)]).filter((one) => one !== undefined);
  const nats = await logLikelihoods(engine, some.map(({ continuation }) => continuation), adapter);
  const lessons = some.map((one, at) => lessonOf(one, nats[at] ?? one.natsBefore)).sort((a, b) => gain(b) - gain(a));
  return [...lessons.filter((lesson) => gain(lesson) > 0).slice(0, BETTER), ...lessons.filter((lesson) => gain(lesson) < 0).slice(-WORSE)];
}

function lessonOf({ commit, place, natsBefore }: TaughtPlace, natsAfter: number): LessonRecord {
  const above = place.text.slice(0, place.offset).split('\n');
  const below = place.text.slice(place.offset).split('\n');
  return {
    commit,
    path: place.path,
    context: above.slice(-CONTEXT_LINES - 1, -1).join('\n'),
    suggestion: place.suggestion?.text ?? '',
    written: place.rest,
    hint: `${above.slice(-3).join('\n')}${place.rest}\n${below.slice(1, 2).join('\n')}`.trimEnd(),
    bytes: Buffer.byteLength(place.rest),
    natsBefore,
    natsAfter,
  };
}

function gain(lesson: LessonRecord): number {
  return lesson.natsAfter - lesson.natsBefore;
}
