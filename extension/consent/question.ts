// The question itself: a notification beside the work, never a dialog in front of it.
import * as vscode from 'vscode';

const YES = 'Learn from this workspace';
const NO = 'Do not learn';

export async function askForConsent(folder: vscode.WorkspaceFolder): Promise<'granted' | 'refused' | undefined> {
  const choice = await vscode.window.showInformationMessage(
    `May Hindsight learn from your work in "${folder.name}"? It records which suggestions you keep, change or undo, and trains on this machine; nothing is sent anywhere. Until you choose, nothing is recorded.`,
    YES,
    NO,
  );
  if (choice === undefined) return undefined;
  return choice === YES ? 'granted' : 'refused';
}
