// The journal's own file, read beside the daemon: a witness that knows nothing of the product's code.
import path from 'node:path';
import type { Signal, SignalOf } from '../../../protocol/signals.ts';
import { home } from './product.ts';

interface Rows {
  prepare(sql: string): { all(...values: string[]): { record: string }[] };
  close(): void;
}

/** Records of a table, oldest first. The editor's Node has SQLite built in; older typings do not know it. */
function records(sql: string, ...values: string[]): unknown[] {
  const sqlite = process.getBuiltinModule('node:sqlite' as 'node:fs') as unknown as { DatabaseSync: new (file: string, options: { readOnly: boolean }) => Rows };
  const database = new sqlite.DatabaseSync(path.join(home, 'journal.db'), { readOnly: true });
  try {
    return database.prepare(sql).all(...values).map(({ record }) => JSON.parse(record) as unknown);
  } finally {
    database.close();
  }
}

/** Signals of a kind, as they are stored. */
export function signalsOf<K extends Signal['kind']>(kind: K): SignalOf<K>[] {
  return records('select record from signal where kind = ? order by at', kind) as SignalOf<K>[];
}

export function countSignals(kind: Signal['kind']): number {
  const [counted] = records("select json_object('all', count(*)) as record from signal where kind = ?", kind) as { all: number }[];
  return counted?.all ?? 0;
}

/** What became known of a turn beside its next state. */
export function evidenceOf(turn: string): { kind: string; observation?: { kind: string; broken?: string[]; fixed?: string[]; added?: string[] } }[] {
  return records('select record from evidence where turn = ? order by id', turn) as ReturnType<typeof evidenceOf>;
}

export interface StoredTurn {
  readonly turn: { readonly id: string; readonly uri: string; readonly version: number; readonly offset: number; readonly shownText: string; readonly rawText: string; readonly offeredAt: number };
  readonly nextState: { readonly outcome: string; readonly acceptedChars: number; readonly survival: [number, number | null][] } | null;
}

/** What was offered in a file, oldest first, with what became of it. */
export function turnsIn(uri: string): StoredTurn[] {
  const rows = records("select json_object('turn', json(turn.record), 'nextState', json(next_state.record)) as record from turn left join next_state on next_state.turn = turn.id where turn.uri = ? and turn.role = 'main' order by turn.offered_at", uri) as StoredTurn[];
  return rows.filter(({ turn }) => turn.shownText !== '');
}
