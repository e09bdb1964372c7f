// Activation, and nothing else.
import * as vscode from 'vscode';
import { speak } from './translate.ts';
import { COMMANDS } from './views/commandIds.ts';
import { HindsightWindow } from './window.ts';

let open: HindsightWindow | undefined;

/** Architecture invariant: in a workspace that is not trusted nothing is started, read or recorded. */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
  speak(vscode.l10n.t);
  const log = vscode.window.createOutputChannel('Hindsight', { log: true });
  context.subscriptions.push(log, vscode.commands.registerCommand(COMMANDS.showLog, () => log.show()));
  if (vscode.workspace.isTrusted) return openWindow(context, log);
  context.subscriptions.push(vscode.workspace.onDidGrantWorkspaceTrust(() => void openWindow(context, log)));
}

export async function deactivate(): Promise<void> {
  await open?.close();
}

async function openWindow(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.find((each) => each.uri.scheme === 'file');
  if (folder === undefined) return log.info('no folder is open: Hindsight learns per folder, and waits');
  const from = performance.now();
  open = new HindsightWindow(context, folder, log);
  await open.open();
  log.info(`activated in ${Math.round(performance.now() - from)} ms`);
}
