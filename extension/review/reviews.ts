// The files under review in a window: puts the agent's edits into documents, follows what happens to them, and carries out
// what the user decides. The state of each file is FileReview's; here are documents, events and the disk.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import type { Signal } from '../../protocol/signals.ts';
import { Checkpoints } from './checkpoints.ts';
import { FileReview, type Decision, type SavedReview } from './fileReview.ts';
import { hunksBetween, linesOf, touch, type Hunk } from './lines.ts';
import { Originals } from './original.ts';

/** Typing settles before a document is looked at. */
const SYNC_MS = 60;
/** An undo may be redone; after so long it was meant. */
const SETTLE_MS = 10_000;
const SAVE_MS = 500;

export interface ReviewPlace {
  readonly folder: vscode.WorkspaceFolder;
  /** Of the extension, for this workspace. */
  readonly storage: string;
  readonly record: (signal: Signal) => void;
  readonly log: (line: string) => void;
}

export interface AgentEdit {
  readonly turn: string;
  /** Edits of one request are taken back together. */
  readonly request: string;
  readonly title: string;
  readonly uri: vscode.Uri;
  /** null = the file is to be made. */
  readonly before: string | null;
  readonly after: string;
}

export class Reviews implements vscode.Disposable {
  readonly #files = new Map<string, FileReview>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  /** Hunks of a file may be others now. */
  readonly onDidChange = this.#changed.event;
  readonly #originals: Originals;
  readonly checkpoints: Checkpoints;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Documents that the agent is writing in right now. */
  readonly #writing = new Set<string>();
  readonly #subscriptions: vscode.Disposable[];

  constructor(private readonly place: ReviewPlace) {
    this.#originals = new Originals(place.folder, {
      files: () => [...this.#files].flatMap(([key, review]) => (review.hunks.length === 0 ? [] : [{ uri: vscode.Uri.parse(key), hunks: review.hunks.length }])),
      base: (uri) => this.#files.get(uri.toString())?.base,
    });
    this.checkpoints = new Checkpoints(path.join(place.storage, 'checkpoints'), editorFiles, () => Date.now());
    this.#subscriptions = [
      this.#originals,
      this.#changed,
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        const key = document.uri.toString();
        if (contentChanges.length > 0 && this.#files.has(key) && !this.#writing.has(key)) this.#soon(`sync ${key}`, SYNC_MS, () => this.#sync(document));
      }),
      vscode.workspace.onDidOpenTextDocument((document) => this.#sync(document)),
      vscode.workspace.onDidDeleteFiles(({ files }) => files.forEach((uri) => this.#gone(uri))),
    ];
  }

  /** What was under review when the window closed. */
  async restore(): Promise<void> {
    const saved = await readFile(this.#savedFile(), 'utf8').then((text) => JSON.parse(text) as Record<string, SavedReview>, () => ({}));
    for (const [key, each] of Object.entries(saved)) {
      const text = await editorFiles.read(vscode.Uri.parse(key).fsPath);
      if (text === null) continue;
      this.#files.set(key, new FileReview(text, each));
      this.#refresh(vscode.Uri.parse(key));
    }
  }

  hunks(uri: vscode.Uri): Hunk[] {
    return this.#files.get(uri.toString())?.hunks ?? [];
  }

  files(): vscode.Uri[] {
    return [...this.#files.keys()].map((key) => vscode.Uri.parse(key)).filter((uri) => this.hunks(uri).length > 0);
  }

  turnsOf(uri: vscode.Uri, hunk: Hunk): string[] {
    return this.#files.get(uri.toString())?.turnsOf(hunk) ?? [];
  }

  /** @returns what is in the way, in one sentence; null = it is in the document, saved, and under review */
  async apply(edit: AgentEdit): Promise<string | null> {
    const inside = edit.uri.path.startsWith(`${this.place.folder.uri.path}/`);
    if (!inside || edit.uri.scheme !== 'file') return 'The file is outside the workspace.';
    try {
      const now = await editorFiles.read(edit.uri.fsPath);
      if (now !== edit.before) return now === null ? 'The file is gone.' : 'The file has changed meanwhile. Read it again.';
      await this.checkpoints.take(edit.request, edit.title, edit.uri.fsPath);
      if (edit.before === null) await vscode.workspace.fs.writeFile(edit.uri, new Uint8Array());
      const document = await vscode.workspace.openTextDocument(edit.uri);
      if (document.getText() !== (edit.before ?? '')) return 'The file has changed meanwhile. Read it again.';
      this.propose(edit.turn, document, edit.after);
      if (!(await replaceLines(document, edit.after))) {
        this.#sync(document);
        return 'The editor refused the change.';
      }
      // Tests and commands read the disk.
      await document.save();
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Whoever writes into the document by pieces says when they begin; `propose`, or `sync`, ends it. */
  beginWriting(document: vscode.TextDocument): void {
    this.#writing.add(document.uri.toString());
  }

  /** The document's text is about to be `after`, or is so already where it was written by pieces from `before`. */
  propose(turn: string, document: vscode.TextDocument, after: string, before = document.getText()): void {
    const key = document.uri.toString();
    const review = this.#files.get(key) ?? new FileReview(before);
    review.sync(before);
    review.propose(turn, after);
    this.#files.set(key, review);
    this.#writing.delete(key);
    this.#refresh(document.uri);
  }

  /** The writing came to nothing. */
  endWriting(document: vscode.TextDocument): void {
    this.#writing.delete(document.uri.toString());
    this.#sync(document);
  }

  keep(uri: vscode.Uri, hunk: Hunk): void {
    const review = this.#files.get(uri.toString());
    if (review === undefined) return;
    this.#tell(uri, review.keep(hunk));
    this.#refresh(uri);
  }

  async revert(uri: vscode.Uri, hunk: Hunk): Promise<void> {
    const review = this.#files.get(uri.toString());
    if (review === undefined) return;
    const document = await vscode.workspace.openTextDocument(uri);
    const { decisions } = review.revert(hunk);
    if (!(await replaceLines(document, review.text))) return this.#sync(document);
    this.#tell(uri, decisions);
    this.#refresh(uri);
  }

  /** What was typed a moment ago counts. */
  catchUp(uri: vscode.Uri): void {
    const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === uri.toString());
    if (document !== undefined) this.#sync(document);
  }

  /** The hunks that a line range of the document touches, as the editor's own diff may draw them otherwise. */
  hunksAt(uri: vscode.Uri, start: number, end: number): Hunk[] {
    return this.hunks(uri).filter((hunk) => touch(hunk.afterStart, hunk.afterEnd, start, end));
  }

  /** @param chosen  of the file's hunks, from the last to the first, so that lines before them stay where they are */
  async decide(uri: vscode.Uri, what: 'keep' | 'revert', chosen: (hunk: Hunk) => boolean = () => true): Promise<void> {
    this.catchUp(uri);
    for (const hunk of this.hunks(uri).reverse()) {
      if (!chosen(hunk)) continue;
      if (what === 'keep') this.keep(uri, hunk);
      else await this.revert(uri, hunk);
    }
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const each of this.#subscriptions) each.dispose();
  }

  #sync(document: vscode.TextDocument): void {
    const review = this.#files.get(document.uri.toString());
    if (review === undefined || this.#writing.has(document.uri.toString())) return;
    review.sync(document.getText());
    this.#refresh(document.uri);
  }

  #gone(uri: vscode.Uri): void {
    const review = this.#files.get(uri.toString());
    if (review === undefined) return;
    review.sync('');
    this.#tell(uri, review.settle());
    this.#files.delete(uri.toString());
    this.#refresh(uri);
  }

  #refresh(uri: vscode.Uri): void {
    const key = uri.toString();
    this.#originals.refresh(uri);
    this.#changed.fire(uri);
    this.#soon('save', SAVE_MS, () => void this.#save().catch((error: unknown) => this.place.log(`the review could not be saved: ${String(error)}`)));
    this.#soon(`settle ${key}`, SETTLE_MS, () => this.#settle(uri));
  }

  #settle(uri: vscode.Uri): void {
    const review = this.#files.get(uri.toString());
    if (review === undefined) return;
    this.#tell(uri, review.settle());
    if (review.hunks.length > 0) return;
    // Nothing differs and nothing waits: an undo that comes later is the user's own change.
    this.#files.delete(uri.toString());
    this.#refresh(uri);
  }

  #tell(uri: vscode.Uri, decisions: readonly Decision[]): void {
    for (const { turn, before, proposed, now, state } of decisions) {
      const open = [...this.#files.values()].reduce((sum, review) => sum + review.marks.filter((mark) => mark.turn === turn).length, 0);
      this.place.record({ kind: 'edit.reviewed', at: Date.now(), turn, uri: uri.toString(), before, proposed, now, state, open });
    }
  }

  async #save(): Promise<void> {
    const saved = Object.fromEntries([...this.#files].map(([key, review]) => [key, review.save()]));
    const file = this.#savedFile();
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(`${file}.new`, JSON.stringify(saved));
    await rename(`${file}.new`, file);
  }

  #savedFile(): string {
    return path.join(this.place.storage, 'reviews.json');
  }

  /** One timer of a name: the last call counts. */
  #soon(name: string, ms: number, work: () => void): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(work, ms));
  }
}

