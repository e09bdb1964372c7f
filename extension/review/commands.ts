// Keep and Revert: in the gutter's diff, above each hunk, by key, per file and for everything. And the way back to a checkpoint.
import * as vscode from 'vscode';
import { COMMANDS } from '../views/commandIds.ts';
import { t } from '../translate.ts';
import type { Hunk } from './lines.ts';
import type { Reviews } from './reviews.ts';

/** The editor's own description of a change in its diff, lines from 1; an end of 0 = no line. */
interface LineChange {
  readonly modifiedStartLineNumber: number;
  readonly modifiedEndLineNumber: number;
}

export function reviewActions(reviews: Reviews): Readonly<Record<ReviewCommand, (...args: unknown[]) => Promise<unknown>>> {
  return {
    keepHunk: (...args) => decideHunks(reviews, 'keep', args),
    revertHunk: (...args) => decideHunks(reviews, 'revert', args),
    keepFile: (...args) => decideFile(reviews, 'keep', args),
    revertFile: (...args) => decideFile(reviews, 'revert', args),
    keepAll: (turns) => decideAll(reviews, 'keep', turns),
    revertAll: (turns) => decideAll(reviews, 'revert', turns),
    nextHunk: () => goToHunk(reviews),
    restoreCheckpoint: () => restoreCheckpoint(reviews),
  };
}

export type ReviewCommand = 'keepHunk' | 'revertHunk' | 'keepFile' | 'revertFile' | 'keepAll' | 'revertAll' | 'nextHunk' | 'restoreCheckpoint';

/** CodeLens above each hunk, and the context that the keys depend on. */
export class HunkLenses implements vscode.CodeLensProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeCodeLenses = this.#changed.event;
  readonly #subscriptions: vscode.Disposable[];

  constructor(
    private readonly reviews: Reviews,
    folder: vscode.WorkspaceFolder,
  ) {
    const context = (): void => void vscode.commands.executeCommand('setContext', 'hindsight.underReview', this.#isUnderReview());
    this.#subscriptions = [
      this.#changed,
      vscode.languages.registerCodeLensProvider({ scheme: 'file', pattern: new vscode.RelativePattern(folder, '**/*') }, this),
      vscode.window.onDidChangeActiveTextEditor(context),
      reviews.onDidChange(() => {
        this.#changed.fire();
        context();
      }),
    ];
  }

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    const hunks = this.reviews.hunks(document.uri);
    return hunks.flatMap((hunk, index) => {
      const line = Math.min(hunk.afterStart, document.lineCount - 1);
      const range = new vscode.Range(line, 0, line, 0);
      const lens = (title: string, command: string, tooltip: string): vscode.CodeLens => new vscode.CodeLens(range, { title, command, tooltip, arguments: [document.uri, hunk] });
      const removed = hunk.beforeEnd - hunk.beforeStart;
      const added = hunk.afterEnd - hunk.afterStart;
      const each = [
        lens(t('$(check) Keep'), COMMANDS.keepHunk, t('Keep this change of Hindsight (+{0} −{1})', added, removed)),
        lens(t('$(discard) Revert'), COMMANDS.revertHunk, t('Put back what stood here')),
      ];
      if (index > 0 || hunks.length === 1) return each;
      return [...each, lens(t('Keep all {0}', hunks.length), COMMANDS.keepFile, t('Keep every change in this file')), lens(t('Revert all'), COMMANDS.revertFile, t('Put back the whole file'))];
    });
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose();
  }

  #isUnderReview(): boolean {
    const document = vscode.window.activeTextEditor?.document;
    return document !== undefined && this.reviews.hunks(document.uri).length > 0;
  }
}

