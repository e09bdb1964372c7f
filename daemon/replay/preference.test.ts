import { expect, it } from 'vitest';
import { planCommit, textAfter } from './plan.ts';
import { preferenceStream } from './preference.ts';
import { shownAfter } from './probes.ts';
import type { ProbeRecord } from './probes.ts';
import { decodeStream, encodeStream } from './stream.ts';

it('the planted preference is in every commit, and nothing near a probe tells of it', () => {
  const { stream, probes } = preferenceStream(20, 1);
  // A stream as any other: it is written and read like one.
  expect(decodeStream(encodeStream(stream), 'preference').commits).toEqual(stream.commits);
  const touched = new Set<string>();
  for (const commit of stream.commits) {
    for (const file of planCommit(commit, new Map(), 100)) {
      touched.add(file.path);
      expect(textAfter(file)).toMatch(/ {2}log\.at\('\w+', '/);
      expect(textAfter(file)).not.toContain('console');
    }
  }
  expect(touched.size).toBe(20);
  for (const probe of probes) {
    expect(touched.has(probe.path)).toBe(false);
    expect(probe.text).not.toMatch(/log\.|console|log\(/);
    expect(probe.text.endsWith(probe.kind === 'word' ? '  log' : '  ')).toBe(true);
  }
  expect(preferenceStream(20, 1)).toEqual({ stream, probes });
});

it('a preference shows from when it stays, not from its first appearance', () => {
  const record = (interactions: number, wanted: number): ProbeRecord => ({ interactions, line: { wanted: 0, unwanted: 0, margin: 0 }, word: { wanted, unwanted: 0, margin: 0 } });
  const records = [record(10, 0), record(20, 0.6), record(30, 0.4), record(40, 0.5), record(50, 1)];
  expect(shownAfter(records, 'word')).toBe(40);
  expect(shownAfter(records, 'line')).toBeNull();
});
