/** Runs a folder's tests in the agent's terminal and reads what the runner reports. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TerminalOutcome } from '../terminal/run.ts';
import type { TestReport } from '../../../protocol/tests.ts';
import { detectRunner, quoted, recogniseReport, runnerOf } from './runners.ts';
import type { RunnerName } from './runners.ts';

export interface TestRun {
  command: string;
  outcome: TerminalOutcome;
  /** null = the runner wrote none; its output says why. */
  report: TestReport | null;
}

/** How a command gets run, confirmation included; null = the user did not want it. */
export type RunCommand = (command: string, cap: { head: number; tail: number }) => Promise<TerminalOutcome | null>;

/** A report on the terminal itself is read whole. */
const REPORT_CAP = { head: 0, tail: 8 * 1024 * 1024 };

/** @param files within the folder; empty = all tests
 *  @returns null where the folder's tests cannot be told, or were not allowed to run */
export async function runTests(folder: string, files: readonly string[], run: RunCommand, runner: RunnerName | null = detectRunner(folder)): Promise<TestRun | null> {
  if (runner === null) return null;
  const { command, writes, parse } = runnerOf(runner);
  const scratch = await mkdtemp(path.join(tmpdir(), 'hindsight-tests-'));
  try {
    const reportFile = path.join(scratch, 'report');
    const line = command(files.map(quoted).join(' '), quoted(reportFile));
    const outcome = await run(line, REPORT_CAP);
    if (outcome === null) return null;
    const text = writes === 'output' ? outcome.output : await readFile(reportFile, 'utf8').catch(() => '');
    return { command: line, outcome, report: reportOf(text, parse) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Whichever runner wrote it; null = it is no report. */
export function reportIn(text: string): TestReport | null {
  return reportOf(text, recogniseReport);
}

function reportOf(text: string, parse: (text: string) => TestReport): TestReport | null {
  try {
    return parse(text);
  } catch {
    return null;
  }
}
