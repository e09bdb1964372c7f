/** Running commands and tests. Both ask the user first, unless the user allowed the command before. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { Observation } from '../../journal/records.ts';
import { changesOf, countsOf, describeReport, failuresOf } from '../tests/report.ts';
import { runTests } from '../tests/run.ts';
import type { TestRun } from '../tests/run.ts';
import { detectRunner } from '../tests/runners.ts';
import { simpleWords } from '../terminal/allow.ts';
import type { TerminalOutcome } from '../terminal/run.ts';
import { TERMINAL_LIMITS } from '../terminal/run.ts';
import { isTestFile } from '../tests/testFile.ts';
import { workspaceFiles } from './files.ts';
import { insideWorkspace } from './paths.ts';
import { failed, tool } from './tool.ts';
import type { ToolContext, ToolResult } from './tool.ts';

const MAX_SECONDS = 600;
const TEST_SECONDS = 600;
/** Of a report on the terminal, what the journal keeps. */
const KEPT_OUTPUT = 8000;

export const runCommandTool = tool({
  name: 'run_command',
  description: 'Runs a shell command in the workspace and returns its exit code and output. It must end by itself; what it leaves running is ended with it.',
  parameters: z.object({ command: z.string().min(1), seconds: z.int().min(1).max(MAX_SECONDS).optional() }),
  title: ({ command }) => command,
  async run({ command, seconds = TERMINAL_LIMITS.deadlineMs / 1000 }, context) {
    if (!(await permitted(command, command, context))) return refused('run_command', command);
    const outcome = await context.terminal({ command, cwd: context.folder, deadlineMs: seconds * 1000 });
    const summary = outcome.ended === 'itself' ? `exit code ${outcome.exitCode}` : outcome.ended === 'deadline' ? `ended after ${seconds} s` : 'stopped';
    return { text: describeOutcome(outcome, seconds), summary, failed: outcome.ended !== 'itself', observations: [terminalObservation(command, outcome)] };
  },
});

export const runTestsTool = tool({
  name: 'run_tests',
  description: 'Runs the tests of the workspace, or of some files, and returns which pass and which fail.',
  parameters: z.object({ files: z.array(z.string()).optional() }),
  title: ({ files = [] }) => (files.length === 0 ? 'Run the tests' : `Run the tests in ${files.join(', ')}`),
  async run({ files = [] }, context) {
    for (const file of files) await insideWorkspace(context.folder, file);
    if (detectRunner(context.folder) === null) return failed('Nothing in the workspace says how it is tested. Use run_command.');
    let asked = '';
    const run = await runTests(context.folder, files, async (command, cap) => {
      asked = command;
      if (!(await permitted(command, stemOf(command), context))) return null;
      return context.terminal({ command, cwd: context.folder, deadlineMs: TEST_SECONDS * 1000, cap });
    });
    return run === null ? refused('run_tests', asked) : testResult(run, await changedTests(context), context);
  },
});

/** Files of tests that changed since the task's first run, however that was done. */
async function changedTests({ folder, task }: ToolContext): Promise<string[]> {
  const files = (await workspaceFiles(folder)).filter(isTestFile);
  const now = new Map(await Promise.all(files.map(async (file): Promise<[string, string]> => [file, await stampOf(path.join(folder, file))])));
  const before = (task.testFiles ??= now);
  const changed = [...new Set([...before.keys(), ...now.keys()])].filter((file) => before.get(file) !== now.get(file));
  return [...new Set([...[...task.editedFiles].filter(isTestFile), ...changed])];
}

/** By its text: what a run writes anew is not changed by that. */
async function stampOf(file: string): Promise<string> {
  return readFile(file).then((bytes) => createHash('sha256').update(bytes).digest('hex'), () => 'gone');
}

function testResult(run: TestRun, testsEdited: string[], context: ToolContext): ToolResult {
  const { command, report } = run;
  const outcome = { ...run.outcome, output: run.outcome.output.slice(-KEPT_OUTPUT) };
  const terminal = terminalObservation(command, outcome);
  if (report === null) return { text: `The runner wrote no report.\n${describeOutcome(outcome, TEST_SECONDS)}`, failed: true, observations: [terminal] };
  const { passed, failed: failing, errors } = countsOf(report);
  const changes = context.task.lastTests === null ? { fixed: [], broken: [] } : changesOf(context.task.lastTests, report);
  context.task.lastTests = report;
  const tests: Observation = { kind: 'tests', command, passed, failed: failing, errors, ...changes, testsEdited, failures: failuresOf(report) };
  return { text: describeReport(report), summary: `${passed} passed, ${failing + errors} failed`, failed: false, observations: [terminal, tests] };
}

/** @param remember what "always" allows from now on */
async function permitted(command: string, remember: string, context: ToolContext): Promise<boolean> {
  if (context.isAllowed(command)) return true;
  return context.confirm({ tool: 'run_command', title: 'Run in the terminal', detail: command, remember });
}

/** A test command ends in the name of its report, which is another one every time; its first words do not. */
function stemOf(command: string): string {
  const words = simpleWords(command);
  const count = words?.[0] === 'npx' || words?.[0] === 'python3' ? 3 : 2;
  return words === null ? command : words.slice(0, count).join(' ');
}

function refused(tool: string, command: string): ToolResult {
  return {
    text: 'The user did not let this run. Ask what to do instead, or go on without it.',
    failed: true,
    observations: [{ kind: 'terminal', command: command === '' ? tool : command, exitCode: null, ended: 'refused', output: '', durationMs: 0 }],
  };
}

function terminalObservation(command: string, { exitCode, ended, output, durationMs }: TerminalOutcome): Observation {
  return { kind: 'terminal', command, exitCode, ended, output, durationMs };
}

function describeOutcome({ exitCode, ended, output }: TerminalOutcome, seconds: number): string {
  const how = ended === 'itself' ? `Exit code ${exitCode}.` : ended === 'deadline' ? `Ended after ${seconds} s: it did not end by itself.` : 'The user stopped it.';
  return output.trim() === '' ? `${how} No output.` : `${how}\n${output.trimEnd()}`;
}

