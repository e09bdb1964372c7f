// What opens over the user's work: counted at the API through which an extension can ask for it.
import * as vscode from 'vscode';

const ASKING = ['showInformationMessage', 'showWarningMessage', 'showErrorMessage', 'showQuickPick', 'showInputBox'] as const;

/** Begins to count. The suite stands within the extension's folder, so its `vscode` is the extension's own.
 *  @returns what was asked for, as it comes in */
export function countPopups(): string[] {
  const shown: string[] = [];
  const window = vscode.window as unknown as Record<string, (...parts: unknown[]) => unknown>;
  for (const name of ASKING) {
    const asked = window[name];
    window[name] = (...parts) => {
      shown.push(`${name} ${typeof parts[0] === 'string' ? parts[0] : ''}`);
      return asked?.apply(vscode.window, parts);
    };
  }
  const progress = vscode.window.withProgress.bind(vscode.window);
  vscode.window.withProgress = (options, task) => {
    if (options.location === vscode.ProgressLocation.Notification) shown.push(`withProgress ${options.title ?? ''}`);
    return progress(options, task);
  };
  return shown;
}
