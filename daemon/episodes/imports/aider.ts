/**
 * Sessions of the terminal chat aider, one JSON object a line: `session`, `started`, `turns` of
 * `user`, `assistant`, `commits`, `applied`, `next_user`. Its user takes the last commit back with
 * `/undo`; several in a row take back earlier ones, which is late evidence on the turns that made them.
 */
import { z } from 'zod';
import type { Observation } from '../../journal/records.ts';
import { importedNext, importedTurn } from './imported.ts';
import type { Imported, ImportedTurn } from './imported.ts';

const turnSchema = z.object({
  user: z.string(),
  assistant: z.string(),
  commits: z.array(z.object({ hash: z.string().min(4), subject: z.string().default('') })).default([]),
  applied: z.array(z.string()).default([]),
  next_user: z.string().nullish(),
});
type AiderTurn = z.output<typeof turnSchema>;
const sessionSchema = z.object({ session: z.union([z.number(), z.string()]), started: z.string().optional(), turns: z.array(z.unknown()) });

const MINUTE_MS = 60_000;
/** Turns after one in which its correction is looked for. */
const HISTORY = 20;

export function isAider(firstLine: string): boolean {
  const session = sessionSchema.safeParse(parsed(firstLine));
  return session.success;
}

export function importAider(text: string): Imported {
  const problems: string[] = [];
  const imported = text.split('\n').flatMap((line, index): ImportedTurn[][] => {
    if (line.trim() === '') return [];
    const session = sessionSchema.safeParse(parsed(line));
    if (!session.success) {
      problems.push(`line ${index + 1}: ${problemOf(session.error)}`);
      return [];
    }
    const turns = session.data.turns.map((raw, i) => {
      const turn = turnSchema.safeParse(raw);
      if (!turn.success) problems.push(`line ${index + 1}, turn ${i + 1}: ${problemOf(turn.error)}`);
      return turn.success ? turn.data : null;
    });
    return [turnsOf(String(session.data.session), Date.parse(session.data.started ?? '') || 0, turns)];
  });
  return { format: 'aider sessions', sessions: imported.length, turns: imported.flat(), problems };
}

/** @param turns null = one that could not be read; it keeps its place */
function turnsOf(session: string, started: number, turns: readonly (AiderTurn | null)[]): ImportedTurn[] {
  return turns.flatMap((one, step) => {
    if (one === null || isCommandOnly(one)) return [];
    const at = started + step * MINUTE_MS;
    const modality = one.commits.length > 0 ? 'edit' : 'chat';
    const turn = importedTurn({ id: `${session}/${step}`, session, step, request: one.user, reply: one.assistant, modality, files: one.applied, at });
    const following = one.next_user ?? turns[step + 1]?.user ?? '';
    const undone = one.commits.length > 0 && isUndo(following);
    const observations: Observation[] = [
      ...(undone ? [{ kind: 'undone' as const, how: `the next thing the user typed was /undo, on commit ${one.commits.at(-1)?.hash ?? ''}` }] : []),
      ...(following.trim() === '' ? [] : [{ kind: 'message' as const, text: following }]),
    ];
    const after = turns.slice(step + 2, step + 2 + HISTORY).flatMap((later, i) => (later === null ? [] : { message: later.user, kept: keptChange(later, turns.slice(step + 3 + i)) }));
    const late = undone ? [] : takenBackLater(one, turns.slice(step + 1));
    return [{ turn, next: importedNext(turn, observations, at + MINUTE_MS), after, late }];
  });
}

/** A command of the chat program (`/add`, `/undo`, …) that no model answered and that changed nothing. */
function isCommandOnly(turn: AiderTurn): boolean {
  return turn.commits.length === 0 && /^\/\w/.test(turn.user.trim()) && !/^\/(?:ask|code|architect|test|run|web|lint|commit|voice)\b/.test(turn.user.trim());
}

export function isUndo(message: string): boolean {
  return /^\/undo\s*$/.test(message.trim());
}

/** New text of the reply's edit blocks, if it was committed and not taken back. */
function keptChange(turn: AiderTurn, later: readonly (AiderTurn | null)[]): string | null {
  if (turn.commits.length === 0 || isUndo(turn.next_user ?? later[0]?.user ?? '') || takenBackLater(turn, later).length > 0) return null;
  const blocks = [...turn.assistant.matchAll(/^={5,}\n([\s\S]*?)^>{5,} REPLACE/gm)].map(([, text]) => text?.trimEnd() ?? '');
  return blocks.length === 0 ? null : blocks.join('\n');
}

/** aider says which commit an `/undo` removed. */
function takenBackLater(turn: AiderTurn, later: readonly (AiderTurn | null)[]): Observation[] {
  for (const one of later) {
    if (one === null || !isUndo(one.user)) continue;
    const removed = /Removed:\s*([0-9a-f]{4,40})/.exec(one.assistant)?.[1];
    const own = removed === undefined ? undefined : turn.commits.find(({ hash }) => hash.startsWith(removed) || removed.startsWith(hash));
    if (own) return [{ kind: 'undone', how: `a later /undo took commit ${own.hash} back` }];
  }
  return [];
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function problemOf(error: z.ZodError): string {
  const issue = error.issues[0];
  return issue === undefined ? 'unreadable' : `${issue.path.join('.') || 'the record'}: ${issue.message}`;
}
