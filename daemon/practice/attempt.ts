/** One attempt at a task: the agent's own loop in a worktree of its own, and the tests as its judge. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import type { TestReport } from '../../protocol/tests.ts';
import { BrowserSession } from '../agent/browser/session.ts';
import type { ChatMessage, ChatModel } from '../agent/chat/model.ts';
import { systemPrompt } from '../agent/chat/prompts.ts';
import { runTask } from '../agent/chat/task.ts';
import type { Step } from '../agent/chat/task.ts';
import { countsOf, describeReport, isGreen } from '../agent/tests/report.ts';
import { OWN_TOOLS, Toolbox } from '../agent/tools/toolbox.ts';
import { failed } from '../agent/tools/tool.ts';
import type { ToolContext } from '../agent/tools/tool.ts';
import { injectIntoChat } from '../hindsight/inject.ts';
import type { Observation } from '../journal/records.ts';
import { Bench } from './bench.ts';

/** There is no editor, no user, and neither git nor a page to look an answer up in. */
const TOOLS = OWN_TOOLS.filter(({ name }) => ['read_file', 'list_files', 'search', 'edit_file', 'run_command', 'run_tests'].includes(name));

/** What is tried, and where. */
export interface Trial {
  request: string;
  /** Folder of the workspace. */
  workspace: string;
  /** Whether no model gets to read a file of the workspace. */
  ignores: (file: string) => boolean;
}

export interface Attempt {
  steps: { step: Step; observations: Observation[] }[];
  report: TestReport | null;
  /** Every test that failed before passes, and nobody touched the tests. */
  solved: boolean;
  /** In words, for the reflection and for people. */
  outcome: string;
}

/** @param before      the tests' report before anything was done
 *  @param reflection  what was learned from an attempt that failed; null = none yet */
export async function attempt(trial: Trial, before: TestReport, reflection: string | null, model: ChatModel, signal: AbortSignal): Promise<Attempt> {
  const bench = await Bench.open(trial.workspace);
  try {
    const harness = await bench.harness();
    const steps = await work(trial, reflection, bench, model, signal);
    const report = await bench.test(signal);
    const after = await bench.harness();
    const touched = [...harness].filter(([file, text]) => after.get(file) !== text).map(([file]) => file);
    return { steps, report, ...judged(before, report, touched) };
  } finally {
    await bench.close();
  }
}

async function work(trial: Trial, reflection: string | null, bench: Bench, model: ChatModel, signal: AbortSignal): Promise<Attempt['steps']> {
  const { request } = trial;
  const messages: ChatMessage[] = [{ role: 'system', content: systemPrompt('fix') }, ...injectIntoChat([{ role: 'user', content: request }], reflection ?? '').map(({ content }): ChatMessage => ({ role: 'user', content }))];
  const steps: Attempt['steps'] = [];
  const browser = new BrowserSession();
  await runTask({ request, messages }, {
    model,
    toolbox: new Toolbox([], TOOLS),
    context: contextOf(trial, bench, browser, signal),
    onText: () => undefined,
    onTool: () => undefined,
    record: (step) => {
      steps.push({ step, observations: [] });
      return Promise.resolve();
    },
    observed: (step, observations) => {
      steps.find((one) => one.step === step)?.observations.push(...observations);
      return Promise.resolve();
    },
  }).finally(() => browser.close());
  return steps;
}

function contextOf({ workspace, ignores }: Trial, bench: Bench, browser: BrowserSession, signal: AbortSignal): Omit<ToolContext, 'turn'> {
  return {
    folder: bench.folder,
    signal,
    browser,
    readText(file) {
      const named = path.relative(bench.folder, file);
      if (ignores(path.join(workspace, named))) throw new HindsightError('badRequest', { problem: `${named} is one of the files that are not read or recorded here`, remedy: 'Go on without it.' });
      return readFile(file, 'utf8').catch(() => null);
    },
    async applyEdit({ path: file, after }) {
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, after);
      return null;
    },
    // What runs here reaches nothing of the user's.
    confirm: () => Promise.resolve(true),
    isAllowed: () => true,
    terminal: ({ command, deadlineMs, cap }) => bench.run({ command, deadlineMs, signal, ...(cap && { cap }) }),
    invokeEditor: () => Promise.resolve(failed('There is no editor here.')),
    task: { lastTests: null, editedFiles: new Set(), testFiles: null },
  };
}

function judged(before: TestReport, report: TestReport | null, touched: readonly string[]): { solved: boolean; outcome: string } {
  if (touched.length > 0) return { solved: false, outcome: `It changed how the tests judge: ${touched.slice(0, 3).join(', ')}.` };
  if (report === null) return { solved: false, outcome: 'The tests gave no report.' };
  const passed = new Set(report.cases.filter(({ state }) => state === 'passed').map(({ name }) => name));
  const gone = before.cases.filter(({ name, state }) => state !== 'skipped' && !passed.has(name));
  if (isGreen(report) && gone.length === 0) return { solved: true, outcome: `All ${countsOf(report).passed} tests pass.` };
  return { solved: false, outcome: isGreen(report) ? `Tests are not run any more: ${gone.slice(0, 3).map(({ name }) => name).join(', ')}.` : describeReport(report) };
}
