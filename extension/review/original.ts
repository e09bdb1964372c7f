// The base of a file under review as a document, and the source control whose quick diff shows the hunks in the editor's own
// gutter. It is there only while something is under review.
import * as vscode from 'vscode';
import { t } from '../translate.ts';

export const ORIGINAL_SCHEME = 'hindsight-original';

export interface UnderReview {
  /** Files with open hunks, and how many. */
  files(): { readonly uri: vscode.Uri; readonly hunks: number }[];
  /** The base of a file; undefined where it is not under review. */
  base(uri: vscode.Uri): string | undefined;
}

export class Originals implements vscode.TextDocumentContentProvider, vscode.QuickDiffProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #registration = vscode.workspace.registerTextDocumentContentProvider(ORIGINAL_SCHEME, this);
  #control: vscode.SourceControl | undefined;
  #group: vscode.SourceControlResourceGroup | undefined;

  constructor(
    private readonly folder: vscode.WorkspaceFolder,
    private readonly reviews: UnderReview,
  ) {}

  provideTextDocumentContent(original: vscode.Uri): string {
    return this.reviews.base(fileOf(original)) ?? '';
  }

  provideOriginalResource(uri: vscode.Uri): vscode.Uri | undefined {
    return this.reviews.base(uri) === undefined ? undefined : originalOf(uri);
  }

  /** Call it when a base, or a number of hunks, changed. */
  refresh(changed: vscode.Uri): void {
    this.#changed.fire(originalOf(changed));
    const files = this.reviews.files();
    if (files.length === 0) return this.#close();
    this.#open();
    if (this.#group === undefined || this.#control === undefined) return;
    this.#group.resourceStates = files.map(({ uri, hunks }) => ({
      resourceUri: uri,
      command: { command: 'vscode.diff', title: t('Compare'), arguments: [originalOf(uri), uri, `${vscode.workspace.asRelativePath(uri)} (Hindsight)`] },
      decorations: { tooltip: hunks === 1 ? t('1 change to review') : t('{0} changes to review', hunks) },
    }));
    this.#control.count = files.reduce((sum, each) => sum + each.hunks, 0);
  }

  dispose(): void {
    this.#close();
    this.#registration.dispose();
    this.#changed.dispose();
  }

  #open(): void {
    if (this.#control !== undefined) return;
    this.#control = vscode.scm.createSourceControl('hindsight', 'Hindsight', this.folder.uri);
    this.#control.inputBox.visible = false;
    this.#control.quickDiffProvider = this;
    this.#group = this.#control.createResourceGroup('review', t('To Review'));
    this.#group.hideWhenEmpty = true;
  }

  #close(): void {
    this.#control?.dispose();
    this.#control = this.#group = undefined;
  }
}

function originalOf(uri: vscode.Uri): vscode.Uri {
  return uri.with({ scheme: ORIGINAL_SCHEME, query: uri.scheme });
}

function fileOf(original: vscode.Uri): vscode.Uri {
  return original.with({ scheme: original.query || 'file', query: '' });
}
