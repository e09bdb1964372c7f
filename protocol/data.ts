/** What is recorded of a workspace: to be seen, taken along, and taken back by its owner. */
import { z } from 'zod';
import { request } from './message.ts';

const workspace = z.string().min(1);
const uri = z.string().min(1);

export const storedRecord = z.object({
  kind: z.enum(['signal', 'turn', 'nextState', 'verdict', 'hint', 'evidence']),
  /** Milliseconds since the Unix epoch. */
  at: z.number(),
  /** The record as it stands in the journal: one JSON object. */
  json: z.string(),
});

export const dataPreview = request(
  'hindsight/data/preview',
  'editor→daemon',
  'The newest records of a workspace exactly as they stand in the journal, newest first.',
  z.object({ workspace, limit: z.int().positive().max(500) }),
  z.object({ records: z.array(storedRecord) }),
  { params: { workspace: 'file:///p', limit: 50 }, result: { records: [{ kind: 'verdict', at: 1_790_000_000_000, json: '{"turn":"t-9","score":-0.25}' }] } },
);

export const dataWouldStore = request(
  'hindsight/data/wouldStore',
  'editor→daemon',
  'What could be stored of a document now: its text as prompts and signals would hold it, secrets masked; or why nothing would be.',
  z.object({ workspace, uri, text: z.string() }),
  z.object({
    /** `consent`: the owner has not said yes to suggestions; `ignored`: a rule leaves this file out; `outside`: it is in no folder that is learned from. */
    stored: z.enum(['yes', 'consent', 'ignored', 'outside']),
    text: z.string(),
    /** Secrets that were masked. */
    masked: z.int().nonnegative(),
  }),
  { params: { workspace: 'file:///p', uri: 'file:///p/a.ts', text: 'let a = 1;\n' }, result: { stored: 'yes', text: 'let a = 1;\n', masked: 0 } },
);

export const forgetScope = z.discriminatedUnion('what', [
  z.object({ what: z.literal('file'), uri }),
  z.object({ what: z.literal('folder'), uri }),
  z.object({ what: z.literal('session'), session: z.string().min(1) }),
  z.object({ what: z.literal('workspace'), workspace }),
  /** Of all workspaces: what was learned goes, too. */
  z.object({ what: z.literal('everything') }),
]);
export type ForgetScope = z.output<typeof forgetScope>;

export const dataForget = request(
  'hindsight/data/forget',
  'editor→daemon',
  'Takes a file, a folder, a session, a workspace or everything out of the journal and its files, for good. A step in progress is taken back first. `adapters` are the versions that may have learned from it; `instead` is what each serving one of them can be rolled back to (null = the base model).',
  z.object({ scope: forgetScope }),
  z.object({
    signals: z.int(),
    turns: z.int(),
    samples: z.int(),
    /** Texts of the developer that memory could have shown again. */
    remembered: z.int(),
    adapters: z.array(z.object({ workspace, version: z.int().positive() })),
    serving: z.array(z.object({ workspace, version: z.int().positive(), instead: z.int().positive().nullable() })),
  }),
  {
    params: { scope: { what: 'file', uri: 'file:///p/a.ts' } },
    result: { signals: 120, turns: 4, samples: 3, remembered: 2, adapters: [{ workspace: 'file:///p', version: 2 }], serving: [{ workspace: 'file:///p', version: 2, instead: 1 }] },
  },
);

export const dataExport = request(
  'hindsight/data/export',
  'editor→daemon',
  'Writes every record of a workspace into a file on the daemon’s machine, one JSON object a line: `{kind, at, record}`.',
  z.object({ workspace, path: z.string().min(1) }),
  z.object({ records: z.int(), bytes: z.int() }),
  { params: { workspace: 'file:///p', path: '/home/me/hindsight.jsonl' }, result: { records: 840, bytes: 910_223 } },
);

export const dataMessages = [dataPreview, dataWouldStore, dataForget, dataExport] as const;
