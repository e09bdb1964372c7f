// The editor's document events, as signals. A change event does no more here than to be put in a queue.
import * as vscode from 'vscode';
import type { Signal } from '../../protocol/signals.ts';
import type { Recorder } from './recorder.ts';
import { changeSignals } from './textChanges.ts';

/** Subscribes to the editor's events for as long as the window lives; the recorder decides what is held. */
export function recordDocuments(folder: vscode.WorkspaceFolder, recorder: Recorder): vscode.Disposable {
  const record = (document: vscode.TextDocument, signal: () => Signal): void => {
    if (recorder.isRecording && isRecorded(folder, document)) recorder.record(signal());
  };
  return vscode.Disposable.from(
    vscode.workspace.onDidOpenTextDocument((document) => record(document, () => openedSignal(document))),
    vscode.workspace.onDidCloseTextDocument((document) => record(document, () => ({ kind: 'document.closed', at: Date.now(), uri: document.uri.toString() }))),
    vscode.workspace.onDidSaveTextDocument((document) =>
      record(document, () => ({ kind: 'document.saved', at: Date.now(), uri: document.uri.toString(), version: document.version })),
    ),
    vscode.workspace.onDidChangeTextDocument((event) => recordChange(folder, recorder, event)),
  );
}

/** Architecture invariant: under 2 ms at p95 whatever the daemon is doing (extension/test/suite/cost.test.ts). */
export function recordChange(folder: vscode.WorkspaceFolder, recorder: Recorder, event: vscode.TextDocumentChangeEvent): void {
  const { document } = event;
  if (!recorder.isRecording || !isRecorded(folder, document)) return;
  const described = { uri: document.uri.toString(), languageId: document.languageId, version: document.version };
  for (const signal of changeSignals(Date.now(), described, event.contentChanges, reasonOf(event.reason))) recorder.record(signal);
}

/** What a session begins with: the documents that were open before it. */
export function openDocuments(folder: vscode.WorkspaceFolder): Signal[] {
  return vscode.workspace.textDocuments.filter((document) => isRecorded(folder, document)).map(openedSignal);
}

/** Files of the consented folder only; git's own files are not the developer's work. */
function isRecorded(folder: vscode.WorkspaceFolder, document: vscode.TextDocument): boolean {
  const { scheme, path } = document.uri;
  return scheme === 'file' && path.startsWith(`${folder.uri.path}/`) && !path.includes('/.git/');
}

function openedSignal(document: vscode.TextDocument): Signal {
  return { kind: 'document.opened', at: Date.now(), uri: document.uri.toString(), languageId: document.languageId, version: document.version };
}

function reasonOf(reason: vscode.TextDocumentChangeReason | undefined): 'undo' | 'redo' | undefined {
  if (reason === vscode.TextDocumentChangeReason.Undo) return 'undo';
  return reason === vscode.TextDocumentChangeReason.Redo ? 'redo' : undefined;
}
