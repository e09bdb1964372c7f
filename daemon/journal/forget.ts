/** Takes what a person wants forgotten out of the journal, and out of its files (conformance 25). */
import { HindsightError } from '../../protocol/errors.ts';
import { rows } from './database.ts';
import type { Database, Value } from './database.ts';

/** Exactly one of them. */
export interface ForgetScope {
  session?: string;
  uri?: string;
  workspace?: string;
}

/** Signals [from, to) of one document in one session, and its turns that were offered from `since` on. */
export interface Stretch {
  session: string;
  uri: string;
  from: number;
  to: number;
  since: number;
}

export interface Forgotten {
  signals: number;
  turns: number;
  /** Adapters that were trained on a forgotten turn, or descend from one that was. */
  adapters: { workspace: string; version: number }[];
}

export function forget(database: Database, path: string, scope: ForgetScope, transaction: (work: () => Forgotten) => Forgotten): Forgotten {
  const { signals, turns, value, of } = conditions(database, scope);
  const forgotten = transaction(() => {
    const run = (sql: string, ...values: Value[]): number => database.prepare(sql).run(...values).changes;
    const adapters = trainedOn(database, turns, of);
    // The sessions stay as numbers, so that a window that is still open goes on where it is.
    run(`update session set forgotten = forgotten + (select count(*) from signal where signal.session = session.id and ${signals})`, value);
    const result = {
      signals: run(`delete from signal where ${signals}`, value),
      turns: run(`delete from turn where ${turns}`, ...of),
      adapters,
    };
    if (scope.workspace !== undefined) run(`update session set workspace = '' where workspace = ?`, value);
    return result;
  });
  scour(database, path);
  return forgotten;
}

/** Takes back what was stored of a secret while it was being typed. */
export function retract(database: Database, path: string, { session, uri, from, to, since }: Stretch, transaction: (work: () => void) => void): void {
  transaction(() => {
    const run = (sql: string, ...values: Value[]): number => database.prepare(sql).run(...values).changes;
    const signals = run('delete from signal where session = ? and uri = ? and seq >= ? and seq < ?', session, uri, from, to);
    run('update session set forgotten = forgotten + ? where id = ?', signals, session);
    run('delete from turn where session = ? and uri = ? and (open = 1 or offered_at >= ?)', session, uri, since);
    const ofFile = 'turn in (select id from turn where session = ? and uri = ?)';
    run(`delete from watch where ${ofFile}`, session, uri);
    run(`delete from evidence where ${ofFile} and json_extract(record, '$.at') >= ?`, session, uri, since);
  });
  scour(database, path);
}

/** What is chosen: signals by `value`, turns by `of`. */
interface Conditions {
  signals: string;
  turns: string;
  value: string;
  of: string[];
}

function conditions(database: Database, { session, uri, workspace }: ForgetScope): Conditions {
  if (session !== undefined) return { signals: 'signal.session = ?1', turns: 'turn.session = ?1', value: session, of: [session] };
  if (uri !== undefined) {
    const turns = `(turn.uri = ?1 or json_extract(turn.record, '$.action.task') in (select value from json_each(?2)))`;
    return { signals: 'signal.uri = ?1', turns, value: uri, of: [uri, JSON.stringify(tasksAbout(database, uri))] };
  }
  if (workspace !== undefined) {
    return { signals: 'signal.session in (select id from session where workspace = ?1)', turns: 'turn.workspace = ?1', value: workspace, of: [workspace] };
  }
  throw new HindsightError('badRequest', { problem: 'Nothing was named to be forgotten', remedy: 'Name a session, a file or a workspace.' });
}

/** Tasks of the agent in which a file is named: what they read of it is in the prompts of all their turns. */
function tasksAbout(database: Database, uri: string): string[] {
  const found = rows(
    database,
    `select json_extract(turn.record, '$.action.task') as task, turn.workspace as workspace,
       turn.record || coalesce(turn.tracking, '') || coalesce(next_state.record, '') as text
     from turn left join next_state on next_state.turn = turn.id
     where json_extract(turn.record, '$.action.task') is not null`,
  );
  const about = found.filter(({ workspace, text }) => {
    const inside = uri.startsWith(`${String(workspace)}/`) ? decodeURIComponent(uri.slice(String(workspace).length + 1)) : uri;
    return String(text).includes(JSON.stringify(inside).slice(1, -1));
  });
  return [...new Set(about.map(({ task }) => String(task)))];
}

function trainedOn(database: Database, turns: string, of: string[]): Forgotten['adapters'] {
  const found = rows(
    database,
    `with recursive tainted(workspace, version) as (
       select step.workspace, step.candidate from turn
         join sample on sample.turn = turn.id and sample.state = 'consumed'
         join step on step.id = sample.step and step.candidate is not null
         where ${turns}
       union
       select adapter.workspace, adapter.version from adapter
         join tainted on adapter.workspace = tainted.workspace and adapter.parent = tainted.version
     )
     select workspace, version from tainted order by workspace, version`,
    ...of,
  );
  return found.map((row) => ({ workspace: String(row['workspace']), version: Number(row['version']) }));
}

/** Rewrites the file without its free pages and empties the write-ahead log, where deleted text
 *  would live on. */
function scour(database: Database, path: string): void {
  database.exec('vacuum');
  const busy = Number(rows(database, 'pragma wal_checkpoint(truncate)')[0]?.['busy'] ?? 0);
  if (busy !== 0) {
    throw new HindsightError('badRequest', { problem: `The journal ${path} is read by another program, so its log still holds the text`, remedy: 'Close that program and forget again.' });
  }
}
