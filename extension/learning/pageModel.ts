// What the page shows, in its reader's language: the page itself only draws. Pure.
import type { Status } from '../../protocol/editor.ts';
import type { learningView, Lesson, Share, VersionCurve } from '../../protocol/learning.ts';
import type { Result } from '../../protocol/message.ts';
import { fileName, lessonState, outcomeText, shareText, stateWord, versionName, versionState } from './words.ts';
import type { Translate } from '../translate.ts';

export type LearningFacts = Result<typeof learningView>;

export interface Point {
  readonly label: string;
  readonly serving: boolean;
  /** Shares in [0, 1]. */
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

export interface Chart {
  readonly title: string;
  /** Read aloud in its place. */
  readonly description: string;
  readonly points: readonly Point[];
}

export interface LessonCard {
  readonly title: string;
  readonly tone: 'good' | 'bad' | 'neutral';
  readonly outcome: string;
  readonly why: string;
  readonly learned: string;
  readonly offered: string;
  readonly written: string | null;
}

export interface VersionRow {
  readonly cells: readonly string[];
  /** Under the row, in its whole width. */
  readonly why: readonly string[];
}

export interface PageModel {
  readonly language: string;
  readonly title: string;
  readonly summary: readonly string[];
  readonly charts: readonly Chart[];
  readonly chartNote: string;
  readonly versionsTitle: string;
  readonly versionsHead: readonly string[];
  readonly versions: readonly VersionRow[];
  readonly lessonsTitle: string;
  readonly lessonsNote: string;
  readonly offeredLabel: string;
  readonly writtenLabel: string;
  readonly lessons: readonly LessonCard[];
}

/** Short enough to be read at a glance; the tree has them all. */
const CARDS = 20;

export function pageModel(facts: LearningFacts, status: Status | undefined, language: string, t: Translate): PageModel {
  const time = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' });
  const curveOf = new Map(facts.curve.map((one) => [one.version, one]));
  return {
    language,
    title: t('What Hindsight learned'),
    summary: summary(facts, status, t),
    charts: [chart(t('Accepted, by version'), facts, ({ accepted }) => accepted, t), chart(t('Of the accepted: most still stands at the last look'), facts, ({ survived }) => survived, t)],
    chartNote: facts.curve.length === 0 ? t('There is no answered suggestion yet.') : t('Dots are shares, bands their 95 % confidence (Wilson); the ringed version serves now.'),
    versionsTitle: t('Versions'),
    versionsHead: [t('Version'), t('State'), t('Accepted'), t('Survived'), t('Made')],
    versions: [
      ...facts.versions.map(({ version, state, createdAt, why }) => {
        const curve = curveOf.get(version);
        return { cells: [String(version), versionState(state, t), shareOf(curve?.accepted, t), shareOf(curve?.survived, t), time.format(createdAt)], why };
      }),
      { cells: [versionName(null, t), facts.serving === null ? t('serves') : '', shareOf(curveOf.get(null)?.accepted, t), shareOf(curveOf.get(null)?.survived, t), ''], why: [t('What Hindsight began with.')] },
    ],
    lessonsTitle: t('Latest lessons'),
    lessonsNote: facts.lessons.length === 0 ? t('None yet. A lesson comes of each suggestion that you accept, change or replace.') : '',
    offeredLabel: t('Suggested'),
    writtenLabel: t('What you did'),
    lessons: facts.lessons.slice(0, CARDS).map((lesson) => card(lesson, time, t)),
  };
}

function summary({ serving }: LearningFacts, status: Status | undefined, t: Translate): string[] {
  if (status === undefined) return [t('The daemon is away.')];
  const { model, pipe, state, warning } = status;
  return [
    model === null ? t('No model is loaded.') : t('{0} on {1}, {2}; {3}.', model.name, model.device, versionName(serving, t), stateWord(state, t)),
    t('Suggestions answered: {0}. Lessons learned: {1}, waiting: {2}. Training steps: {3}.', pipe.turnsClosed, pipe.samplesConsumed, pipe.samplesReady, pipe.steps),
    ...(warning === null ? [] : [warning]),
  ];
}

function shareOf(share: Share | undefined, t: Translate): string {
  return share === undefined ? '' : shareText(share, t);
}

function chart(title: string, { curve, serving }: LearningFacts, of: (one: VersionCurve) => Share, t: Translate): Chart {
  const points = curve.flatMap((one): Point[] => {
    const { value, lower, upper } = of(one);
    if (value === null || lower === null || upper === null) return [];
    return [{ label: one.version === null ? t('base') : `v${one.version}`, serving: one.version === serving, value, lower, upper }];
  });
  const told = curve.map((one) => `${versionName(one.version, t)}: ${shareText(of(one), t)}`);
  return { title, description: [title, ...told].join('. '), points };
}

function card(lesson: Lesson, time: Intl.DateTimeFormat, t: Translate): LessonCard {
  const { uri, at, offered, written, score, evidence } = lesson;
  const signed = score === null ? '' : ` (${score >= 0 ? '+' : '−'}${Math.abs(score).toFixed(2)})`;
  return {
    title: `${fileName(uri, t)} · ${time.format(at)}`,
    tone: score === null || Math.abs(score) < 0.05 ? 'neutral' : score > 0 ? 'good' : 'bad',
    outcome: `${outcomeText(lesson, t)}${signed}`,
    why: evidence.join(' '),
    learned: lessonState(lesson, t),
    offered,
    written,
  };
}
