// "Hindsight: Show Learning": what was learned, as a document to read.
import * as vscode from 'vscode';
import { learningShow } from '../../protocol/editor.ts';
import type { DaemonConnection } from '../connection/connection.ts';

const SCHEME = 'hindsight';
const DOCUMENT = vscode.Uri.from({ scheme: SCHEME, path: '/What Hindsight learned.md' });

export class LearningView implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  constructor(
    private readonly connection: DaemonConnection,
    private readonly workspace: string,
  ) {}

  async provideTextDocumentContent(): Promise<string> {
    return (await this.connection.request(learningShow, { workspace: this.workspace })).markdown;
  }

  async show(): Promise<void> {
    // An open document is not asked for again by itself.
    this.#changed.fire(DOCUMENT);
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(DOCUMENT), { preview: false });
  }

  /** A new version was published: an open view shows it. */
  refresh(): void {
    if (vscode.workspace.textDocuments.some((document) => document.uri.toString() === DOCUMENT.toString())) this.#changed.fire(DOCUMENT);
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }
}