/** Changes what differs and nothing else, so that cursors and other hunks stay where they are. */
export async function replaceLines(document: vscode.TextDocument, after: string): Promise<boolean> {
  const [old, now] = [linesOf(document.getText()), linesOf(after)];
  const edit = new vscode.WorkspaceEdit();
  const starts = offsetsOf(old);
  for (const hunk of hunksBetween(old, now)) {
    const range = new vscode.Range(document.positionAt(starts[hunk.beforeStart] ?? 0), document.positionAt(starts[hunk.beforeEnd] ?? 0));
    edit.replace(document.uri, range, now.slice(hunk.afterStart, hunk.afterEnd).join(''));
  }
  return edit.size === 0 || vscode.workspace.applyEdit(edit);
}

function offsetsOf(lines: readonly string[]): number[] {
  const offsets = [0];
  for (const line of lines) offsets.push((offsets.at(-1) ?? 0) + line.length);
  return offsets;
}

/** Files as the editor has them: an open document's text, else the disk's. */
const editorFiles = {
  async read(file: string): Promise<string | null> {
    const open = vscode.workspace.textDocuments.find((document) => document.uri.scheme === 'file' && document.uri.fsPath === file && !document.isClosed);
    if (open !== undefined) return open.getText();
    try {
      return (await vscode.workspace.openTextDocument(vscode.Uri.file(file))).getText();
    } catch {
      return null;
    }
  },
  async write(file: string, text: string): Promise<void> {
    const uri = vscode.Uri.file(file);
    if ((await editorFiles.read(file)) === null) await vscode.workspace.fs.writeFile(uri, Buffer.from(text));
    const document = await vscode.workspace.openTextDocument(uri);
    await replaceLines(document, text);
    await document.save();
  },
  async remove(file: string): Promise<void> {
    await vscode.workspace.fs.delete(vscode.Uri.file(file), { useTrash: false }).then(undefined, () => undefined);
  },
};
