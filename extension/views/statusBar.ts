import * as vscode from 'vscode';
import type { ConsentState, Status } from '../../protocol/editor.ts';
import { COMMANDS } from './commandIds.ts';
import { statusText } from './statusText.ts';

/** Keeps the last facts and shows them; whoever learns a fact sets it. */
export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem('hindsight.status', vscode.StatusBarAlignment.Right, 100);
  #status: Status | undefined;
  #consent: ConsentState = 'unknown';
  #failure = '';

  constructor() {
    this.#item.name = 'Hindsight';
    this.#item.command = COMMANDS.showMenu;
    this.#show();
    this.#item.show();
  }

  get status(): Status | undefined {
    return this.#status;
  }

  setStatus(status: Status): void {
    this.#status = status;
    this.#failure = '';
    this.#show();
  }

  setOffline(failure: string): void {
    this.#status = undefined;
    this.#failure = failure;
    this.#show();
  }

  setConsent(consent: ConsentState): void {
    this.#consent = consent;
    this.#show();
  }

  dispose(): void {
    this.#item.dispose();
  }

  #show(): void {
    const shown = statusText(this.#status, this.#consent, this.#failure);
    this.#item.text = shown.text;
    this.#item.tooltip = new vscode.MarkdownString(shown.tooltip, true);
    this.#item.accessibilityInformation = { label: shown.accessible, role: 'button' };
    this.#item.backgroundColor = shown.needsAttention ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }
}
