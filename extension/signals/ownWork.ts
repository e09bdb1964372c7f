// The user's own work beside the text of files: what they run, and what checkers, git and notebooks say. Each part listens
// to the editor's stable events, keeps quiet without its class of consent, and never waits on anyone without a deadline.
import * as vscode from 'vscode';
import type { SignalClass } from '../../protocol/consent.ts';
import type { Signal } from '../../protocol/signals.ts';
import type { TestReport } from '../../protocol/tests.ts';
import { recordDebugging } from './debugging.ts';
import { recordDiagnostics } from './diagnostics.ts';
import { recordNotebooks } from './notebooks.ts';
import { recordReports } from './reports.ts';
import { recordTasks, TaskProcesses } from './tasks.ts';
import { recordTerminals } from './terminals.ts';

export interface OwnWorkPlace {
  readonly folder: vscode.WorkspaceFolder;
  /** Whether the owner lets this class be recorded, now. */
  readonly granted: (of: SignalClass) => boolean;
  readonly record: (signal: Signal) => void;
  /** The agent's edit, under review, that wrote a line. */
  readonly turnAt: (uri: vscode.Uri, line: number) => string | null;
  /** null = the file is no report of tests. */
  readonly readReport: (uri: vscode.Uri) => Promise<TestReport | null>;
  readonly log: (line: string) => void;
}

export function recordOwnWork(place: OwnWorkPlace): vscode.Disposable {
  const tasks = new TaskProcesses();
  return vscode.Disposable.from(tasks, recordTerminals(place, tasks), recordTasks(place), recordDebugging(place), recordDiagnostics(place), recordNotebooks(place), recordReports(place));
}

export function isInside(folder: vscode.WorkspaceFolder, uri: vscode.Uri): boolean {
  return uri.scheme === 'file' && (uri.path === folder.uri.path || uri.path.startsWith(`${folder.uri.path}/`)) && !uri.path.includes('/.git/');
}
