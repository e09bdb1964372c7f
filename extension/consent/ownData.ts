// The owner's hand on what is recorded: see it, take it along, take it back.
import * as vscode from 'vscode';
import { dataExport, dataForget, dataPreview, dataWouldStore, type ForgetScope } from '../../protocol/data.ts';
import type { Result } from '../../protocol/message.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import type { Pages } from '../learning/pages.ts';
import { fileName } from '../learning/words.ts';
import { COMMANDS } from '../views/commandIds.ts';
import { t } from '../translate.ts';

const SHOWN = 200;
/** A step in progress is taken back, and the journal's file is written anew. */
const FORGET_SECONDS = 600;

export interface OwnDataParts {
  readonly connection: DaemonConnection;
  readonly folder: vscode.WorkspaceFolder;
  readonly pages: Pages;
  readonly session: () => string;
}

type Report = Result<typeof dataForget>;
interface ScopeItem extends vscode.QuickPickItem {
  readonly scope: ForgetScope;
}

export class OwnData {
  constructor(private readonly parts: OwnDataParts) {}

  /** The newest records, as they stand. */
  async showStored(): Promise<void> {
    const { connection, pages } = this.parts;
    const { records } = await connection.request(dataPreview, { workspace: this.#workspace, limit: SHOWN });
    const told = records.map(({ kind, at, json }) => ({ kind, at: new Date(at).toISOString(), record: JSON.parse(json) as unknown }));
    await pages.show(t('what is stored.json'), `${JSON.stringify(told, null, 2)}\n`);
  }

  /** The file in front of its owner beside what could be stored of it. */
  async showWouldStore(): Promise<void> {
    const { connection, pages } = this.parts;
    const document = vscode.window.activeTextEditor?.document;
    if (document === undefined) return void vscode.window.showInformationMessage(t('Open the file that you want to know about.'));
    const { stored, text, masked } = await connection.request(dataWouldStore, { workspace: this.#workspace, uri: document.uri.toString(), text: document.getText() });
    const name = fileName(document.uri.toString(), t);
    if (stored !== 'yes') return void vscode.window.showInformationMessage(nothingOf(name, stored));
    const secrets = masked === 0 ? t('no secret found') : masked === 1 ? t('1 secret masked') : t('{0} secrets masked', masked);
    await pages.compare(t('{0} ↔ what may be stored of it ({1})', name, secrets), document.uri, [name, text]);
  }

  async export(): Promise<void> {
    const target = await vscode.window.showSaveDialog({ title: t('Export what is stored of this workspace'), saveLabel: t('Export'), filters: { [t('JSON lines')]: ['jsonl'] }, defaultUri: vscode.Uri.joinPath(this.parts.folder.uri, '..', 'hindsight.jsonl') });
    if (target === undefined) return;
    const { records, bytes } = await this.parts.connection.request(dataExport, { workspace: this.#workspace, path: target.fsPath }, { deadline: FORGET_SECONDS });
    void vscode.window.showInformationMessage(t('{0} records ({1} KB) are in {2}. Only you can read the file.', records, Math.ceil(bytes / 1024), target.fsPath));
  }

  /** @param resource  a file or folder of the explorer; without one it is asked what is meant */
  async forget(resource: unknown): Promise<void> {
    const item = resource instanceof vscode.Uri ? await scopeOf(resource) : await vscode.window.showQuickPick(this.#scopes(), { title: t('Forget…'), placeHolder: t('What shall be taken out of everything that Hindsight stored?') });
    if (item === undefined || !(await isConfirmed(item.label))) return;
    const report = await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title: t('Hindsight is forgetting') }, () =>
      this.parts.connection.request(dataForget, { scope: item.scope }, { deadline: FORGET_SECONDS }),
    );
    await this.#tell(report);
  }

  async #tell({ signals, turns, samples, adapters, serving }: Report): Promise<void> {
    const done = t('Forgotten: {0} signals, {1} suggestions and actions, {2} lessons.', signals, turns, samples);
    const mine = adapters.filter(({ workspace }) => workspace === this.#workspace).map(({ version }) => version);
    const learned = mine.length === 0 ? t('No version here learned from it.') : t('Versions {0} may have learned from it; what a version learned cannot be taken out of it.', mine.join(', '));
    const now = serving.find(({ workspace }) => workspace === this.#workspace);
    const back = t('Roll back');
    const actions = now === undefined ? [] : [back];
    const offer = now === undefined ? [] : [now.instead === null ? t('Version {0} serves; the base model can take its place.', now.version) : t('Version {0} serves; version {1} can take its place.', now.version, now.instead)];
    const said = await vscode.window.showInformationMessage([done, learned, ...offer].join(' '), ...actions);
    if (said === back && now !== undefined) await vscode.commands.executeCommand(COMMANDS.useVersion, now.instead);
  }

  #scopes(): ScopeItem[] {
    const { folder, session } = this.parts;
    const uri = vscode.window.activeTextEditor?.document.uri;
    const inside = uri !== undefined && uri.toString().startsWith(`${this.#workspace}/`) ? uri : undefined;
    const above = inside === undefined ? undefined : vscode.Uri.joinPath(inside, '..');
    return [
      ...(inside === undefined ? [] : [fileItem(inside)]),
      ...(above === undefined || above.toString() === this.#workspace ? [] : [folderItem(above)]),
      { label: t('this window’s session'), description: t('since it was opened'), scope: { what: 'session', session: session() } },
      { label: t('the workspace "{0}"', folder.name), description: t('everything recorded in it'), scope: { what: 'workspace', workspace: this.#workspace } },
      { label: t('everything'), description: t('of all workspaces, with every version that was learned'), scope: { what: 'everything' } },
    ];
  }

  get #workspace(): string {
    return this.parts.folder.uri.toString();
  }
}

/** Enter alone does not agree: the way out stands first. */
async function isConfirmed(what: string): Promise<boolean> {
  const yes = t('$(trash) Forget it for good');
  const picked = await vscode.window.showQuickPick(
    [
      { label: t('$(close) Cancel'), detail: t('Nothing is changed.') },
      { label: yes, detail: t('Its signals, suggestions, conversations and lessons leave the disk. Your files stay.') },
    ],
    { title: t('Forget {0}?', what), ignoreFocusOut: true },
  );
  return picked?.label === yes;
}

function nothingOf(name: string, why: 'consent' | 'ignored' | 'outside'): string {
  if (why === 'consent') return t('Nothing is stored of {0}: this workspace is not learned from.', name);
  return why === 'ignored' ? t('Nothing is stored of {0}: it is among the ignored files.', name) : t('Nothing is stored of {0}: it is outside this workspace.', name);
}

async function scopeOf(resource: vscode.Uri): Promise<ScopeItem> {
  const { type } = await vscode.workspace.fs.stat(resource);
  return (type & vscode.FileType.Directory) === 0 ? fileItem(resource) : folderItem(resource);
}

function fileItem(uri: vscode.Uri): ScopeItem {
  return { label: vscode.workspace.asRelativePath(uri, false), description: t('this file'), scope: { what: 'file', uri: uri.toString() } };
}

function folderItem(uri: vscode.Uri): ScopeItem {
  return { label: `${vscode.workspace.asRelativePath(uri, false)}/`, description: t('this folder'), scope: { what: 'folder', uri: uri.toString() } };
}
