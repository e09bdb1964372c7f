/** What a tool of the agent is: a name, a schema that its arguments are checked against, and what it does. */
import type { z } from 'zod';
import type { BrowserSession } from '../browser/session.ts';
import type { Observation } from '../../journal/records.ts';
import type { TestReport } from '../../../protocol/tests.ts';
import type { TerminalOutcome } from '../terminal/run.ts';

export interface ToolResult {
  /** For the model to read. */
  text: string;
  failed: boolean;
  /** For the user, after the title: how it ended. */
  summary?: string;
  /** What is kept of it as the action's next state; `result` where none is given. */
  observations?: Observation[];
}

/** The world around a task's tools. Everything that a user must agree to goes through `confirm`. */
export interface ToolContext {
  /** Folder of the workspace. */
  folder: string;
  signal: AbortSignal;
  /** Id of the turn that called. */
  turn: string;
  /** Text of a file as the user sees it: unsaved changes first. null = there is none. */
  readText(path: string): Promise<string | null>;
  /** Puts an edit into the editor, under review. @returns what went wrong; null = nothing */
  applyEdit(edit: { turn: string; path: string; before: string | null; after: string }): Promise<string | null>;
  /** @param remember what "always" would allow; null = only this once */
  confirm(question: { tool: string; title: string; detail: string; remember: string | null }): Promise<boolean>;
  isAllowed(command: string): boolean;
  /** A command in the agent's terminal, mirrored for the user. Asks nobody. */
  terminal(order: { command: string; cwd: string; deadlineMs: number; cap?: { head: number; tail: number } }): Promise<TerminalOutcome>;
  /** A tool that only the editor has. */
  invokeEditor(tool: string, input: Record<string, unknown>): Promise<ToolResult>;
  /** One browser for the task. */
  browser: Pick<BrowserSession, 'allows' | 'allow' | 'open' | 'click' | 'type' | 'nameOf' | 'read'>;
  /** Of the task so far. */
  task: TaskSoFar;
}

export interface TaskSoFar {
  lastTests: TestReport | null;
  /** Relative to the folder. */
  editedFiles: Set<string>;
  /** Files of tests by their path, as they were at the task's first run of them; null = none yet. A command
   *  changes files, too. */
  testFiles: ReadonlyMap<string, string> | null;
}

export interface Tool<S extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly description: string;
  readonly parameters: S;
  /** What the user reads while it runs. */
  title(args: z.output<S>): string;
  run(args: z.output<S>, context: ToolContext): Promise<ToolResult>;
}

/** Keeps the type of the arguments between schema and `run`. */
export function tool<S extends z.ZodType>(definition: Tool<S>): Tool {
  return definition as unknown as Tool;
}

export const failed = (text: string): ToolResult => ({ text, failed: true });
export const done = (text: string): ToolResult => ({ text, failed: false });
