/** Counts of what is where in the pipe. */
import type { z } from 'zod';
import type { pipeCounts } from '../../protocol/editor.ts';
import { pragma, rows } from './database.ts';
import type { Database, Row } from './database.ts';

export type PipeCounts = z.output<typeof pipeCounts>;

export interface JournalStats {
  schema: number;
  bytes: number;
  sessions: number;
  signals: number;
  turns: number;
  hints: number;
  /** Closed turns by outcome. */
  outcomes: Record<string, number>;
  adapters: number;
  pipe: PipeCounts;
}

/** Of one workspace, or of all. */
export function journalStats(database: Database, workspace?: string): JournalStats {
  const of = workspace === undefined ? '' : 'where workspace = ?1';
  const values = workspace === undefined ? [] : [workspace];
  const first = (sql: string): Row => rows(database, sql, ...values)[0] ?? {};
  const turns = first(`select count(*) as n, coalesce(sum(open), 0) as open, coalesce(sum(role = 'main' and not open), 0) as closed from turn ${of}`);
  const ofTurn = (table: string): number => Number(first(`select count(*) as n from ${table} join turn on turn.id = ${table}.turn ${of}`)['n']);
  const samples = new Map(rows(database, `select state, count(*) as n from sample ${of} group by state`, ...values).map((row) => [row['state'], Number(row['n'])]));
  const outcomes = rows(database, `select outcome, count(*) as n from next_state join turn on turn.id = next_state.turn ${of} group by outcome order by outcome`, ...values);
  return {
    schema: pragma(database, 'user_version'),
    bytes: pragma(database, 'page_count') * pragma(database, 'page_size'),
    sessions: Number(first(`select count(*) as n from session ${of}`)['n']),
    signals: Number(first(`select count(*) as n from signal join session on session.id = signal.session ${of}`)['n']),
    turns: Number(turns['n']),
    hints: ofTurn('hint'),
    outcomes: Object.fromEntries(outcomes.map((row) => [String(row['outcome']), Number(row['n'])])),
    adapters: Number(first(`select count(*) as n from adapter ${of}`)['n']),
    pipe: {
      turnsOpen: Number(turns['open']),
      turnsClosed: Number(turns['closed']),
      verdicts: ofTurn('verdict'),
      samplesReady: samples.get('ready') ?? 0,
      samplesLeased: samples.get('leased') ?? 0,
      samplesConsumed: samples.get('consumed') ?? 0,
      samplesDropped: samples.get('dropped') ?? 0,
      steps: Number(first(`select count(*) as n from step ${of}`)['n']),
    },
  };
}
