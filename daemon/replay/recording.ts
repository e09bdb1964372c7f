/**
 * A recorded editing session (`workspaceRecording@1.0`: document opens, contents, change events,
 * suggestion fetches and accepts, with times) → documents, exactly as they were after every change,
 * and the suggestions that were accepted. Entries of a document are taken in the order of the log;
 * an entry of a kind that says nothing about text is passed over.
 */
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';

const offset = z.int().nonnegative();
/** Replacements of one event, all in offsets of the text before it. */
const edit = z.array(z.tuple([offset, offset, z.string()]));
const of = { id: z.int(), time: z.number() };
const version = z.number().nullish();

const entry = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('documentEncountered'), ...of, relativePath: z.string() }),
  z.object({ kind: z.literal('setContent'), ...of, v: version, content: z.string() }),
  z.object({ kind: z.literal('storeContent'), ...of, v: version, contentId: z.string() }),
  z.object({ kind: z.literal('restoreContent'), ...of, v: version, contentId: z.string() }),
  z.object({ kind: z.literal('changed'), ...of, v: version, edit, metadata: z.looseObject({ source: z.string() }).optional() }),
  z.object({ kind: z.literal('documentEvent'), ...of, data: z.unknown() }),
]);
type Entry = z.output<typeof entry>;
/** Kinds that say what a text is; all others are passed over. */
const TEXT_KINDS: ReadonlySet<unknown> = new Set(['documentEncountered', 'setContent', 'storeContent', 'restoreContent', 'changed', 'documentEvent']);
const log = z.looseObject({ log: z.array(z.looseObject({ kind: z.string() })) });

/** Why the next change of a document came about. */
const changeReason = z.looseObject({ sourceId: z.literal('TextModel.setChangeReason'), source: z.string(), v: version });
const ACCEPT = /inline\W?(suggestion|completion|edit)s?\W?(partial\W?)?accept/i;

export interface RecordedAccept {
  time: number;
  path: string;
  /** Where the text went, in the text before the change. */
  offset: number;
  text: string;
}

export interface RecordedChange {
  time: number;
  path: string;
  before: string;
  after: string;
}

export interface Recording {
  /** Text of every document at the end. */
  documents: Map<string, string>;
  /** In the order of the log. */
  changes: RecordedChange[];
  accepts: RecordedAccept[];
}

interface Document {
  path: string;
  text: string | null;
  /** Versions at which an accepted suggestion was put in; null = the next one. */
  accepting: (number | null)[];
  stored: Map<string, string>;
}

/** @param json  the parsed file
 *  @throws recordingCorrupt with the entry that does not fit */
export function readRecording(json: unknown, path: string): Recording {
  const corrupt = (problem: string): HindsightError => new HindsightError('recordingCorrupt', { path, problem });
  const file = log.safeParse(json);
  if (!file.success) throw corrupt('it has no log of entries');
  const documents = new Map<number, Document>();
  const recording: Recording = { documents: new Map(), changes: [], accepts: [] };
  file.data.log.forEach((raw, index) => {
    if (!TEXT_KINDS.has(raw.kind)) return;
    const parsed = entry.safeParse(raw);
    if (!parsed.success) throw corrupt(`entry ${index + 1} (${raw.kind}) lacks a part`);
    const problem = take(parsed.data, documents, recording);
    if (problem !== null) throw corrupt(`entry ${index + 1}: ${problem}`);
  });
  for (const { path: name, text } of documents.values()) if (text !== null) recording.documents.set(name, text);
  return recording;
}

/** @returns what is wrong with the entry; null = nothing */
function take(one: Entry, documents: Map<number, Document>, recording: Recording): string | null {
  if (one.kind === 'documentEncountered') {
    documents.set(one.id, { path: plainPath(one.relativePath), text: null, accepting: [], stored: new Map() });
    return null;
  }
  const document = documents.get(one.id);
  if (!document) return `document ${one.id} was never encountered`;
  switch (one.kind) {
    case 'setContent':
      document.text = one.content;
      return null;
    case 'storeContent':
      if (document.text === null) return 'there is no content to store';
      document.stored.set(one.contentId, document.text);
      return null;
    case 'restoreContent': {
      const stored = [...documents.values()].map((other) => other.stored.get(one.contentId)).find((text) => text !== undefined);
      if (stored === undefined) return `content ${one.contentId} was never stored`;
      document.text = stored;
      return null;
    }
    case 'documentEvent': {
      const reason = changeReason.safeParse(one.data);
      if (reason.success && ACCEPT.test(reason.data.source)) document.accepting.push(reason.data.v ?? null);
      return null;
    }
    case 'changed':
      return change(one, document, recording);
  }
}

function change({ time, v, edit: edits, metadata }: Extract<Entry, { kind: 'changed' }>, document: Document, recording: Recording): string | null {
  const before = document.text;
  if (before === null) return `${document.path} changes before its content is known`;
  let after = '';
  let end = 0;
  for (const [from, to, text] of edits.toSorted((a, b) => a[0] - b[0])) {
    if (from < end || to < from || to > before.length) return `an edit lies outside of ${document.path}`;
    after += before.slice(end, from) + text;
    end = to;
  }
  document.text = after + before.slice(end);
  recording.changes.push({ time, path: document.path, before, after: document.text });
  if (isAccept(document, v ?? null) || (metadata !== undefined && ACCEPT.test(metadata.source))) {
    for (const [from, , text] of edits) recording.accepts.push({ time, path: document.path, offset: from, text });
  }
  return null;
}

/** The reason is logged before its change, with the version that it leads to or the one it starts from. */
function isAccept(document: Document, v: number | null): boolean {
  const at = document.accepting.findIndex((version) => version === null || v === null || version === v || version === v - 1);
  if (at < 0) return false;
  document.accepting.splice(at, 1);
  return true;
}

/** With forward slashes, and without leaving the workspace. */
function plainPath(path: string): string {
  return path.replaceAll('\\', '/').split('/').filter((part) => part !== '' && part !== '.' && part !== '..').join('/');
}
