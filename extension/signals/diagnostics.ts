// What checkers say of the open documents, once they have settled: a slow linter's second word replaces its first.
import * as vscode from 'vscode';
import type { Problem } from '../../protocol/signals.ts';
import { isInside, type OwnWorkPlace } from './ownWork.ts';

/** Nothing more was said of a document for so long. */
const SETTLED_MS = 1000;
const MOST_PROBLEMS = 100;
const LONGEST_MESSAGE = 500;

export function recordDiagnostics(place: OwnWorkPlace): vscode.Disposable {
  const settling = new Map<string, NodeJS.Timeout>();
  /** What was last told of each document. */
  const told = new Map<string, string>();
  const forget = (key: string): void => {
    clearTimeout(settling.get(key));
    settling.delete(key);
    told.delete(key);
  };
  const tell = (uri: vscode.Uri): void => {
    const key = uri.toString();
    settling.delete(key);
    const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === key && !each.isClosed);
    if (document === undefined || !place.granted('diagnostics')) return;
    const problems = problemsOf(document, place);
    const words = JSON.stringify(problems.map(({ severity, message, source, turn }) => [severity, message, source, turn]));
    if (told.get(key) === words) return;
    told.set(key, words);
    place.record({ kind: 'diagnostics.settled', at: Date.now(), uri: key, version: document.version, problems });
  };
  const soon = (uri: vscode.Uri): void => {
    if (!place.granted('diagnostics') || !isInside(place.folder, uri)) return;
    const key = uri.toString();
    clearTimeout(settling.get(key));
    settling.set(key, setTimeout(() => tell(uri), SETTLED_MS));
  };
  return vscode.Disposable.from(
    vscode.languages.onDidChangeDiagnostics(({ uris }) => uris.forEach(soon)),
    // What was there before anything of ours: a document without a problem is told of, too.
    vscode.workspace.onDidOpenTextDocument(({ uri }) => soon(uri)),
    vscode.workspace.onDidCloseTextDocument(({ uri }) => forget(uri.toString())),
    new vscode.Disposable(() => settling.forEach((timer) => clearTimeout(timer))),
  );
}

function problemsOf(document: vscode.TextDocument, place: OwnWorkPlace): Problem[] {
  const said = vscode.languages.getDiagnostics(document.uri).filter(({ severity }) => severity <= vscode.DiagnosticSeverity.Warning);
  return said.slice(0, MOST_PROBLEMS).map(({ severity, message, source, range }) => {
    const offset = document.offsetAt(range.start);
    return {
      severity: severity === vscode.DiagnosticSeverity.Error ? 'error' : 'warning',
      message: message.slice(0, LONGEST_MESSAGE),
      source: source ?? null,
      offset,
      length: document.offsetAt(range.end) - offset,
      turn: place.turnAt(document.uri, range.start.line),
    };
  });
}
