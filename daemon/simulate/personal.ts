/**
 * The personal-agent simulation (OpenClaw-RL, "personal agents"): a persona brings a problem a session,
 * says what it does not like about the reply, and the daemon learns from that as from any user: turns,
 * ratings with corrections, the hinted teacher, trainer and gate. What is measured is the first reply
 * of each session, before anything was said about it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import { cannotChat } from '../agent/chat/engineModel.ts';
import { startEngine } from '../engine/client.ts';
import type { Journal } from '../journal/journal.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { memoryLink } from '../replay/link.ts';
import { trains } from '../replay/variants.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { serveConnection } from '../server/connection.ts';
import { Daemon } from '../server/daemon.ts';
import { impression } from './personas.ts';
import type { Persona } from './personas.ts';
import type { Problem } from './problems.ts';
import { Talk } from './talk.ts';
import { withPlainTemplate } from './template.ts';

export interface PersonalOptions {
  modelDir: string;
  persona: Persona;
  problems: readonly Problem[];
  sessions: number;
  settings: LearnSettings;
  /** `checked`: refused where the model is no chat model; `own`: its template, whatever it is. */
  template: 'checked' | 'own' | 'plain';
  threads?: number;
  onSession?: () => void;
}

/** One problem, from the request to the last reply. */
export interface SessionRecord {
  /** AdamW steps taken, and version that served, when the first reply was written. */
  updates: number;
  version: number | null;
  firstReply: string;
  /** Share of the persona's rules that the first reply keeps, [0, 1]. */
  score: number;
  satisfied: boolean;
  replies: number;
}

/** Where every reply and every sample ended up. */
export interface Accounting {
  replies: number;
  closed: number;
  verdicts: number;
  hints: number;
  /** Hints of held-out replies, which never train. */
  heldOut: number;
  samples: { ready: number; leased: number; consumed: number; dropped: number };
}

export interface PersonalRun {
  sessions: SessionRecord[];
  updates: number;
  promoted: number;
  accounting: Accounting;
}

const EPOCH = Date.UTC(2026, 0, 5, 9);
/** A persona gives up after so many replies to one problem. */
const MOST_REPLIES = 3;
const MS_TO_READ = 30_000;
/** Longer than a session may be idle: open replies close. */
const MS_AFTER = 3 * 3_600_000;
const WORKSPACE = 'file:///simulation';

export async function simulatePersonal(options: PersonalOptions): Promise<PersonalRun> {
  const { settings, threads, template } = options;
  const home = mkdtempSync(join(tmpdir(), 'hindsight-personal-'));
  const modelDir = template === 'plain' ? withPlainTemplate(options.modelDir, join(home, 'model')) : options.modelDir;
  const engine = await startEngine({ modelDir, ...(threads && { threads }) });
  const problem = cannotChat(engine, template === 'checked' ? 'capable' : 'any size');
  if (problem !== null) {
    await engine.close();
    rmSync(home, { recursive: true, force: true });
    throw new HindsightError('badRequest', { problem: `${problem} cannot take part in a conversation`, remedy: 'Give an instruct model with --model, or say --template plain to try the mechanics all the same.' });
  }
  const clock = new VirtualClock(EPOCH);
  const daemon = await Daemon.start({ home, modelDir, settings, clock, engine, chatAnySize: true });
  try {
    await daemon.ready;
    const { client, server } = memoryLink();
    serveConnection(daemon, server);
    client.listen();
    const talk = new Talk(client, { session: 'personal', workspace: WORKSPACE, clock });
    await talk.start();
    return await converse(options, talk, clock, daemon.journal);
  } finally {
    await daemon.stop();
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  }
}

async function converse({ persona, problems, sessions, settings, onSession }: PersonalOptions, talk: Talk, clock: VirtualClock, journal: Journal): Promise<PersonalRun> {
  const records: SessionRecord[] = [];
  let replies = 0;
  // Of the journal: a step may also have been waiting in the background when learning was asked for.
  const updates = (): number => journal.steps({ workspace: WORKSPACE, state: 'gated' }).length;
  const learn = async (): Promise<void> => {
    if (trains({ settings }) && journal.samples({ workspace: WORKSPACE, state: 'ready' }).length >= settings.stepSamples) await talk.learn();
  };
  for (let at = 0; at < sessions; at += 1) {
    const problem = problems[at % problems.length];
    if (!problem) break;
    const before = { updates: updates(), version: journal.serving(WORKSPACE) };
    const record = await session(persona, problem, talk, clock);
    records.push({ ...before, ...record });
    replies += record.replies;
    await learn();
    onSession?.();
  }
  await talk.end();
  clock.advance(MS_AFTER);
  const promoted = journal.adapters(WORKSPACE).filter(({ state }) => state !== 'candidate' && state !== 'rejected').length;
  return { sessions: records, updates: updates(), promoted, accounting: accountingOf(journal, replies) };
}

async function session(persona: Persona, problem: Problem, talk: Talk, clock: VirtualClock): Promise<Omit<SessionRecord, 'updates' | 'version'>> {
  talk.startAnew();
  let prompt = persona.request(problem);
  let first: Pick<SessionRecord, 'firstReply' | 'score' | 'satisfied'> | null = null;
  for (let replies = 1; ; replies += 1) {
    const { turn, text } = await talk.say(prompt);
    const { correction, score, satisfied } = impression(persona, text, problem);
    first ??= { firstReply: text, score, satisfied };
    clock.advance(MS_TO_READ);
    if (turn !== null) await talk.rate(turn, correction);
    if (correction === null || replies === MOST_REPLIES) return { ...first, replies };
    prompt = correction;
  }
}

function accountingOf(journal: Journal, replies: number): Accounting {
  const turns = journal.turnsOf({ workspace: WORKSPACE });
  const samples = (state: 'ready' | 'leased' | 'consumed' | 'dropped'): number => journal.samples({ workspace: WORKSPACE, state }).length;
  return {
    replies,
    closed: journal.turnsOf({ workspace: WORKSPACE, open: false }).length,
    verdicts: turns.flatMap(({ id }) => journal.verdicts(id)).length,
    hints: turns.flatMap(({ id }) => journal.hints(id)).length,
    heldOut: turns.filter(({ split }) => split === 'holdout').flatMap(({ id }) => journal.hints(id)).length,
    samples: { ready: samples('ready'), leased: samples('leased'), consumed: samples('consumed'), dropped: samples('dropped') },
  };
}
