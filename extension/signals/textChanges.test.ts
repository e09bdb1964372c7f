import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeSignals, LARGEST_CHANGE, textChanges, type EditorChange } from './textChanges.ts';

const DOCUMENT = { uri: 'file:///p/a.ts', languageId: 'typescript', version: 3 };

/** All offsets count in the text before the event: build the new text from the pieces between. */
function applyAtOnce(text: string, changes: readonly EditorChange[]): string {
  const ordered = [...changes].sort((a, b) => a.rangeOffset - b.rangeOffset);
  let from = 0;
  let out = '';
  for (const change of ordered) {
    out += text.slice(from, change.rangeOffset) + change.text;
    from = change.rangeOffset + change.rangeLength;
  }
  return out + text.slice(from);
}

/** Ranges that do not overlap, in any order, as an editor with several cursors reports them. */
const eventOn = fc.string({ minLength: 1, maxLength: 40 }).chain((text) =>
  fc.tuple(
    fc.constant(text),
    fc.uniqueArray(fc.integer({ min: 0, max: text.length }), { minLength: 2, maxLength: 8 }).chain((cuts) => {
      const sorted = [...cuts].sort((a, b) => a - b);
      const ranges = sorted.slice(0, -1).map((start, index) => ({ start, end: sorted[index + 1] ?? start })).filter((_, index) => index % 2 === 0);
      return fc.tuple(...ranges.map((range) => fc.string({ maxLength: 6 }).map((inserted) => ({ rangeOffset: range.start, rangeLength: range.end - range.start, text: inserted }))))
        .chain((changes) => fc.shuffledSubarray(changes, { minLength: changes.length }));
    }),
  ),
);

describe('text changes', () => {
  it('applied one after another, they give what the editor has', () => {
    fc.assert(
      fc.property(eventOn, ([text, changes]) => {
        const oneByOne = (textChanges(changes) ?? []).reduce((now, each) => now.slice(0, each.offset) + each.text + now.slice(each.offset + each.length), text);
        expect(oneByOne).toBe(applyAtOnce(text, changes));
      }),
    );
  });

  it('an event without changes says nothing, and undo is told as undo', () => {
    expect(changeSignals(1, DOCUMENT, [], undefined)).toEqual([]);
    expect(changeSignals(1, DOCUMENT, [{ rangeOffset: 0, rangeLength: 1, text: '' }], 'undo')).toEqual([
      { kind: 'document.changed', at: 1, uri: DOCUMENT.uri, version: 3, changes: [{ offset: 0, length: 1, text: '' }], reason: 'undo' },
    ]);
  });

  it('a change too large for a message is told as closing and opening', () => {
    const kinds = changeSignals(1, DOCUMENT, [{ rangeOffset: 0, rangeLength: 0, text: 'x'.repeat(LARGEST_CHANGE + 1) }], undefined).map((each) => each.kind);
    expect(kinds).toEqual(['document.closed', 'document.opened']);
  });
});
