// The editor's document events, as signals. A change event does no more here than to be put in a queue.
import * as vscode from 'vscode';
import type { Signal, SignalOf } from '../../protocol/signals.ts';
import type { Recorder } from './recorder.ts';
import { changeSignals } from './textChanges.ts';

/** Subscribes to the editor's events for as long as the window lives; the recorder decides what is held. */
export function recordDocuments(folder: vscode.WorkspaceFolder, recorder: Recorder): vscode.Disposable {
  const record = (document: vscode.TextDocument, signal: () => Signal): void => {
    if (recorder.isRecording && isRecorded(folder, document)) recorder.record(signal());
  };
  let last: SignalOf<'document.changed'> | undefined;
  return vscode.Disposable.from(
    vscode.workspace.onDidOpenTextDocument((document) => record(document, () => openedSignal(document))),
    vscode.workspace.onDidCloseTextDocument((document) => record(document, () => ({ kind: 'document.closed', at: Date.now(), uri: document.uri.toString() }))),
    vscode.workspace.onDidSaveTextDocument((document) =>
      record(document, () => ({ kind: 'document.saved', at: Date.now(), uri: document.uri.toString(), version: document.version })),
    ),
    vscode.workspace.onDidChangeTextDocument((event) => {
      last = recordChange(folder, recorder, event);
    }),
    // It comes right after its change, which still waits to be sent.
    vscode.window.onDidChangeTextEditorSelection(({ kind, textEditor: { document } }) => {
      if (last !== undefined && kind === undefined && last.version === document.version && last.uri === document.uri.toString() && isWithinLine(last)) last.commanded = true;
      last = undefined;
    }),
  );
}

/** Architecture invariant: under 2 ms at p95 whatever the daemon is doing (extension/test/suite/cost.test.ts). */
export function recordChange(folder: vscode.WorkspaceFolder, recorder: Recorder, event: vscode.TextDocumentChangeEvent): SignalOf<'document.changed'> | undefined {
  const { document } = event;
  if (!recorder.isRecording || !isRecorded(folder, document)) return undefined;
  const described = { uri: document.uri.toString(), languageId: document.languageId, version: document.version };
  const signals = changeSignals(Date.now(), described, event.contentChanges, reasonOf(event.reason));
  for (const signal of signals) recorder.record(signal);
  return signals.find((signal) => signal.kind === 'document.changed');
}

/** One insertion within a line. The editor moves the cursor to a new line by itself, whoever wrote the line's end. */
function isWithinLine({ changes, reason }: SignalOf<'document.changed'>): boolean {
  const [change] = changes;
  return changes.length === 1 && change?.length === 0 && reason === undefined && !/[\r\n]/.test(change.text);
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
