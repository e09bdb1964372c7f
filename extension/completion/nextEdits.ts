// The same change at the next place, as the daemon found it: the place is marked, one hint stands at the end of the cursor's
// line, and a key makes the change. Whoever goes on typing, or presses Esc, is not asked again.
import * as vscode from 'vscode';
import { nextEditOffered } from '../../protocol/editor.ts';
import type { Params } from '../../protocol/message.ts';
import type { Signal, SignalOf } from '../../protocol/signals.ts';
import { on, type Link } from '../../protocol/transport.ts';
import { t } from '../translate.ts';
import { placeIn } from './place.ts';

const KEY = process.platform === 'darwin' ? 'Cmd+Alt+.' : 'Ctrl+Alt+.';
const CONTEXT = 'hindsight.nextEdit';
const PROSE = ['plaintext', 'markdown', 'latex', 'restructuredtext', 'git-commit'];
/** Characters of each text in the hint. */
const SHOWN = 24;

interface Offered {
  readonly editor: vscode.TextEditor;
  readonly range: vscode.Range;
  readonly before: string;
  readonly after: string;
}

export class NextEdits implements vscode.Disposable {
  readonly actions = { applyNextEdit: () => this.#apply(), dismissNextEdit: () => Promise.resolve(this.#end('dismissed')) };
  readonly #place = vscode.window.createTextEditorDecorationType({ backgroundColor: new vscode.ThemeColor('editor.wordHighlightStrongBackground'), borderRadius: '2px' });
  readonly #hint = vscode.window.createTextEditorDecorationType({ after: { color: new vscode.ThemeColor('editorGhostText.foreground'), margin: '0 0 0 2em' } });
  /** Changes that the user does not want at other places. */
  readonly #unwanted = new Set<string>();
  readonly #subscriptions: vscode.Disposable[];
  #offered: Offered | undefined;

  constructor(private readonly record: (signal: Signal) => void) {
    this.#subscriptions = [
      this.#place,
      this.#hint,
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && document === this.#offered?.editor.document) this.#end('passed');
      }),
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        if (editor !== this.#offered?.editor) this.#end('passed');
      }),
    ];
  }

  listen(link: Link): void {
    on(link, nextEditOffered, (offer) => this.#show(offer));
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose();
  }

  #show({ uri, version, offset, length, text }: Params<typeof nextEditOffered>): void {
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined || editor.document.uri.toString() !== uri || editor.document.version !== version) return;
    const { document } = editor;
    if (isProse(document, editor.selection.active)) return;
    const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
    const before = document.getText(range);
    if (this.#unwanted.has(changeName(before, text))) return;
    this.#offered = { editor, range, before, after: text };
    const { line } = editor.selection.active;
    const hint = t('{0} → {1} in line {2}, too: {3}', short(before), short(text), range.start.line + 1, KEY);
    editor.setDecorations(this.#place, [range]);
    editor.setDecorations(this.#hint, [{ range: document.lineAt(line).range, renderOptions: { after: { contentText: hint } } }]);
    void vscode.commands.executeCommand('setContext', CONTEXT, true);
  }

  async #apply(): Promise<void> {
    const offered = this.#end('applied');
    if (offered === undefined) return;
    const { editor, range, after } = offered;
    await editor.edit((edit) => edit.replace(range, after));
    const end = range.start.translate(0, after.length);
    editor.selection = new vscode.Selection(end, end);
    editor.revealRange(new vscode.Range(range.start, end), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  #end(answer: SignalOf<'nextEdit.answered'>['answer']): Offered | undefined {
    const offered = this.#offered;
    if (offered === undefined) return undefined;
    const { editor, before, after } = offered;
    this.#offered = undefined;
    for (const decoration of [this.#place, this.#hint]) editor.setDecorations(decoration, []);
    void vscode.commands.executeCommand('setContext', CONTEXT, false);
    if (answer === 'dismissed') this.#unwanted.add(changeName(before, after));
    this.record({ kind: 'nextEdit.answered', at: Date.now(), uri: editor.document.uri.toString(), before, after, answer });
    return offered;
  }
}

/** A word that is exchanged in a sentence is no name. */
function isProse(document: vscode.TextDocument, position: vscode.Position): boolean {
  return PROSE.includes(document.languageId) || placeIn(document.languageId, document.getText(new vscode.Range(new vscode.Position(0, 0), position))) === 'comment';
}

function changeName(before: string, after: string): string {
  return JSON.stringify([before, after]);
}

function short(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text;
}
