/**
 * How two processes agree before anything else is said. Each side states the range of protocol
 * versions it speaks; the highest common one is used, and no common one is `protocolMismatch`,
 * which says which side to update.
 */
import { z } from 'zod';
import { HindsightError } from './errors.ts';

export const PROTOCOL = { min: 1, max: 1 } as const;

/** Bytes of one message; an adapter travels as a path, or in chunks (issue 3), never whole. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export const versionRange = z.object({ min: z.int().positive(), max: z.int().positive() });
export type VersionRange = z.output<typeof versionRange>;

/** Travels as `initializationOptions` of LSP's `initialize`. */
export const editorHello = z.object({
  protocol: versionRange,
  client: z.object({ name: z.string(), version: z.string() }),
  /** One run of one editor window; signals are numbered within it. */
  session: z.string().min(1).max(128),
  /** Folder URI the window works in; consent, adapters and learning are per workspace. */
  workspace: z.string().min(1),
  /** The user's patterns of files of which nothing is recorded, as in `.gitignore`; absent = the default ones. */
  ignoredFiles: z.array(z.string()).optional(),
  /** Whether suggestions that the user would hardly take are held back; absent = as the daemon is set. */
  holdBack: z.boolean().optional(),
  /** Whether suggestions come later, or for a while not at all, after those that were turned down; absent = yes. */
  adaptive: z.boolean().optional(),
  /** Whether to say where a change could be made next; absent = no. */
  nextEdits: z.boolean().optional(),
});
export type EditorHello = z.output<typeof editorHello>;

/** Travels as `capabilities.experimental.hindsight` of the answer to `initialize`. */
export const daemonHello = z.object({
  protocol: z.int().positive(),
  daemon: z.object({ version: z.string(), pid: z.int() }),
  /** Largest `seq` of this session that is on disk; the spool resumes after it. -1 = none. */
  acknowledged: z.int(),
  limits: z.object({ messageBytes: z.int().positive(), signalsPerBatch: z.int().positive() }),
});
export type DaemonHello = z.output<typeof daemonHello>;

/** Highest version both sides speak.
 *  @throws protocolMismatch naming the side that is too old */
export function agree(ours: VersionRange, theirs: VersionRange, sides: { ours: string; theirs: string }): number {
  const version = Math.min(ours.max, theirs.max);
  if (version >= Math.max(ours.min, theirs.min)) return version;
  const show = (range: VersionRange): string => `${range.min}-${range.max}`;
  throw new HindsightError('protocolMismatch', {
    ours: show(ours),
    theirs: show(theirs),
    side: ours.max < theirs.max ? sides.ours : sides.theirs,
  });
}
