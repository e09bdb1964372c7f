/**
 * Chats of the RealHumanEval study, CSV: `request` (the conversation so far), `response`,
 * `copy_events`, `programmer_id`, `timestamp`, `task_name`; lists are Python literals. A copy belongs
 * to the reply that has its text: its row's own, else the latest before it of the same programmer.
 */
import { z } from 'zod';
import type { Observation } from '../../journal/records.ts';
import { parseCsv } from './csv.ts';
import { importedNext, importedTurn } from './imported.ts';
import type { Imported, ImportedTurn } from './imported.ts';
import { parsePython } from './python.ts';

const COLUMNS = ['request', 'response', 'copy_events', 'programmer_id', 'timestamp', 'task_name'] as const;
const requestSchema = z.array(z.object({ role: z.string(), content: z.string() })).min(1);
const copiesSchema = z.array(z.object({ copied: z.string() }));

interface Row {
  line: number;
  request: string;
  response: string;
  copies: string[];
  person: string;
  task: string;
  at: number;
}

export function isRealHumanEval(firstLine: string): boolean {
  const header = parseCsv(firstLine)[0] ?? [];
  return COLUMNS.every((column) => header.includes(column));
}

export function importRealHumanEval(text: string): Imported {
  const [header = [], ...lines] = parseCsv(text);
  const problems: string[] = [];
  const rows = lines.flatMap((fields, index) => {
    try {
      return [rowOf(header, fields, index + 2)];
    } catch (thrown) {
      problems.push(`record ${index + 2}: ${thrown instanceof z.ZodError ? (thrown.issues[0]?.message ?? 'unreadable') : (thrown as Error).message}`);
      return [];
    }
  });
  const copies = attribute(rows, problems);
  const turns = rows.map((row) => turnOf(row, rows, copies.get(row) ?? []));
  return { format: 'RealHumanEval chats', sessions: new Set(rows.map((row) => row.person)).size, turns, problems };
}

function rowOf(header: readonly string[], fields: readonly string[], line: number): Row {
  if (fields.length !== header.length) throw new Error(`it has ${fields.length} fields and the header ${header.length}`);
  const [request = '', response = '', copyEvents = '', person = '', timestamp = '', task = ''] = COLUMNS.map((column) => fields[header.indexOf(column)] ?? '');
  const messages = requestSchema.parse(parsePython(request));
  const at = Number(timestamp);
  if (!Number.isFinite(at)) throw new Error('its timestamp is no number');
  return { line, request: messages.filter(({ role }) => role === 'user').at(-1)?.content ?? '', response, copies: copiesSchema.parse(parsePython(copyEvents || '[]')).map(({ copied }) => copied), person, task, at: 1000 * at };
}

const bare = (text: string): string => text.replace(/\s+/g, '');

function attribute(rows: readonly Row[], problems: string[]): Map<Row, string[]> {
  const copies = new Map<Row, string[]>();
  for (const row of rows) {
    for (const text of row.copies) {
      if (bare(text) === '') continue;
      const earlier = rows.filter((other) => other.person === row.person && other !== row && other.at <= row.at).sort((a, b) => b.at - a.at);
      const source = [row, ...earlier].find((one) => bare(one.response).includes(bare(text)));
      if (source === undefined) problems.push(`record ${row.line}: no reply has the text that was copied`);
      else copies.set(source, [...(copies.get(source) ?? []), text]);
    }
  }
  return copies;
}

function turnOf(row: Row, rows: readonly Row[], copied: readonly string[]): ImportedTurn {
  const session = `${row.person}/${row.task}`;
  const own = rows.filter((other) => other.person === row.person && other.task === row.task).sort((a, b) => a.at - b.at);
  const step = own.indexOf(row);
  const turn = importedTurn({ id: `${session}/${step}`, session, step, request: row.request, reply: row.response, modality: 'chat', files: [], at: row.at });
  const [following, ...after] = own.slice(step + 1).map((later) => ({ message: later.request, kept: null }));
  const observations: Observation[] = [
    ...copied.map((text): Observation => ({ kind: 'copied', text })),
    ...(following === undefined ? [] : [{ kind: 'message' as const, text: following.message }]),
  ];
  return { turn, next: importedNext(turn, observations, own[step + 1]?.at ?? row.at), after, late: [] };
}
