import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Journal } from '../journal/journal.ts';
import type { NextState, Turn } from '../journal/records.ts';
import { streamOfJournal } from './journalStream.ts';
import { planCommit, textAfter } from './plan.ts';

let home: string;
let journal: Journal;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-journal-'));
  journal = Journal.open(join(home, 'journal.db'));
});
afterEach(() => {
  journal.close();
  rmSync(home, { recursive: true, force: true });
});

const WORKSPACE = 'file:///p';
let made = 0;

/** A turn at `before|after`, and what the developer wrote there. */
function worked(block: string, before: string, after: string, written: string | null, more: Partial<Turn> & { outcome?: NextState['outcome'] } = {}): void {
  const { outcome = 'diverged', ...turn } = more;
  const id = `t-${made++}`;
  journal.heardFrom('s', WORKSPACE, made);
  journal.insertTurn({
    id, session: 's', workspace: WORKSPACE, modality: 'completion', role: 'main', split: 'train', block, offeredAt: made, uri: `${WORKSPACE}/src/a.ts`, languageId: 'typescript', version: 1, offset: 0,
    promptIds: [1], promptMode: 'prefix', responseIds: [2], logprobs: [-1], rawText: 'x', offsets: [0, 1], shownText: 'x', finishReason: 'stop', sampling: { maxTokens: 32, temperature: 0 },
    adapter: null, fingerprint: 'f', before, after, ...turn,
  });
  journal.closeTurn({ turn: id, outcome, acceptedChars: 0, developerText: written, survival: [], decidedAt: made });
}

const textsOf = (stream: ReturnType<typeof streamOfJournal>): [string, string | null][][] => stream.commits.map((commit) => planCommit(commit, new Map(), 100).map((file) => [file.path, textAfter(file)]));

it('types every known place again, block by block, in the window that its turn saw', () => {
  worked('b1', 'f();\n  const a', ';\n}\n', ' = 1');
  // The same line, asked again after its next word; and a place further on.
  worked('b1', 'f();\n  const a = ', ';\n}\n', '1');
  worked('b1', 'g();\n', '\nend();\n', 'h();\nk();\n');
  worked('b2', 'z();\n  ', '', 'y();', { uri: `${WORKSPACE}/b%20b.py` });
  expect(textsOf(streamOfJournal(journal, home))).toEqual([
    [['src/a.ts', 'f();\n  const a = 1;\n}\n\n'], ['2/src/a.ts', 'g();\nh();\nk();\nend();\n\n']],
    [['b b.py', 'z();\n  y();\n']],
  ]);
});

it('leaves out what nobody knows the answer to, side turns, and other workspaces', () => {
  worked('b1', 'a\n', '', 'one();');
  worked('b2', 'b\n', '', 'two();');
  worked('b3', 'c\n', '', null);
  worked('b4', 'd\n', '', 'gone();', { outcome: 'abandoned' });
  worked('b5', 'e\n', '', 'side();', { role: 'side' });
  worked('b6', 'f\n', '', 'other();', { workspace: 'file:///q', uri: 'file:///q/a.ts' });
  worked('b7', 'g\n', '', 'chat', { modality: 'chat' });
  worked('b8', 'h\n', '', 'prose', { uri: `${WORKSPACE}/README.md` });
  expect(streamOfJournal(journal, home).commits.map(({ commit }) => commit)).toEqual(['b1', 'b2']);
  expect(() => streamOfJournal(journal, home, 'file:///q')).toThrow(/fewer than two stretches/);
});
