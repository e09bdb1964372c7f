/** Counts of what is where in the pipe. */
import type { z } from 'zod';
import type { pipeCounts as wireCounts } from '../../protocol/editor.ts';
import { pragma, rows } from './database.ts';
import type { Database, Row } from './database.ts';

export type PipeCounts = z.output<typeof wireCounts>;

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

/** Of one workspace, or of all. Cheap: it is asked for while somebody types. */
export function pipeCounts(database: Database, workspace?: string): PipeCounts {
  const { count, grouped } = counter(database, workspace);
  const turns = grouped('open', `turn`, `role = 'main'`);
  const samples = grouped('state', 'sample');
  return {
    turnsOpen: turns.get(1) ?? 0,
    turnsClosed: turns.get(0) ?? 0,
    verdicts: count('verdict'),
    samplesReady: samples.get('ready') ?? 0,
    samplesLeased: samples.get('leased') ?? 0,
    samplesConsumed: samples.get('consumed') ?? 0,
    samplesDropped: samples.get('dropped') ?? 0,
    steps: count('step'),
  };
}

/** Everything, for a person; it reads the whole journal. */
export function journalStats(database: Database, workspace?: string): JournalStats {
  const { count, grouped } = counter(database, workspace);
  return {
    schema: pragma(database, 'user_version'),
    bytes: pragma(database, 'page_count') * pragma(database, 'page_size'),
    sessions: count('session'),
    signals: count('signal join session on session.id = signal.session'),
    turns: count('turn'),
    hints: count('hint join turn on turn.id = hint.turn'),
    outcomes: Object.fromEntries([...grouped('outcome', 'next_state join turn on turn.id = next_state.turn')].map(([outcome, n]) => [String(outcome), n])),
    adapters: count('adapter'),
    pipe: pipeCounts(database, workspace),
  };
}

function counter(database: Database, workspace: string | undefined) {
  const values = workspace === undefined ? [] : [workspace];
  const only = (condition?: string): string => {
    const conditions = [...(workspace === undefined ? [] : ['workspace = ?']), ...(condition === undefined ? [] : [condition])];
    return conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
  };
  return {
    count: (table: string): number => Number(rows(database, `select count(*) as n from ${table} ${only()}`, ...values)[0]?.['n'] ?? 0),
    grouped: (column: string, table: string, condition?: string): Map<Row[string], number> =>
      new Map(rows(database, `select ${column} as name, count(*) as n from ${table} ${only(condition)} group by ${column} order by ${column}`, ...values).map((row) => [row['name'], Number(row['n'])])),
  };
}
