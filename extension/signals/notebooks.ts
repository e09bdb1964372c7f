// Cells of notebooks: whether they ran, and the head of what went wrong.
import * as vscode from 'vscode';
import { isInside, type OwnWorkPlace } from './ownWork.ts';

const ERROR_MIME = 'application/vnd.code.notebook.error';
const LONGEST_ERROR = 2000;

export function recordNotebooks(place: OwnWorkPlace): vscode.Disposable {
  return vscode.workspace.onDidChangeNotebookDocument(({ notebook, cellChanges }) => {
    if (!place.granted('notebooks') || !isInside(place.folder, notebook.uri)) return;
    for (const { cell, executionSummary } of cellChanges) {
      // It is told when it starts, too: then without an end.
      if (executionSummary?.success === undefined) continue;
      const { success, timing } = executionSummary;
      place.record({
        kind: 'cell.ran',
        at: timing?.endTime ?? Date.now(),
        durationMs: timing === undefined ? 0 : Math.max(0, timing.endTime - timing.startTime),
        uri: notebook.uri.toString(),
        cell: cell.document.uri.toString(),
        success,
        error: success ? null : errorOf(cell),
      });
    }
  });
}

function errorOf(cell: vscode.NotebookCell): string | null {
  const item = cell.outputs.flatMap((output) => output.items).find(({ mime }) => mime === ERROR_MIME);
  if (item === undefined) return null;
  try {
    const { name = '', message = '', stack = '' } = JSON.parse(new TextDecoder().decode(item.data)) as { name?: string; message?: string; stack?: string };
    return `${name}: ${message}\n${stack}`.slice(0, LONGEST_ERROR);
  } catch {
    // A kernel that writes something else.
    return null;
  }
}
