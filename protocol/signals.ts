/**
 * What the editor tells the daemon about the developer's work. A signal is an observation, never a
 * judgement: outcomes are inferred from signals in daemon/capture, so that every editor that can
 * report text changes can teach. Signals are numbered per session without gaps; publishing is
 * idempotent, and what was acknowledged is on disk.
 */
import { z } from 'zod';
import { request } from './message.ts';
import { testReport } from './tests.ts';

/** Milliseconds since the Unix epoch, by the editor's clock. */
const at = z.number().nonnegative();
const uri = z.string().min(1);
const offset = z.int().nonnegative();

/** One replaced range, offsets in UTF-16 units of the document before this change; the changes of
 *  one event are listed so that applying them one after another gives the new document. */
export const textChange = z.object({ offset, length: offset, text: z.string() });
export type TextChange = z.output<typeof textChange>;

/** An exit code; null = it ended without one, or the shell did not tell. */
const exitCode = z.int().nullable();
const durationMs = z.number().nonnegative();

/** What a checker says of a place in a document. */
export const problem = z.object({
  severity: z.enum(['error', 'warning']),
  message: z.string(),
  source: z.string().nullable(),
  offset,
  length: offset,
  /** The agent's edit, still under review, that wrote the place. */
  turn: z.string().nullable(),
});
export type Problem = z.output<typeof problem>;

export const signal = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('session.started'), at, workspace: uri, editor: z.string() }),
  z.object({ kind: z.literal('session.ended'), at }),
  z.object({ kind: z.literal('document.opened'), at, uri, languageId: z.string(), version: z.int() }),
  z.object({
    kind: z.literal('document.changed'),
    at,
    uri,
    /** Document version after the change. */
    version: z.int(),
    changes: z.array(textChange).min(1),
    reason: z.enum(['undo', 'redo']).optional(),
    /** The cursor that came with it was moved by neither key nor mouse: a command wrote the text, as that which
     *  accepts the next word of a suggestion does. Absent = typed, or the editor does not tell. */
    commanded: z.literal(true).optional(),
  }),
  z.object({ kind: z.literal('document.saved'), at, uri, version: z.int() }),
  z.object({ kind: z.literal('document.closed'), at, uri }),
  /** The accept command of a suggestion ran; the text change came just before it. */
  z.object({ kind: z.literal('suggestion.accepted'), at, turn: z.string() }),
  /** A hunk of an agent's edit was kept, changed or reverted; `now` is what stands there. `open` = hunks of
   *  the same turn that nobody has decided on yet. */
  z.object({
    kind: z.literal('edit.reviewed'), at, turn: z.string(), uri,
    before: z.string(), proposed: z.string(), now: z.string(), state: z.enum(['kept', 'changed', 'reverted']), open: z.int().nonnegative(),
  }),
  /** The user pressed a button under a reply; `correction` is what it should have been. */
  z.object({ kind: z.literal('chat.rated'), at, turn: z.string(), rating: z.enum(['helpful', 'wrong']), correction: z.string().nullable() }),
  /** The same change as just before was offered at another place: made by its key, dismissed by Esc, or passed
   *  over by going on. */
  z.object({ kind: z.literal('nextEdit.answered'), at, uri, before: z.string(), after: z.string(), answer: z.enum(['applied', 'dismissed', 'passed']) }),
  /** HEAD moved to another commit or branch: survival of what was accepted before is void. */
  z.object({ kind: z.literal('branch.switched'), at, workspace: uri }),

  // The user's own runs. `at` is their end.
  /** A command in the user's terminal. `output` is what it wrote, its beginning and its end. */
  z.object({ kind: z.literal('terminal.ran'), at, durationMs, command: z.string(), cwd: uri.nullable(), exitCode, output: z.string() }),
  z.object({ kind: z.literal('task.ended'), at, durationMs, name: z.string(), exitCode }),
  /** `exception`: the last place where an uncaught one stopped it. */
  z.object({ kind: z.literal('debug.ended'), at, durationMs, name: z.string(), exitCode, exception: z.object({ uri, line: z.int().positive() }).nullable() }),
  /** `source`: the command that ran them, or the report that told. */
  z.object({ kind: z.literal('tests.ran'), at, durationMs, source: z.string(), report: testReport }),
  /** All that the checkers say of a document, once they have said it and have nothing to add. */
  z.object({ kind: z.literal('diagnostics.settled'), at, uri, version: z.int(), problems: z.array(problem) }),
  z.object({ kind: z.literal('commit.made'), at, workspace: uri, hash: z.string() }),
  /** A cell of a notebook. `cell` is its own name, `error` the head of its traceback. */
  z.object({ kind: z.literal('cell.ran'), at, durationMs, uri, cell: z.string(), success: z.boolean(), error: z.string().nullable() }),
]);
export type Signal = z.output<typeof signal>;
export type SignalOf<K extends Signal['kind']> = Extract<Signal, { kind: K }>;

export const signalPublish = request(
  'hindsight/signal/publish',
  'editor→daemon',
  'Hands over signals `first`, `first`+1, … of a session. Signals at or below the acknowledged number are ignored, a gap is refused. The answer comes when they are on disk.',
  z.object({ session: z.string(), first: z.int().nonnegative(), signals: z.array(signal).max(1000) }),
  z.object({ acknowledged: z.int() }),
  {
    params: {
      session: 's-1',
      first: 4,
      signals: [
        { kind: 'document.changed', at: 1_790_000_000_000, uri: 'file:///p/a.ts', version: 7, changes: [{ offset: 120, length: 0, text: 'return total;' }] },
        { kind: 'suggestion.accepted', at: 1_790_000_000_004, turn: 't-9' },
      ],
    },
    result: { acknowledged: 5 },
  },
);
