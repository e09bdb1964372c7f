// Texts that are shown and never saved: what is stored, two versions side by side, a lesson. Each lives as long as
// its document is open.
import * as vscode from 'vscode';

const SCHEME = 'hindsight';

export class Pages implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #texts = new Map<string, string>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #subscriptions = vscode.Disposable.from(
    this.#changed,
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
    vscode.workspace.onDidCloseTextDocument(({ uri }) => uri.scheme === SCHEME && this.#texts.delete(uri.toString())),
  );

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.toString()) ?? '';
  }

  /** @param name  with an ending that says its language */
  async show(name: string, text: string): Promise<void> {
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(this.#put(name, text)), { preview: true });
  }

  /** Left and right are [name, text]. */
  async compare(title: string, left: readonly [string, string] | vscode.Uri, right: readonly [string, string]): Promise<void> {
    const leftUri = left instanceof vscode.Uri ? left : this.#put(...left);
    await vscode.commands.executeCommand('vscode.diff', leftUri, this.#put(...right), title, { preview: true });
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #put(name: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}` });
    this.#texts.set(uri.toString(), text);
    // A document that is open is not asked for again by itself.
    this.#changed.fire(uri);
    return uri;
  }
}
