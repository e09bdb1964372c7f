/** Counts of what is where in the pipe. */
import type { z } from 'zod';
import type { pipeCounts as wireCounts, pipeStage } from '../../protocol/editor.ts';
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
    steps: count('step', `state in ('trained', 'gated')`),
  };
}

export type PipeStage = z.output<typeof pipeStage>;

/** [stage, count and the oldest waiting time stamp]; ?1 = the workspace. */
const STAGES: readonly (readonly [PipeStage['stage'], string])[] = [
  ['offered', `select count(*) as n, min(offered_at) as oldest from turn where workspace = ?1 and role = 'main' and open = 1`],
  ['nextState', `select count(*) as n, null as oldest from next_state join turn on turn.id = next_state.turn where turn.workspace = ?1`],
  ['judging', `select count(*) as n, min(next_state.decided_at) as oldest from judging join next_state on next_state.turn = judging.turn where judging.workspace = ?1`],
  ['verdict', `select count(distinct turn) as n, null as oldest from verdict where workspace = ?1`],
  ['hint', `select count(distinct hint.turn) as n, null as oldest from hint join turn on turn.id = hint.turn where turn.workspace = ?1`],
  ['watched', `select count(*) as n, min(json_extract(record, '$.acceptedAt')) as oldest from watch where workspace = ?1`],
  ['ready', `select count(*) as n, min(created_at) as oldest from sample where workspace = ?1 and state = 'ready'`],
  ['leased', `select count(*) as n, min(created_at) as oldest from sample where workspace = ?1 and state = 'leased'`],
  ['step', `select count(*) as n, min(case when state = 'running' then started_at end) as oldest from step where workspace = ?1 and state <> 'failed'`],
  ['candidate', `select count(*) as n, min(created_at) as oldest from adapter where workspace = ?1 and state = 'candidate'`],
  ['rejected', `select count(*) as n, null as oldest from adapter where workspace = ?1 and state in ('rejected', 'quarantined', 'rolledBack')`],
  ['served', `select count(*) as n, null as oldest from adapter where workspace = ?1 and state in ('serving', 'retired')`],
];

export function pipeStages(database: Database, workspace: string, now: number): PipeStage[] {
  return STAGES.map(([stage, sql]) => {
    const row = rows(database, sql, workspace)[0];
    const oldest = row?.['oldest'];
    return { stage, count: Number(row?.['n'] ?? 0), oldestSeconds: typeof oldest === 'number' ? Math.max(0, Math.round((now - oldest) / 1000)) : null };
  });
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
    count: (table: string, condition?: string): number => Number(rows(database, `select count(*) as n from ${table} ${only(condition)}`, ...values)[0]?.['n'] ?? 0),
    grouped: (column: string, table: string, condition?: string): Map<Row[string], number> =>
      new Map(rows(database, `select ${column} as name, count(*) as n from ${table} ${only(condition)} group by ${column} order by ${column}`, ...values).map((row) => [row['name'], Number(row['n'])])),
  };
}
