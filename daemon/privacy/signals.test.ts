import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Signal, TextChange } from '../../protocol/signals.ts';
import { plantedSecrets } from '../../protocol/planted.fixture.ts';
import { SignalScrubber } from './signals.ts';

const URI = 'file:///p/a.ts';
const changed = (version: number, ...changes: TextChange[]): Signal => ({ kind: 'document.changed', at: 1000 * version, uri: URI, version, changes });
const apply = (text: string, { offset, length, text: inserted }: TextChange): string => text.slice(0, offset) + inserted + text.slice(offset + length);

/** Sends changes in batches of the given size. @returns what is stored in the end, by signal */
async function store(before: string, changes: readonly TextChange[], batch: number): Promise<(Signal | null)[]> {
  let text = before;
  const scrubber = new SignalScrubber(() => text);
  const stored: (Signal | null)[] = [];
  for (let first = 0; first < changes.length; first += batch) {
    const some = changes.slice(first, first + batch);
    for (const change of some) text = apply(text, change);
    const { signals, retractions } = await scrubber.scrub(first, some.map((change, index) => changed(first + index + 1, change)));
    stored.push(...signals);
    for (const { from, to } of retractions) stored.fill(null, from, to);
  }
  return stored;
}

/** All that was inserted, one after another: what a reader of the journal could put together. */
const readable = (stored: readonly (Signal | null)[]): string => stored.flatMap((signal) => (signal?.kind === 'document.changed' ? signal.changes.map((change) => change.text) : [])).join('');
const typed = (offset: number, text: string): TextChange[] => [...text].map((char, index) => ({ offset: offset + index, length: 0, text: char }));

describe('signals as they are stored', () => {
  for (const batch of [1, 7, 1000]) {
    it(`hold no secret that was pasted or typed, sent ${batch} at a time`, async () => {
      for (const { text, secret } of plantedSecrets(3)) {
        const before = 'const a = 1;\n';
        expect(readable(await store(before, [{ offset: before.length, length: 0, text }], batch))).not.toContain(secret);
        const there = readable(await store(before, typed(before.length, `${text}\n`), batch));
        for (const line of secret.split('\n')) expect(there).not.toContain(line);
      }
    });
  }

  it('hold no secret typed between quotes that the editor closed', async () => {
    const before = `const options = { password: '' };\n`;
    const stored = await store(before, typed(before.indexOf("''") + 1, 'correct-horse-9'), 1);
    expect(readable(stored)).not.toContain('correct');
  });

  it('hold no secret pasted as the value of a name that says so', async () => {
    const before = `password = ""\n`;
    expect(readable(await store(before, [{ offset: before.indexOf('""') + 1, length: 0, text: 'hunter2hunter2' }], 1))).not.toContain('hunter2');
  });

  it('are as they were where there is no secret, whatever was changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ at: fc.nat(), cut: fc.nat(3), text: fc.constantFrom('x', 'foo(', '\n', ') ', '', 'const ') }), { maxLength: 30 }), fc.integer({ min: 1, max: 5 }), async (edits, batch) => {
        let text = 'let a = 1;\n';
        const changes: TextChange[] = [];
        for (const { at, cut, text: inserted } of edits) {
          const offset = at % (text.length + 1);
          const change = { offset, length: Math.min(cut, text.length - offset), text: inserted };
          text = apply(text, change);
          changes.push(change);
        }
        const stored = await store('let a = 1;\n', changes, batch);
        expect(stored).toEqual(changes.map((change, index) => changed(index + 1, change)));
      }),
      { numRuns: 100 },
    );
  });
});
