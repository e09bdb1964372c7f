// `Hindsight: Run Tests`: the folder's tests in a terminal that is seen, the runner's own report in the editor's Testing view,
// and the run as a signal. The view gets an entry of ours only when somebody has asked for a run.
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import * as vscode from 'vscode';
import type { Signal } from '../../protocol/signals.ts';
import { testsRun, type TestCase, type TestReport } from '../../protocol/tests.ts';
import type { OpenRequests } from '../chat/requests.ts';
import type { MirrorTerminal } from '../chat/terminals.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import { briefly } from './reports.ts';

/** The daemon ends a run sooner. */
const DEADLINE_SECONDS = 3600;
const ALL = 'all';

export interface TestRunsPlace {
  readonly folder: vscode.WorkspaceFolder;
  readonly connection: DaemonConnection;
  readonly requests: OpenRequests;
  readonly terminal: MirrorTerminal;
  readonly record: (signal: Signal) => void;
}

export class TestRuns implements vscode.Disposable {
  #controller: vscode.TestController | undefined;

  constructor(private readonly place: TestRunsPlace) {}

  /** All tests of the folder. */
  async run(): Promise<void> {
    const controller = this.#open();
    await this.#runRequest(controller, new vscode.TestRunRequest());
  }

  dispose(): void {
    this.#controller?.dispose();
  }

  #open(): vscode.TestController {
    if (this.#controller !== undefined) return this.#controller;
    const controller = vscode.tests.createTestController('hindsight.tests', 'Hindsight');
    controller.items.add(controller.createTestItem(ALL, vscode.l10n.t('All tests of {0}', this.place.folder.name), this.place.folder.uri));
    controller.createRunProfile(vscode.l10n.t('Run'), vscode.TestRunProfileKind.Run, (request, token) => this.#runRequest(controller, request, token), true);
    this.#controller = controller;
    return controller;
  }

  async #runRequest(controller: vscode.TestController, request: vscode.TestRunRequest, token?: vscode.CancellationToken): Promise<void> {
    const files = filesOf(request, this.place.folder);
    const run = controller.createTestRun(request);
    const stream = randomUUID();
    const close = this.place.requests.open(stream, { terminal: (data) => this.place.terminal.show(data) });
    try {
      const { command, report, durationMs, problem } = await this.place.connection.request(testsRun, { stream, files }, { deadline: DEADLINE_SECONDS, ...(token === undefined ? {} : { signal: abortOn(token) }) });
      if (report === null) {
        void vscode.window.showErrorMessage(problem ?? vscode.l10n.t('The tests wrote no report.'));
        return;
      }
      this.#show(controller, run, report);
      this.place.record({ kind: 'tests.ran', at: Date.now(), durationMs, source: command ?? '', report: briefly(report) });
    } finally {
      close();
      run.end();
    }
  }

  #show(controller: vscode.TestController, run: vscode.TestRun, { cases, errors }: TestReport): void {
    const root = controller.items.get(ALL);
    if (root === undefined) return;
    for (const each of cases) {
      const item = this.#itemOf(controller, root, each);
      if (each.state === 'passed') run.passed(item);
      else if (each.state === 'skipped') run.skipped(item);
      else run.failed(item, new vscode.TestMessage(each.message ?? vscode.l10n.t('It failed.')));
    }
    if (errors.length > 0) run.errored(root, errors.map((error) => new vscode.TestMessage(error)));
    const failed = cases.filter(({ state }) => state === 'failed').length + errors.length;
    const passed = cases.filter(({ state }) => state === 'passed').length;
    vscode.window.setStatusBarMessage(failed === 0 ? vscode.l10n.t('$(pass) Tests: {0} passed', passed) : vscode.l10n.t('$(error) Tests: {0} passed, {1} failed', passed, failed), 10_000);
  }

  #itemOf(controller: vscode.TestController, root: vscode.TestItem, { name, file }: TestCase): vscode.TestItem {
    const child = (parent: vscode.TestItem, id: string, label: string, uri?: vscode.Uri): vscode.TestItem => {
      const known = parent.children.get(id);
      if (known !== undefined) return known;
      const made = controller.createTestItem(id, label, uri);
      parent.children.add(made);
      return made;
    };
    if (file === null) return child(root, name, name);
    const uri = vscode.Uri.file(path.resolve(this.place.folder.uri.fsPath, file));
    return child(child(root, uri.toString(), vscode.workspace.asRelativePath(uri, false), uri), `${uri.toString()} ${name}`, name, uri);
  }
}

/** What was chosen in the view, as files; none = all. */
function filesOf({ include }: vscode.TestRunRequest, folder: vscode.WorkspaceFolder): string[] {
  if (include === undefined || include.some(({ id }) => id === ALL)) return [];
  return [...new Set(include.flatMap(({ uri }) => (uri === undefined ? [] : [path.relative(folder.uri.fsPath, uri.fsPath)])))];
}

function abortOn(token: vscode.CancellationToken): AbortSignal {
  const controller = new AbortController();
  token.onCancellationRequested(() => controller.abort());
  return controller.signal;
}
