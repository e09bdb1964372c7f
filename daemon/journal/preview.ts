/** The journal's own records as they stand, for whoever wants to see what is kept or to take it along. */
import { rows } from './database.ts';
import type { Database } from './database.ts';

export type RecordKind = 'signal' | 'turn' | 'nextState' | 'verdict' | 'hint' | 'evidence';

export interface StoredRecord {
  kind: RecordKind;
  /** Milliseconds since the Unix epoch. */
  at: number;
  /** As it stands: one JSON object. */
  json: string;
}

/** [kind, its rows of a workspace with their time]; ?1 = the workspace. */
const KINDS: readonly (readonly [RecordKind, string])[] = [
  ['signal', 'select signal.at as at, signal.record as record from signal join session on session.id = signal.session where session.workspace = ?1'],
  ['turn', 'select offered_at as at, record from turn where workspace = ?1'],
  ['nextState', 'select next_state.decided_at as at, next_state.record as record from next_state join turn on turn.id = next_state.turn where turn.workspace = ?1'],
  ['verdict', `select json_extract(record, '$.at') as at, record from verdict where workspace = ?1`],
  ['hint', `select json_extract(hint.record, '$.at') as at, hint.record as record from hint join turn on turn.id = hint.turn where turn.workspace = ?1`],
  ['evidence', `select json_extract(evidence.record, '$.at') as at, evidence.record as record from evidence join turn on turn.id = evidence.turn where turn.workspace = ?1`],
];

/** The newest so many of a workspace, newest first. */
export function latestRecords(database: Database, workspace: string, limit: number): StoredRecord[] {
  return KINDS.flatMap(([kind, sql]) => rows(database, `${sql} order by 1 desc limit ?2`, workspace, limit).map((row) => stored(kind, row)))
    .sort((one, other) => other.at - one.at)
    .slice(0, limit);
}

/** All of a workspace, kind by kind in the order in which the data flows, oldest first. */
export function* allRecords(database: Database, workspace: string): Generator<StoredRecord> {
  for (const [kind, sql] of KINDS) for (const row of rows(database, `${sql} order by 1`, workspace)) yield stored(kind, row);
}

function stored(kind: RecordKind, row: Record<string, unknown>): StoredRecord {
  return { kind, at: Number(row['at'] ?? 0), json: String(row['record']) };
}
