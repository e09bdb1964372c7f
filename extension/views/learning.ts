// What was learned, in view: the native trees, the page, and what can be done with a version or a lesson.
import * as vscode from 'vscode';
import { adapterRollback, type Status } from '../../protocol/editor.ts';
import { adapterCompare, adapterExport, learningView, type Lesson } from '../../protocol/learning.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import { pageModel, type LearningFacts } from '../learning/pageModel.ts';
import { Pages } from '../learning/pages.ts';
import { LearningPanel } from '../learning/panel.ts';
import { LearningTrees, VersionItem } from '../learning/trees.ts';
import { fileName, versionName, versionState } from '../learning/words.ts';
import { t } from '../translate.ts';

/** Changes that come together are looked up once. */
const SETTLE_MS = 500;
const LESSONS = 100;
/** Two answers of a large model on a small machine. */
const COMPARE_SECONDS = 120;

export interface LearningParts {
  readonly connection: DaemonConnection;
  readonly workspace: string;
  readonly extension: vscode.Uri;
  readonly log: (line: string) => void;
}

interface VersionPick extends vscode.QuickPickItem {
  readonly version: number | null;
}

export class LearningView implements vscode.Disposable {
  readonly pages = new Pages();
  readonly #trees = new LearningTrees(() => this.refresh());
  readonly #panel: LearningPanel;
  #status: Status | undefined;
  #facts: LearningFacts | undefined;
  #settling: NodeJS.Timeout | undefined;

  constructor(private readonly parts: LearningParts) {
    this.#panel = new LearningPanel(parts.extension, () => this.refresh());
  }

  setStatus(status: Status | undefined): void {
    const before = JSON.stringify(this.#status?.pipe);
    this.#status = status;
    this.#trees.setStatus(status);
    if (status !== undefined && JSON.stringify(status.pipe) !== before) this.refresh();
  }

  /** Soon, and only where somebody looks. */
  refresh(): void {
    if (this.#settling !== undefined || !(this.#panel.isVisible || this.#trees.areVisible)) return;
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      void this.refreshNow().catch((error: unknown) => this.parts.log(String(error)));
    }, SETTLE_MS);
  }

  async refreshNow(): Promise<LearningFacts> {
    const facts = await this.parts.connection.request(learningView, { workspace: this.parts.workspace, lessons: LESSONS });
    this.#facts = facts;
    this.#trees.setFacts(facts);
    this.#panel.set(pageModel(facts, this.#status, vscode.env.language, t));
    return facts;
  }

  async show(): Promise<void> {
    this.#panel.show();
    await this.refreshNow();
  }

  /** The offered text beside what was done instead. */
  async openLesson(lesson: Lesson): Promise<void> {
    const name = fileName(lesson.uri, t);
    const ending = name.includes('.') ? name.slice(name.lastIndexOf('.')) : '';
    await this.pages.compare(t('{0}: suggested ↔ what you did', name), [`${t('suggested')}${ending}`, lesson.offered], [`${t('what you did')}${ending}`, lesson.written ?? '']);
  }

  /** @param of  a row of the tree, or a version (null = the base model); without one it is asked for */
  async useVersion(of: unknown): Promise<void> {
    const named = of instanceof VersionItem ? of.version : of;
    const version = typeof named === 'number' || named === null ? named : await this.#pick(t('Which version shall serve?'), (one) => one.state === 'retired' || one.state === 'rolledBack');
    if (version === undefined) return;
    await this.parts.connection.request(adapterRollback, { workspace: this.parts.workspace, to: version });
    await this.refreshNow();
    vscode.window.setStatusBarMessage(t('$(check) Hindsight serves {0} now', versionName(version, t)), 5000);
  }

  /** Two versions at the cursor, side by side in the editor's own diff. */
  async compareVersions(of: unknown): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined || editor.document.uri.scheme !== 'file') return void vscode.window.showInformationMessage(t('Put the cursor where the two versions are to write.'));
    const one = of instanceof VersionItem ? of.version : await this.#pick(t('Compare which version…'));
    if (one === undefined) return;
    const other = await this.#pick(t('…with which?'), (each) => each.version !== one, one !== null);
    if (other === undefined) return;
    const { document, selection } = editor;
    const text = document.getText();
    const offset = document.offsetAt(selection.active);
    const answers = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: t('Hindsight is asking both versions') }, async () => {
      const { workspace, connection } = this.parts;
      return (await connection.request(adapterCompare, { workspace, uri: document.uri.toString(), text, offset, versions: [one, other] }, { deadline: COMPARE_SECONDS })).answers;
    });
    const name = fileName(document.uri.toString(), t);
    const whole = (answer: string): string => text.slice(0, offset) + answer + text.slice(offset);
    await this.pages.compare(t('{0}: {1} ↔ {2}', name, versionName(one, t), versionName(other, t)), [`${versionName(one, t)}/${name}`, whole(answers[0])], [`${versionName(other, t)}/${name}`, whole(answers[1])]);
    if (answers[0] === answers[1]) vscode.window.setStatusBarMessage(t('Both versions write the same here.'), 5000);
  }

  async exportVersion(of: unknown): Promise<void> {
    const version = of instanceof VersionItem ? of.version : await this.#pick(t('Export which version?'), () => true, false);
    if (version === undefined || version === null) return;
    const [parent] = (await vscode.window.showOpenDialog({ canSelectFiles: false, canSelectFolders: true, openLabel: t('Export here'), title: t('Export version {0} in PEFT format', version) })) ?? [];
    if (parent === undefined) return;
    const folder = vscode.Uri.joinPath(parent, `hindsight-v${version}`).fsPath;
    await this.parts.connection.request(adapterExport, { workspace: this.parts.workspace, version, folder });
    void vscode.window.showInformationMessage(t('Version {0} is in {1}.', version, folder));
  }

  dispose(): void {
    clearTimeout(this.#settling);
    this.#trees.dispose();
    this.#panel.dispose();
    this.pages.dispose();
  }

  /** @returns null = the base model; undefined = nothing was picked */
  async #pick(title: string, fits: (version: LearningFacts['versions'][number]) => boolean = () => true, base = true): Promise<number | null | undefined> {
    const { versions } = this.#facts ?? (await this.refreshNow());
    const items: VersionPick[] = versions.filter(fits).map(({ version, state, reason }) => ({ version, label: t('Version {0}', version), description: versionState(state, t), detail: reason }));
    if (base) items.push({ version: null, label: t('Base model'), description: t('What Hindsight began with.') });
    if (items.length === 0) throw new Error(t('There is no such version yet.'));
    return (await vscode.window.showQuickPick(items, { title, matchOnDetail: true }))?.version;
  }
}
