/** Recorded sessions through the capture code: text is followed exactly, and every accepted suggestion is found. The recordings
 *  that are looked at beside the small one made here are those of HINDSIGHT_RECORDINGS, a folder. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TextChange } from '../../protocol/signals.ts';
import { CompletionTracker } from '../capture/completions.ts';
import { moveSpan } from '../capture/span.ts';
import type { NextState } from '../journal/records.ts';
import { turnOf } from '../learn/samples.fixture.ts';
import { readRecording } from './recording.ts';
import type { RecordedChange } from './recording.ts';

const own = {
  log: [
    { kind: 'documentEncountered', id: 0, time: 1, relativePath: 'a.ts' },
    { kind: 'setContent', id: 0, time: 1, v: 1, content: 'const total = 0;\n\nexport {};\n' },
    ...[...'return '].map((key, at) => ({ kind: 'changed', id: 0, time: 1000 + 120 * at, v: 2 + at, edit: [[17 + at, 17 + at, key]] })),
    { kind: 'changed', id: 0, time: 2000, v: 9, edit: [[24, 24, 'total / items.length;']] },
    { kind: 'changed', id: 0, time: 9000, v: 10, edit: [[6, 11, 'sum'], [24, 29, 'sum']] },
    { kind: 'changed', id: 0, time: 9500, v: 11, edit: [[0, 0, '// the mean\n']] },
    { kind: 'changed', id: 0, time: 9900, v: 12, edit: [[0, 12, '']] },
  ],
};
const folder = process.env['HINDSIGHT_RECORDINGS'];
const recordings: [string, unknown][] = [['its own', own], ...(folder === undefined ? [] : readdirSync(folder).filter((name) => name.endsWith('.json')).map((name): [string, unknown] => [name, JSON.parse(readFileSync(join(folder, name), 'utf8')) as unknown]))];

/** The one replacement that makes a text of another. */
function changeOf({ before, after }: RecordedChange): TextChange {
  let from = 0;
  while (from < Math.min(before.length, after.length) && before[from] === after[from]) from += 1;
  let end = 0;
  while (end < Math.min(before.length, after.length) - from && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  return { offset: from, length: before.length - from - end, text: after.slice(from, after.length - end) };
}

describe('recorded sessions through capture', () => {
  it.each(recordings)('%s: every document is rebuilt, every accepted text is found, and nothing else', (name, json) => {
    const { changes, documents, accepts } = readRecording(json, name);
    const texts = new Map<string, string>();
    const tracker = new CompletionTracker();
    let offered = 0;
    const found: string[] = [];
    const note = (closed: readonly NextState[]): void => void found.push(...closed.filter(({ outcome }) => outcome === 'accepted').map(({ turn }) => turn));
    changes.forEach((change, version) => {
      const edit = changeOf(change);
      if (texts.has(change.path) && texts.get(change.path) !== change.before) throw new Error(`${change.path} changed without a change`);
      texts.set(change.path, moveSpan({ start: 0, text: change.before }, edit, 'grows').span.text);
      // What came in at once might have been accepted: here it was offered a moment before.
      const block = edit.length === 0 && edit.text.trim().length > 1;
      if (block) note(tracker.offer(turnOf([edit.text], { id: `t${offered++}`, uri: change.path, version, offset: edit.offset, offeredAt: change.time, shownText: edit.text.replaceAll('\r\n', '\n') })));
      note(tracker.signal({ kind: 'document.changed', at: change.time + 1, uri: change.path, version: version + 1, changes: [edit] }));
    });
    note(tracker.end((changes.at(-1)?.time ?? 0) + 1e6));
    for (const [path, text] of texts) expect(text).toBe(documents.get(path));
    expect([...found].sort()).toEqual(Array.from({ length: offered }, (_, at) => `t${at}`).sort());
    expect(accepts.length).toBeLessThanOrEqual(offered);
  });
});