/** From the gutter (uri, changes, index), from above a hunk (uri, hunk), or by key at the cursor. */
async function decideHunks(reviews: Reviews, what: 'keep' | 'revert', [uri, second, index]: unknown[]): Promise<void> {
  if (uri instanceof vscode.Uri && Array.isArray(second)) {
    const change = second[typeof index === 'number' ? index : 0] as LineChange | undefined;
    if (change === undefined) return;
    const { modifiedStartLineNumber: start, modifiedEndLineNumber: end } = change;
    // A change without lines of its own stands behind the line that is named.
    const [from, to] = end === 0 ? [start, start] : [start - 1, end];
    return decideThese(reviews, uri, what, reviews.hunksAt(uri, from, to));
  }
  if (uri instanceof vscode.Uri && isHunk(second)) return decideThese(reviews, uri, what, reviews.hunksAt(uri, second.afterStart, second.afterEnd));
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined) return;
  const hunks = reviews.hunksAt(editor.document.uri, editor.selection.start.line, editor.selection.end.line + 1);
  if (hunks.length === 0) void vscode.window.setStatusBarMessage(t('There is no change of Hindsight at the cursor.'), 3000);
  await decideThese(reviews, editor.document.uri, what, hunks);
}

function decideThese(reviews: Reviews, uri: vscode.Uri, what: 'keep' | 'revert', hunks: readonly Hunk[]): Promise<void> {
  const places = new Set(hunks.map((hunk) => `${hunk.afterStart} ${hunk.afterEnd}`));
  return reviews.decide(uri, what, (hunk) => places.has(`${hunk.afterStart} ${hunk.afterEnd}`));
}

async function decideFile(reviews: Reviews, what: 'keep' | 'revert', [first]: unknown[]): Promise<void> {
  const named = first instanceof vscode.Uri ? first : typeof first === 'object' && first !== null && 'resourceUri' in first && first.resourceUri instanceof vscode.Uri ? first.resourceUri : undefined;
  const uri = named ?? vscode.window.activeTextEditor?.document.uri;
  if (uri !== undefined) await reviews.decide(uri, what);
}

/** @param turns  of one request: only what it proposed. Without them everything under review. */
async function decideAll(reviews: Reviews, what: 'keep' | 'revert', turns: unknown): Promise<void> {
  const named = Array.isArray(turns) ? turns : undefined;
  for (const uri of reviews.files()) await reviews.decide(uri, what, (hunk) => named === undefined || reviews.turnsOf(uri, hunk).some((turn) => named.includes(turn)));
}

/** The next one in this file, else the first one of the next file. */
async function goToHunk(reviews: Reviews): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const files = reviews.files();
  const here = editor === undefined ? [] : reviews.hunks(editor.document.uri);
  const next = here.find((hunk) => hunk.afterStart > (editor?.selection.active.line ?? 0));
  const at = files.findIndex((uri) => uri.toString() === editor?.document.uri.toString());
  const uri = next !== undefined ? editor?.document.uri : files[(at + 1) % Math.max(1, files.length)];
  if (uri === undefined) return void vscode.window.setStatusBarMessage(t('There is nothing of Hindsight to review.'), 3000);
  const line = (next ?? reviews.hunks(uri)[0])?.afterStart ?? 0;
  await vscode.window.showTextDocument(uri, { selection: new vscode.Range(line, 0, line, 0) });
}

async function restoreCheckpoint(reviews: Reviews): Promise<void> {
  const checkpoints = await reviews.checkpoints.list();
  if (checkpoints.length === 0) return void vscode.window.showInformationMessage(t('Hindsight has changed no file yet, so there is nothing to go back to.'));
  const picked = await vscode.window.showQuickPick(
    checkpoints.map(({ id, at, title, files }) => ({ id, label: title, description: new Date(at).toLocaleString(), detail: files.map(({ file }) => vscode.workspace.asRelativePath(file)).join(', ') })),
    { title: t('Go back to before…'), placeHolder: t('Files are put back as this request found them; what stands there now is kept as a checkpoint') },
  );
  if (picked === undefined) return;
  await reviews.checkpoints.restore(picked.id);
  const files = checkpoints.find(({ id }) => id === picked.id)?.files.length ?? 0;
  void vscode.window.showInformationMessage(files === 1 ? t('Back to before "{0}": 1 file put back.', picked.label) : t('Back to before "{0}": {1} files put back.', picked.label, files));
}

function isHunk(value: unknown): value is Hunk {
  return typeof value === 'object' && value !== null && 'afterStart' in value && 'afterEnd' in value;
}
