import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hunksBetween } from './diff.ts';
import { applyHunks } from './lines.ts';
import { readRecording } from './recording.ts';
import { streamOfRecordings } from './recordings.ts';
import { decodeStream, encodeStream } from './stream.ts';

const of = (id: number, time: number): { id: number; time: number } => ({ id, time });
const known = (content: string, path = 'src\\a.ts'): object[] => [{ kind: 'documentEncountered', ...of(0, 1), relativePath: path }, { kind: 'setContent', ...of(0, 1), v: 1, content }];
const read = (...log: object[]): ReturnType<typeof readRecording> => readRecording({ log }, 'r.json');

describe('a recorded session', () => {
  it('gives every document as it was, with edits of one event in the offsets before it', () => {
    const { documents } = read(
      { kind: 'header', documentType: 'workspaceRecording@1.0', time: 0, uuid: 'u', repoRootUri: 'file:///p' },
      ...known('one two three\r\n'),
      { kind: 'opened', ...of(0, 2) },
      // Told in reverse: the offsets are of the text before, all the same.
      { kind: 'changed', ...of(0, 3), v: 2, edit: [[8, 13, 'drei'], [0, 3, 'eins']] },
      { kind: 'changed', ...of(0, 3), v: 3, edit: [] },
      { kind: 'selectionChanged', ...of(0, 4), selection: [[0, 0]] },
      { kind: 'storeContent', ...of(0, 5), v: 3, contentId: 'c' },
      { kind: 'changed', ...of(0, 6), v: 4, edit: [[0, 15, '']] },
      { kind: 'restoreContent', ...of(0, 7), v: 5, contentId: 'c' },
      { kind: 'changed', ...of(0, 8), v: 6, edit: [[5, 5, 'und ']] },
    );
    expect([...documents]).toEqual([['src/a.ts', 'eins und two drei\r\n']]);
  });

  it('is the text of any sequence of edits', () => {
    fc.assert(fc.property(fc.string(), fc.array(fc.tuple(fc.nat(), fc.nat(), fc.string())), (start, edits) => {
      let text = start;
      const changes = edits.map(([a, b, insert], at) => {
        const from = a % (text.length + 1);
        const to = from + (b % (text.length - from + 1));
        text = text.slice(0, from) + insert + text.slice(to);
        return { kind: 'changed', ...of(0, at), v: at + 2, edit: [[from, to, insert]] };
      });
      expect(read(...known(start), ...changes).documents.get('src/a.ts')).toBe(text);
    }));
  });

  it('tells accepted suggestions from typing, by the reason that the editor logged', () => {
    const reason = (source: string, v: number): object => ({ kind: 'documentEvent', ...of(0, 4), data: { sourceId: 'TextModel.setChangeReason', source, v } });
    const { accepts } = read(
      ...known('a\n'),
      { kind: 'event', time: 2, data: { sourceId: 'InlineCompletions.fetch', kind: 'end', requestId: 1, result: [] } },
      { kind: 'changed', ...of(0, 3), v: 2, edit: [[1, 1, 'b']] },
      reason('inlineSuggestion.accept', 3),
      { kind: 'changed', ...of(0, 5), v: 3, edit: [[2, 2, 'cd']] },
      reason('snippet', 4),
      { kind: 'changed', ...of(0, 6), v: 4, edit: [[4, 4, 'e']] },
      { kind: 'changed', ...of(0, 7), v: 5, edit: [[5, 5, 'f']], metadata: { source: 'inlineCompletionPartialAccept' } },
    );
    expect(accepts.map(({ offset, text }) => [offset, text])).toEqual([[2, 'cd'], [5, 'f']]);
  });

  it('that does not fit is refused with the entry', () => {
    expect(() => read(...known('a\n'), { kind: 'changed', ...of(0, 2), v: 2, edit: [[0, 9, '']] })).toThrow(/entry 3: an edit lies outside of src\/a.ts/);
    expect(() => read({ kind: 'changed', ...of(3, 2), v: 2, edit: [] })).toThrow(/document 3 was never encountered/);
    expect(() => read({ kind: 'changed', ...of(0, 1) })).toThrow(/entry 1 \(changed\) lacks a part/);
    expect(read({ kind: 'a kind of tomorrow' }).changes).toEqual([]);
    expect(() => readRecording([], 'r.json')).toThrow(/no log/);
  });
});

describe('a folder of recordings', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'hindsight-recordings-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is a stream: a commit for every stretch of editing, which ends where the recording ends', () => {
    const typed = (from: number, at: number, text: string): object[] => [...text].map((character, n) => ({ kind: 'changed', ...of(0, from + n * 200), v: 0, edit: [[at + n, at + n, character]] }));
    writeFileSync(join(folder, 'one.json'), JSON.stringify({ log: [...known('const a = 1;\n'), ...typed(1000, 13, 'const b = 2;\n'), ...typed(500_000, 0, '// first\n')] }));
    writeFileSync(join(folder, 'two.json'), JSON.stringify({ log: [...known('x = 1\n', 'b.py'), ...typed(1000, 6, 'y = 2\n')] }));
    const { stream, facts } = streamOfRecordings(folder);
    expect(stream.commits.map(({ commit, files }) => [commit, files[0]?.path, files[0]?.hunks])).toEqual([
      ['one.json#1', 'src/a.ts', [{ line: 1, removed: 0, added: ['const b = 2;\n'] }]],
      ['one.json#2', 'src/a.ts', [{ line: 0, removed: 0, added: ['// first\n'] }]],
      ['two.json#1', 'b.py', [{ line: 1, removed: 0, added: ['y = 2\n'] }]],
    ]);
    expect(facts[0]?.documents[0]?.bytes).toBe(Buffer.byteLength('// first\nconst a = 1;\nconst b = 2;\n'));
    expect(decodeStream(encodeStream(stream), 's').commits).toEqual(stream.commits);
  });
});

describe('hunks between two texts', () => {
  it('lead from the one to the other, and leave alone what both have', () => {
    const text = fc.array(fc.constantFrom('a\n', 'b\n', 'c\r\n', '\n'), { maxLength: 12 }).map((lines) => lines.join(''));
    fc.assert(fc.property(text, text, fc.constantFrom('', 'end'), (before, after, end) => {
      const hunks = hunksBetween(before, after + end);
      expect(applyHunks(before, hunks)).toBe(after + end);
      if (before === after + end) expect(hunks).toEqual([]);
    }), { numRuns: 500 });
    expect(hunksBetween('a\nb\nc\nd\n', 'a\nx\nc\nd\ny\n')).toEqual([{ line: 1, removed: 1, added: ['x\n'] }, { line: 4, removed: 0, added: ['y\n'] }]);
  });
});
