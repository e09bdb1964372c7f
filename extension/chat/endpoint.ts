// The OpenAI-compatible server that the user may have set: its address and model are settings of the machine, its key is a secret.
import * as vscode from 'vscode';
import type { Endpoint } from '../../protocol/agent.ts';
import { chatSettings } from '../settings.ts';

const SECRET = 'hindsight.chat.key';

/** @returns undefined where none is set: the loaded model answers */
export async function chosenEndpoint(secrets: vscode.SecretStorage): Promise<Endpoint | undefined> {
  const { endpoint, model } = chatSettings();
  if (endpoint.trim() === '') return undefined;
  const key = await secrets.get(SECRET);
  return { url: endpoint.trim(), model: model.trim() || 'default', ...(key !== undefined && { key }) };
}

export async function setEndpointKey(secrets: vscode.SecretStorage): Promise<void> {
  const key = await vscode.window.showInputBox({ title: vscode.l10n.t('Key of the chat endpoint'), password: true, placeHolder: vscode.l10n.t('Leave empty to forget it'), ignoreFocusOut: true });
  if (key === undefined) return;
  if (key === '') await secrets.delete(SECRET);
  else await secrets.store(SECRET, key);
}
