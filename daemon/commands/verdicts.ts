/** `hindsight verdicts FILE`: what the PRM makes of sessions of another tool, in numbers. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { importAider, isAider } from '../episodes/imports/aider.ts';
import type { Imported } from '../episodes/imports/imported.ts';
import { importRealHumanEval, isRealHumanEval } from '../episodes/imports/realHumanEval.ts';
import { PolarityClassifier } from '../reward/classifier/polarity.ts';
import { measureVerdicts } from '../reward/measure.ts';
import type { Measured } from '../reward/measure.ts';
import { print, say, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

const PROBLEMS_SHOWN = 10;

export function registerVerdicts(program: Command): void {
  withJson(program.command('verdicts <file>'))
    .description('import sessions of another tool (aider as JSON lines, RealHumanEval chats as CSV; .gz too) and count what the verdicts make of them')
    .action(async (file: string, flags: JsonOption) => {
      const imported = importSessions(file, readSessions(file));
      const classifier = new PolarityClassifier();
      try {
        const measured = await measureVerdicts(imported, classifier);
        print({ file, ...measured }, sentences(measured), flags);
      } finally {
        await classifier.close();
      }
      for (const problem of imported.problems.slice(0, PROBLEMS_SHOWN)) say(`Left out: ${problem}`);
      if (imported.problems.length > PROBLEMS_SHOWN) say(`Left out: ${imported.problems.length - PROBLEMS_SHOWN} more records; --json names all.`);
    });
}

/** @throws badRequest naming the formats */
export function importSessions(file: string, text: string): Imported {
  const firstLine = text.slice(0, Math.max(0, text.indexOf('\n')) || undefined);
  if (isAider(firstLine)) return importAider(text);
  if (isRealHumanEval(firstLine)) return importRealHumanEval(text);
  // The first record alone may be the bad one.
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.some(isAider)) return importAider(text);
  throw new HindsightError('badRequest', { problem: `${file} holds no sessions that can be imported`, remedy: 'Give aider sessions as JSON lines, or RealHumanEval chats as CSV with their header.' });
}

function readSessions(file: string): string {
  try {
    const bytes = readFileSync(file);
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (thrown) {
    throw new HindsightError('badRequest', { problem: `${file} cannot be read (${thrown instanceof Error ? thrown.message : String(thrown)})`, remedy: 'Name a file of sessions, plain or gzipped.' });
  }
}

function sentences(measured: Measured): string {
  const { format, sessions, turns, verdicts, taken, copied, classifier, problems } = measured;
  return [
    `${format}: ${sessions} sessions, ${turns.replies} replies, ${turns.withCommits} with commits, ${turns.withCommitsAndNextState} of these with a next state; after ${turns.ended} replies the session ended${problems.length === 0 ? '' : `; ${problems.length} records could not be read`}.`,
    '',
    table([['source', 'positive', 'negative', 'neutral'], ...Object.entries(verdicts).map(([source, { positive, negative, neutral }]) => [source, ...[positive, negative, neutral].map(String)])]),
    '',
    `Taken back at once: ${taken.undone}, of these judged negative: ${taken.negative}, with a usable correction: ${taken.corrected}. Taken back later, as corrections of a verdict: ${taken.late}.`,
    `Replies that were copied from: ${copied.replies}, of these judged positive: ${copied.positive}; copies: ${copied.events}.`,
    `Next messages with words: ${classifier.read}; clear enough for a verdict: ${classifier.spoke}.`,
  ].join('\n');
}
