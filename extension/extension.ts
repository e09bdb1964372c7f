// Activation, and nothing else: where there is no trust or no folder, nothing more is even loaded.
import * as vscode from 'vscode';
import { COMMANDS } from './views/commandIds.ts';
import type { HindsightWindow } from './window.ts';

let open: HindsightWindow | undefined;

/** Architecture invariant: in a workspace that is not trusted nothing is started, read or recorded. */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
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
  // A bundle of its own (esbuild.config.mjs); the editor's commands wait for it.
  const { windowOn } = await import('./window.ts');
  open = windowOn(context, folder, log);
  await open.open();
  log.info(`activated in ${Math.round(performance.now() - from)} ms`);
}
