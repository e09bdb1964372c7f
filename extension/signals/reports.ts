// Reports that other runs of tests leave in the folder: another extension's, a task's, a terminal's. No stable event tells of
// such a run; its report file does.
import * as vscode from 'vscode';
import type { TestReport } from '../../protocol/tests.ts';
import type { OwnWorkPlace } from './ownWork.ts';

/** The names that runners and their reporters use by default, and by custom. */
const REPORTS = '**/{junit*,*-junit,*.junit,TEST-*,test-results*,test-report*,tests-report*,vitest-report*,vitest-results*,jest-report*,jest-results*,mocha-report*,mocha-results*,pytest-report*,go-test*}.{xml,json,tap}';
const WRITTEN_MS = 500;
/** A run with more tests is told by its failures and its first tests. */
const MOST_CASES = 2000;
const LONGEST_MESSAGE = 2000;

export function recordReports(place: OwnWorkPlace): vscode.Disposable {
  const writing = new Map<string, NodeJS.Timeout>();
  const read = async (uri: vscode.Uri): Promise<void> => {
    const report = await place.readReport(uri);
    if (report === null || !place.granted('tests')) return;
    place.record({ kind: 'tests.ran', at: Date.now(), durationMs: 0, source: vscode.workspace.asRelativePath(uri, false), report: briefly(report) });
  };
  const soon = (uri: vscode.Uri): void => {
    if (!place.granted('tests') || uri.path.includes('/node_modules/')) return;
    const key = uri.toString();
    clearTimeout(writing.get(key));
    writing.set(key, setTimeout(() => {
      writing.delete(key);
      void read(uri).catch((error: unknown) => place.log(`the report ${uri.fsPath} was not read: ${error instanceof Error ? error.message : String(error)}`));
    }, WRITTEN_MS));
  };
  const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(place.folder, REPORTS), false, false, true);
  return vscode.Disposable.from(watcher, watcher.onDidCreate(soon), watcher.onDidChange(soon), new vscode.Disposable(() => writing.forEach((timer) => clearTimeout(timer))));
}

/** No more of a report than a signal may carry; what failed comes first. */
export function briefly({ cases, errors }: TestReport): TestReport {
  const failed = cases.filter(({ state }) => state === 'failed');
  const others = cases.filter(({ state }) => state !== 'failed');
  const short = (text: string): string => text.slice(0, LONGEST_MESSAGE);
  return {
    cases: [...failed, ...others].slice(0, MOST_CASES).map((one) => ({ ...one, message: one.message === null ? null : short(one.message) })),
    errors: errors.slice(0, MOST_CASES).map(short),
  };
}
