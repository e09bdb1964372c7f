// The one webview: opened by a command, fed by messages, gone when it is closed.
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import type { PageModel } from './pageModel.ts';
import { shell } from './shell.ts';

export class LearningPanel implements vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  #model: PageModel | undefined;

  /** @param wanted  somebody looks at it who has no facts yet */
  constructor(
    private readonly extension: vscode.Uri,
    private readonly wanted: () => void,
  ) {}

  get isVisible(): boolean {
    return this.#panel?.visible ?? false;
  }

  show(): void {
    if (this.#panel !== undefined) return this.#panel.reveal();
    const dist = vscode.Uri.joinPath(this.extension, 'dist');
    const panel = vscode.window.createWebviewPanel('hindsight.learning', vscode.l10n.t('What Hindsight learned'), vscode.ViewColumn.Active, {
      enableScripts: true,
      enableForms: false,
      localResourceRoots: [dist],
    });
    // A hidden page is let go, and says that it is ready when it comes back.
    panel.webview.onDidReceiveMessage(() => (this.#model === undefined ? this.wanted() : this.#post()));
    panel.onDidChangeViewState(() => panel.visible && this.wanted());
    panel.onDidDispose(() => (this.#panel = undefined));
    panel.webview.html = shell({ nonce: randomBytes(16).toString('base64'), script: panel.webview.asWebviewUri(vscode.Uri.joinPath(dist, 'learningPage.js')).toString() });
    this.#panel = panel;
  }

  set(model: PageModel): void {
    this.#model = model;
    this.#post();
  }

  dispose(): void {
    this.#panel?.dispose();
  }

  #post(): void {
    if (this.isVisible) void this.#panel?.webview.postMessage({ model: this.#model });
  }
}
