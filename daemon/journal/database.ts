/** Opens the journal's SQLite file, or says in one sentence why it cannot be used. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Libsql from 'libsql';
import { HindsightError } from '../../protocol/errors.ts';
import { MIGRATIONS, SCHEMA_VERSION } from './migrations.ts';

export type Database = Libsql.Database;
/** One result row. Numbers are doubles; the driver adds a `_metadata` of its own to single rows. */
export type Row = Record<string, unknown>;
/** What may be bound. The driver aborts the process on a boolean, so there is none here. */
export type Value = string | number | null;

/** "HIND": tells a journal from any other SQLite file. */
const APPLICATION_ID = 0x48494e44;

/** @throws journalNewer, journalCorrupt */
export function openDatabase(path: string): Database {
  if (path !== ':memory:' && !existsSync(path)) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    const database = new Libsql(path);
    // Another process may hold the write lock for a moment (`hindsight journal …` beside a daemon).
    database.pragma('busy_timeout = 5000');
    const theirs = pragma(database, 'user_version');
    refuseForeign(database, path, theirs);
    // WAL with FULL: a committed transaction is on disk, whatever is killed after it.
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    // What is deleted is overwritten, so that `forget` leaves no trace in free pages.
    database.pragma('secure_delete = ON');
    migrate(database, theirs);
    return database;
  } catch (thrown) {
    if (thrown instanceof HindsightError) throw thrown;
    throw new HindsightError('journalCorrupt', { path, problem: thrown instanceof Error ? thrown.message : String(thrown) });
  }
}

function refuseForeign(database: Database, path: string, theirs: number): void {
  if (theirs > SCHEMA_VERSION) throw new HindsightError('journalNewer', { path, theirs, ours: SCHEMA_VERSION });
  const empty = rows(database, 'select 1 from sqlite_master limit 1').length === 0;
  if (!empty && pragma(database, 'application_id') !== APPLICATION_ID) {
    throw new HindsightError('journalCorrupt', { path, problem: 'it is a database of another program' });
  }
}

function migrate(database: Database, from: number): void {
  MIGRATIONS.slice(from).forEach((sql, index) => {
    database.exec('begin immediate');
    try {
      // A second process may have migrated while we waited for the lock.
      if (pragma(database, 'user_version') === from + index) {
        database.exec(sql);
        database.exec(`pragma application_id = ${APPLICATION_ID}; pragma user_version = ${from + index + 1};`);
      }
      database.exec('commit');
    } catch (thrown) {
      database.exec('rollback');
      throw thrown;
    }
  });
}

/** Value of a numeric pragma. */
export function pragma(database: Database, name: string): number {
  const first = rows(database, `pragma ${name}`)[0];
  return Number(first?.[name] ?? 0);
}

export function rows(database: Database, sql: string, ...values: Value[]): Row[] {
  return database.prepare(sql).all(...values) as Row[];
}
