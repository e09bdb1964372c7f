/** The journal's accounting: every signal, turn and sample is in exactly one place. */
import { rows } from './database.ts';
import type { Database } from './database.ts';

/** [what a row found by the query means, the query]; a sound journal has no such row. */
const CHECKS: readonly (readonly [string, string])[] = [
  ['Session {id} acknowledged {acknowledged} but holds other signals', `
    select id, acknowledged from session
    where acknowledged + 1 <> forgotten + (select count(*) from signal where signal.session = session.id)
       or acknowledged < (select coalesce(max(seq), -1) from signal where signal.session = session.id)`],
  ['Turn {id} is closed but has no next state', `
    select id from turn where role = 'main' and open = 0 and (json_extract(record, '$.shownText') <> '' or json_extract(record, '$.held') is not null)
      and not exists (select 1 from next_state where next_state.turn = turn.id)`],
  ['Turn {id} is open and has a next state', 'select id from turn where open = 1 and exists (select 1 from next_state where next_state.turn = turn.id)'],
  ['Sample {id} is of turn {turn}, which must not train', `
    select sample.id, sample.turn from sample join turn on turn.id = sample.turn where turn.role <> 'main' or turn.split <> 'train'`],
  ['Sample {id} has no next state behind it', 'select id from sample where not exists (select 1 from next_state where next_state.turn = sample.turn)'],
  ['Sample {id} has neither verdict nor hint behind it', `
    select id from sample where not exists (select 1 from verdict where verdict.turn = sample.turn)
      and not exists (select 1 from hint where hint.turn = sample.turn)`],
  ['Sample {id} is leased by step {step}, which is not running', `
    select sample.id, sample.step from sample join step on step.id = sample.step where sample.state = 'leased' and step.state <> 'running'`],
  ['Sample {id} was consumed by step {step}, which has not trained', `
    select sample.id, sample.step from sample join step on step.id = sample.step where sample.state = 'consumed' and step.state not in ('trained', 'gated')`],
  ['Turn {turn} waits for a judge and has a verdict', 'select turn from judging where exists (select 1 from verdict where verdict.turn = judging.turn)'],
  ['Turn {turn} is watched on but its next state is not known', 'select turn from watch where not exists (select 1 from next_state where next_state.turn = watch.turn)'],
  ['Step {id} made adapter {candidate}, which no row describes', `
    select id, candidate from step where candidate is not null
      and not exists (select 1 from adapter where adapter.workspace = step.workspace and adapter.version = step.candidate)`],
  ['Adapter {version} should serve {workspace} but its state is {state}', `
    select serving.workspace, serving.version, coalesce(adapter.state, 'unknown') as state from serving
      left join adapter on adapter.workspace = serving.workspace and adapter.version = serving.version
      where serving.version is not null and adapter.state is not 'serving'`],
  ['Adapter {version} says that it serves {workspace}, but it does not', `
    select adapter.workspace, adapter.version from adapter left join serving on serving.workspace = adapter.workspace
      where adapter.state = 'serving' and serving.version is not adapter.version`],
];

/** @returns what does not add up, as sentences */
export function verify(database: Database): string[] {
  const damage = rows(database, 'pragma integrity_check').map((row) => String(row['integrity_check'])).filter((line) => line !== 'ok');
  if (damage.length > 0) return damage.map((line) => `The file is damaged: ${line}`);
  return CHECKS.flatMap(([sentence, sql]) =>
    rows(database, sql).map((row) => sentence.replace(/\{(\w+)\}/g, (_, key: string) => String(row[key]))),
  );
}
