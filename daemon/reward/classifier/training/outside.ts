/**
 * The outside check: sessions of people that nothing here was trained or tuned on.
 * - aider-sessions: does the next user message read as "failed" after replies whose commits were
 *   taken back later? `/undo` itself is counted apart: reading it is no art.
 * - realhumaneval: does it read as "worked" rather than "failed" after replies that were copied from?
 */
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { PolarityClassifier, type Reading } from '../polarity.ts';
import { auc } from './scores.ts';

const aiderTurn = z.object({ user: z.string(), assistant: z.string(), commits: z.array(z.object({ hash: z.string() })), next_user: z.string().nullable(), undone: z.boolean() });
const aiderSession = z.object({ turns: z.array(aiderTurn) });
type AiderTurn = z.infer<typeof aiderTurn>;

export async function readOutside(model: string, dir: string, read: (path: string) => Buffer): Promise<Record<string, unknown>> {
  const classifier = new PolarityClassifier(model);
  const unzip = (path: string): string => gunzipSync(read(join(dir, path))).toString('utf8');
  const out = { aider: await readAider(classifier, unzip('aider-sessions.jsonl.gz')), realhumaneval: await readCopies(classifier, unzip(join('realhumaneval', 'chat_data.csv.gz'))) };
  await classifier.close();
  return out;
}

interface Answered {
  reading: Reading;
  outcome: boolean;
}

async function readAider(classifier: PolarityClassifier, text: string): Promise<Record<string, unknown>> {
  const sessions = text.split('\n').filter((line) => line !== '').map((line) => aiderSession.parse(JSON.parse(line)));
  const literal: Reading[] = [];
  const answered: Answered[] = [];
  for (const { turns } of sessions) {
    const removed = new Set(turns.flatMap(({ assistant }) => [...assistant.matchAll(/Removed: ([0-9a-f]{7})/g)].map((match) => match[1] ?? '')));
    for (const turn of turns) {
      if (turn.commits.length === 0 || turn.next_user === null || turn.next_user.trim() === '') continue;
      const reading = await classifier.read({ kind: 'message', text: turn.next_user });
      if (turn.next_user.trim() === '/undo') literal.push(reading);
      else answered.push({ reading, outcome: takenBack(turn, removed) });
    }
  }
  const undone = answered.filter(({ outcome }) => outcome).length;
  return {
    undoTurns: literal.length,
    undoReadAsFailed: literal.filter(({ polarity }) => polarity === 'failed').length,
    otherTurns: answered.length,
    takenBackLater: undone,
    aucFailedWhenTakenBack: rank(answered, ({ probabilities }) => probabilities.failed),
    polaritiesWhenTakenBack: tally(answered.filter(({ outcome }) => outcome)),
    polaritiesWhenKept: tally(answered.filter(({ outcome }) => !outcome)),
  };
}

const takenBack = (turn: AiderTurn, removed: ReadonlySet<string>): boolean => turn.commits.some(({ hash }) => removed.has(hash.slice(0, 7)));

async function readCopies(classifier: PolarityClassifier, csv: string): Promise<Record<string, unknown>> {
  const [header = [], ...rows] = parseCsv(csv);
  const column = (row: string[], name: string): string => row[header.indexOf(name)] ?? '';
  const threads = new Map<string, string[][]>();
  for (const row of rows) {
    const key = `${column(row, 'programmer_id')} ${column(row, 'task_name')}`;
    threads.set(key, [...(threads.get(key) ?? []), row]);
  }
  const answered: Answered[] = [];
  for (const thread of threads.values()) {
    thread.sort((a, b) => Number(column(a, 'timestamp')) - Number(column(b, 'timestamp')));
    for (const [i, row] of thread.entries()) {
      const next = thread[i + 1];
      const message = next === undefined ? null : lastMessage(column(next, 'request'));
      if (message === null) continue;
      answered.push({ reading: await classifier.read({ kind: 'message', text: message }), outcome: column(row, 'copy_events') !== '[]' });
    }
  }
  return {
    replies: answered.length,
    copiedFrom: answered.filter(({ outcome }) => outcome).length,
    aucWorkedWhenCopied: rank(answered, ({ probabilities }) => probabilities.worked - probabilities.failed),
    polaritiesWhenCopied: tally(answered.filter(({ outcome }) => outcome)),
    polaritiesWhenNot: tally(answered.filter(({ outcome }) => !outcome)),
  };
}

const rank = (answered: Answered[], score: (reading: Reading) => number): number => auc(answered.map(({ reading }) => score(reading)), answered.map(({ outcome }) => outcome));

function tally(answered: Answered[]): Record<string, number> {
  const out: Record<string, number> = { worked: 0, failed: 0, neutral: 0 };
  for (const { reading } of answered) out[reading.polarity] = (out[reading.polarity] ?? 0) + 1;
  return out;
}

/** The last user message of a conversation that Python printed. */
function lastMessage(request: string): string | null {
  const match = /\{'content': (['"])((?:\\[\s\S]|(?!\1)[^\\])*)\1, 'role': 'user'\}\]$/.exec(request);
  return match?.[2]?.replace(/\\n/g, '\n').replace(/\\(.)/g, '$1') ?? null;
}

/** RFC 4180: quoted fields may hold commas, line ends and doubled quotes. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,|\r?\n|$)/g)) {
    const row = rows[rows.length - 1];
    row?.push(quoted?.replaceAll('""', '"') ?? plain ?? '');
    if (end !== ',') rows.push([]);
  }
  return rows.filter((row) => row.length > 1);
}
