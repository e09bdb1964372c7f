// The settings, read in one place. package.json declares them; manifest.test.ts keeps the two the same.
import * as vscode from 'vscode';
import { placeIn } from './completion/place.ts';

export interface WindowSettings {
  readonly home: string;
  readonly daemonArguments: readonly string[];
}

/** Patterns of files of which nothing is recorded: of the machine, so that no repository can shorten the list. */
export function ignoredFiles(): string[] {
  return vscode.workspace.getConfiguration('hindsight').get<string[]>('privacy.ignoredFiles', []);
}

/** Whether suggestions that the user would hardly take are held back. */
export function holdBack(): boolean {
  return vscode.workspace.getConfiguration('hindsight').get<boolean>('holdBack', false);
}

/** Whether suggestions come later, or for a while not at all, after those that were turned down. */
export function adaptive(): boolean {
  return vscode.workspace.getConfiguration('hindsight').get<boolean>('completions.adaptive', true);
}

/** Whether a change that was just made is offered at the next place. */
export function nextEdits(): boolean {
  return vscode.workspace.getConfiguration('hindsight').get<boolean>('nextEdits.enabled', true);
}

export function windowSettings(): WindowSettings {
  const settings = vscode.workspace.getConfiguration('hindsight');
  return { home: settings.get<string>('home', ''), daemonArguments: settings.get<string[]>('daemonArguments', []) };
}

export interface ChatSettings {
  readonly endpoint: string;
  readonly model: string;
  readonly allowedCommands: readonly string[];
}

/** Of the machine: a workspace can set none of them. */
export function chatSettings(): ChatSettings {
  const settings = vscode.workspace.getConfiguration('hindsight');
  return {
    endpoint: settings.get<string>('chat.endpoint', ''),
    model: settings.get<string>('chat.model', ''),
    allowedCommands: settings.get<string[]>('tools.allowedCommands', []),
  };
}

/** Whether suggestions come by themselves at a place of a document. */
export function completionsEnabled(document: vscode.TextDocument, position: vscode.Position): boolean {
  const settings = vscode.workspace.getConfiguration('hindsight', document);
  if (!settings.get<boolean>('completions.enabled', true)) return false;
  const [comments, strings] = [settings.get<boolean>('completions.inComments', true), settings.get<boolean>('completions.inStrings', true)];
  if (comments && strings) return true;
  const place = placeIn(document.languageId, document.getText(new vscode.Range(new vscode.Position(0, 0), position)));
  return (place !== 'comment' || comments) && (place !== 'string' || strings);
}
