/** Rows of the tables whose records change over time, to and from the records of records.ts. */
import type { Row, Value } from './database.ts';
import type { AdapterRecord, AdapterState, Route, Sample, SampleState, Step } from './records.ts';

export function sampleOf(row: Row): Sample {
  return {
    id: Number(row['id']),
    turn: String(row['turn']),
    workspace: String(row['workspace']),
    route: row['route'] as Route,
    advantage: numberOrNull(row['advantage']),
    weight: Number(row['weight']),
    version: Number(row['version']),
    state: row['state'] as SampleState,
    reason: row['reason'] === null ? null : String(row['reason']),
    step: numberOrNull(row['step']),
    createdAt: Number(row['created_at']),
  };
}

export function stepOf(row: Row): Step {
  return {
    id: Number(row['id']),
    workspace: String(row['workspace']),
    seed: Number(row['seed']),
    startedAt: Number(row['started_at']),
    state: row['state'] as Step['state'],
    candidate: numberOrNull(row['candidate']),
    metrics: JSON.parse(String(row['metrics'])) as Step['metrics'],
  };
}

export function adapterOf(row: Row): AdapterRecord {
  return {
    workspace: String(row['workspace']),
    version: Number(row['version']),
    parent: numberOrNull(row['parent']),
    fingerprint: String(row['fingerprint']),
    dir: String(row['dir']),
    sha256: String(row['sha256']),
    state: row['state'] as AdapterState,
    createdAt: Number(row['created_at']),
    samples: Number(row['samples']),
    reason: String(row['reason']),
  };
}

/** `a = ?, b = ?` of a patch; its keys are column names. */
export function assignments(patch: object): { sql: string; values: Value[] } {
  const entries = Object.entries(patch) as [string, Value][];
  return { sql: entries.map(([name]) => `${name} = ?`).join(', '), values: entries.map(([, value]) => value) };
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
