/** Takes what a person wants forgotten out of the journal, and out of its files (conformance 25). */
import { HindsightError } from '../../protocol/errors.ts';
import { rows } from './database.ts';
import type { Database, Value } from './database.ts';

/** Exactly one of them; a folder's URI ends without a slash. */
export interface ForgetScope {
  session?: string;
  uri?: string;
  folder?: string;
  workspace?: string;
  /** Of all workspaces, what was learned included. */
  everything?: true;
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
  /** Lessons of these turns, trained or waiting. */
  samples: number;
  /** Texts of the developer that could have been shown again by memory. */
  remembered: number;
  /** Adapters that may have learned from it: the first that was trained on a forgotten turn, and all that were
   *  made after it, because those descend from it or rehearsed its lessons. */
  adapters: { workspace: string; version: number }[];
}

export function forget(database: Database, path: string, scope: ForgetScope, transaction: (work: () => Forgotten) => Forgotten): Forgotten {
  const chosen = choose(database, scope);
  const forgotten = transaction(() => {
    const run = (sql: string, ...values: Value[]): number => database.prepare(sql).run(...values).changes;
    const count = (sql: string): number => Number(rows(database, sql, chosen.turns)[0]?.['n'] ?? 0);
    const result = {
      samples: count(`select count(*) as n from sample where ${OF_TURNS('turn')}`),
      remembered: count(`select count(*) as n from next_state where ${OF_TURNS('turn')} and coalesce(json_extract(record, '$.developerText'), '') <> ''`),
      adapters: trainedOn(database, chosen.turns),
    };
    // The sessions stay as numbers, so that a window that is still open goes on where it is.
    run(`update session set forgotten = forgotten + (select count(*) from signal where signal.session = session.id and ${chosen.signals})`, ...chosen.of);
    const signals = run(`delete from signal where ${chosen.signals}`, ...chosen.of);
    const turns = run(`delete from turn where ${OF_TURNS('id')}`, chosen.turns);
    if (scope.workspace !== undefined) {
      run(`update session set workspace = '' where workspace = ?`, scope.workspace);
      // What was worked out from it: baselines, choices, counts. Its keys end with the workspace.
      run('delete from state where length(key) > length(?1) and substr(key, -length(?1)) = ?1', scope.workspace);
    }
    for (const { workspace, version } of result.adapters) {
      // One that waits for the gate may not pass it any more.
      run(`update step set state = 'gated' where state = 'trained' and workspace = ? and candidate = ?`, workspace, version);
      run(`update adapter set state = 'rejected', reason = ? where state = 'candidate' and workspace = ? and version = ?`, UNJUDGED, workspace, version);
    }
    if (scope.everything) forgetLearned(database, run);
    return { signals, turns, ...result };
  });
  scour(database, path);
  return forgotten;
}

/** Sessions stay as numbers, consent stays as it was chosen, and no version's number is used again. */
function forgetLearned(database: Database, run: (sql: string, ...values: Value[]) => number): void {
  const last = rows(database, 'select workspace, max(version) as version from adapter group by workspace');
  run(`update session set workspace = ''`);
  for (const table of ['serving', 'adapter', 'step']) run(`delete from ${table}`);
  run(`delete from state where key not like 'forgotten%' and key not like 'version/%'`);
  for (const row of last) run('insert or replace into state (key, value) values (?, ?)', `version/${String(row['workspace'])}`, JSON.stringify(row['version']));
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

const UNJUDGED = 'What it was trained on was forgotten before it was judged.';

/** Whether a column holds one of the turns of a JSON list. */
const OF_TURNS = (column: string): string => `${column} in (select value from json_each(?1))`;

interface Chosen {
  /** A condition on signals, with the values it needs. */
  signals: string;
  of: Value[];
  /** JSON list of ids. */
  turns: string;
}

/** @throws badRequest unless exactly one thing is named */
function choose(database: Database, scope: ForgetScope): Chosen {
  const named = Object.values(scope).filter((one) => one !== undefined);
  if (named.length !== 1) throw new HindsightError('badRequest', { problem: named.length === 0 ? 'Nothing was named to be forgotten' : 'Exactly one thing can be forgotten at once', remedy: 'Name a session, a file, a folder, a workspace, or everything.' });
  const { session, uri, folder, workspace } = scope;
  const turns = (condition: string, ...values: Value[]): string => JSON.stringify(rows(database, `select id from turn where ${condition}`, ...values).map(({ id }) => id));
  if (session !== undefined) return { signals: 'signal.session = ?1', of: [session], turns: turns('session = ?1', session) };
  if (workspace !== undefined) return { signals: 'signal.session in (select id from session where workspace = ?1)', of: [workspace], turns: turns('workspace = ?1', workspace) };
  if (uri !== undefined) return { signals: 'signal.uri = ?1', of: [uri], turns: JSON.stringify(turnsAbout(database, uri, (other) => other === uri)) };
  if (folder !== undefined) return { signals: `(signal.uri > ?1 || '/' and signal.uri < ?1 || '0')`, of: [folder], turns: JSON.stringify(turnsAbout(database, folder, (other) => other.startsWith(`${folder}/`))) };
  return { signals: 'true', of: [], turns: turns('true') };
}

/** Turns of a file or folder; those with text of it in their prompt; and tasks of the agent in which it is named:
 *  what they read of it is in the prompts of all their turns. */
function turnsAbout(database: Database, named: string, covers: (uri: string) => boolean): string[] {
  const about = new Set(tasksAbout(database, named));
  const found = rows(database, `select id, workspace, uri, json_extract(record, '$.beside') as beside, json_extract(record, '$.action.task') as task from turn`);
  return found.flatMap(({ id, workspace, uri, beside, task }) => {
    const others = typeof beside === 'string' ? (JSON.parse(beside) as string[]) : [];
    const inIt = covers(String(uri)) || about.has(String(task)) || others.some((path) => covers(`${String(workspace)}/${path.split('/').map(encodeURIComponent).join('/')}`));
    return inIt ? [String(id)] : [];
  });
}

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

function trainedOn(database: Database, turns: string): Forgotten['adapters'] {
  const found = rows(
    database,
    `with first(workspace, version) as (
       select step.workspace, min(step.candidate) from sample
         join step on step.id = sample.step and step.candidate is not null
         where sample.state = 'consumed' and ${OF_TURNS('sample.turn')}
         group by step.workspace
     )
     select adapter.workspace as workspace, adapter.version as version from adapter
       join first on adapter.workspace = first.workspace and adapter.version >= first.version
       order by 1, 2`,
    turns,
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
