/** How the suggestions of each version fared: what a person calls "is it getting better". */
import type { Share, VersionCurve } from '../../protocol/learning.ts';
import { rows } from './database.ts';
import type { Database } from './database.ts';

/** 95 %, two-sided. */
const Z = 1.959964;

/** Outcomes that answer a suggestion. One that a newer one took the place of was answered by nobody. */
const ANSWERED = `('accepted', 'partial', 'typedThrough', 'diverged')`;
const ACCEPTED = `('accepted', 'partial', 'typedThrough')`;
/** 4-gram similarity from which most of a text still stands there. */
const STANDS = 0.5;

/** The base first, then the versions in the order in which they were made; only those that offered something. */
export function versionCurves(database: Database, workspace: string): VersionCurve[] {
  const found = rows(
    database,
    `with mark as (
       select turn, seconds, similarity, row_number() over (partition by turn order by seconds desc) as back from (
         select evidence.turn as turn, json_extract(evidence.record, '$.seconds') as seconds, json_extract(evidence.record, '$.similarity') as similarity
           from evidence where json_extract(evidence.record, '$.kind') = 'survival'
         union all
         select next_state.turn, json_extract(each.value, '$[0]'), json_extract(each.value, '$[1]')
           from next_state join json_each(next_state.record, '$.survival') as each
       ) where similarity is not null
     )
     select json_extract(turn.record, '$.adapter') as version, count(*) as answered,
            sum(next_state.outcome in ${ACCEPTED}) as accepted,
            sum(next_state.outcome in ${ACCEPTED} and mark.similarity is not null) as watched,
            sum(next_state.outcome in ${ACCEPTED} and mark.similarity >= ${STANDS}) as stands
       from turn join next_state on next_state.turn = turn.id left join mark on mark.turn = turn.id and mark.back = 1
       where turn.workspace = ?1 and turn.role = 'main' and next_state.outcome in ${ANSWERED} and json_extract(turn.record, '$.shownText') <> ''
       group by 1 order by coalesce(version, 0)`,
    workspace,
  );
  return found.map((row) => ({
    version: row['version'] === null ? null : Number(row['version']),
    accepted: wilson(Number(row['accepted'] ?? 0), Number(row['answered'] ?? 0)),
    survived: wilson(Number(row['stands'] ?? 0), Number(row['watched'] ?? 0)),
  }));
}

/** Wilson's score interval (1927): it stays in [0, 1] and is honest about few cases. */
export function wilson(hits: number, of: number): Share {
  if (of === 0) return { of, value: null, lower: null, upper: null };
  const value = hits / of;
  const scale = 1 + (Z * Z) / of;
  const middle = (value + (Z * Z) / (2 * of)) / scale;
  const half = (Z * Math.sqrt((value * (1 - value)) / of + (Z * Z) / (4 * of * of))) / scale;
  // The bounds meet the value at 0 and 1, whatever rounding says.
  return { of, value, lower: Math.max(0, Math.min(value, middle - half)), upper: Math.min(1, Math.max(value, middle + half)) };
}
