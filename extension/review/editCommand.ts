// "Hindsight: Edit…": the selection, an instruction, and the change as it is written, in the document itself, as one step of
// undo. It ends under review; what comes to nothing leaves the document as it was.
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { editPropose, type Endpoint } from '../../protocol/agent.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import type { Reviews } from './reviews.ts';
import { t } from '../translate.ts';

const DEADLINE_SECONDS = 600;
/** A person reads no faster. */
const SHOW_MS = 120;

export interface EditPlace {
  readonly connection: DaemonConnection;
  readonly reviews: Reviews;
  readonly endpoint: () => Promise<Endpoint | undefined>;
  /** Text of `edit/text` for a stream. @returns removes the listener */
  readonly onText: (stream: string, listener: (text: string) => void) => () => void;
}

export async function editSelection(place: EditPlace): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined || editor.document.uri.scheme !== 'file') return void vscode.window.showInformationMessage(t('Open a file and select what is to be changed.'));
  const instruction = await vscode.window.showInputBox({ title: t('Hindsight: Edit'), prompt: describe(editor), placeHolder: t('What should change?') });
  if (instruction === undefined || instruction.trim() === '') return;
  await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: t('Hindsight is editing'), cancellable: true }, (_, token) => propose(place, editor, instruction.trim(), token));
}

async function propose(place: EditPlace, editor: vscode.TextEditor, instruction: string, token: vscode.CancellationToken): Promise<void> {
  const { document } = editor;
  const range = wholeLines(editor);
  const before = document.getText();
  const [start, end] = [document.offsetAt(range.start), document.offsetAt(range.end)];
  const stream = `e-${randomUUID()}`;
  const cancelled = new AbortController();
  token.onCancellationRequested(() => cancelled.abort());
  await place.reviews.checkpoints.take(stream, instruction, document.uri.fsPath);
  const preview = new Preview(editor, before, start, end);
  place.reviews.beginWriting(document);
  const off = place.onText(stream, (text) => preview.show(text));
  try {
    const params = { stream, uri: document.uri.toString(), languageId: document.languageId, version: document.version, text: before, start, end, instruction };
    const endpoint = await place.endpoint();
    const { turn, replacement } = await place.connection.request(editPropose, { ...params, ...(endpoint && { endpoint }) }, { deadline: DEADLINE_SECONDS, signal: cancelled.signal });
    await preview.end(replacement);
    place.reviews.propose(turn, document, document.getText(), before);
  } catch (error) {
    await preview.takeBack();
    place.reviews.endWriting(document);
    if (!cancelled.signal.aborted) throw error;
  } finally {
    off();
  }
}

/** The replacement in the document while it is written. What somebody else writes there meanwhile is not touched. */
class Preview {
  #shown: string;
  #waiting: string | undefined;
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #first = true;

  constructor(
    private readonly editor: vscode.TextEditor,
    private readonly before: string,
    private readonly start: number,
    private readonly end_: number,
  ) {
    this.#shown = before.slice(start, end_);
  }

  show(text: string): void {
    this.#waiting = text;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting !== undefined) void this.#write(this.#waiting, 'open');
    }, SHOW_MS);
  }

  async end(text: string): Promise<void> {
    await this.#write(text, 'closed');
    if (this.editor.document.getText() !== this.#with(this.#ends(text))) throw new Error(t('The text around the selection was changed while Hindsight wrote. Try again.'));
  }

  async takeBack(): Promise<void> {
    if (this.editor.document.getText() === this.#with(this.#shown)) await this.#write(this.before.slice(this.start, this.end_), 'closed');
  }

  #write(written: string, step: 'open' | 'closed'): Promise<void> {
    const text = this.#ends(written);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#work = this.#work.then(async () => {
      const { document } = this.editor;
      if (text === this.#shown || document.getText() !== this.#with(this.#shown)) return;
      const range = new vscode.Range(document.positionAt(this.start), document.positionAt(this.start + this.#shown.length));
      if (await this.editor.edit((edit) => edit.replace(range, text), { undoStopBefore: this.#first, undoStopAfter: step === 'closed' })) {
        this.#shown = text;
        this.#first = false;
      }
    });
    return this.#work;
  }

  /** With the document's own line ends, which the editor would make of it. */
  #ends(text: string): string {
    return text.replace(/\r?\n/g, this.editor.document.eol === vscode.EndOfLine.CRLF ? '\r\n' : '\n');
  }

  #with(text: string): string {
    return this.before.slice(0, this.start) + text + this.before.slice(this.end_);
  }
}

/** A selection reaches over whole lines; without one, the cursor's line is meant. */
function wholeLines({ document, selection }: vscode.TextEditor): vscode.Range {
  const last = selection.end.character === 0 && selection.end.line > selection.start.line ? selection.end.line - 1 : selection.end.line;
  return document.lineAt(selection.start.line).range.with(new vscode.Position(selection.start.line, 0)).union(document.lineAt(last).rangeIncludingLineBreak);
}

function describe(editor: vscode.TextEditor): string {
  const range = wholeLines(editor);
  const lines = range.end.line - range.start.line + (range.end.character > 0 ? 1 : 0);
  return lines <= 1 ? t('Line {0}', range.start.line + 1) : t('Lines {0} to {1}', range.start.line + 1, range.start.line + lines);
}
