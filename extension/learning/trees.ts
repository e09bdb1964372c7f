// The native views: state and queue, versions, lessons.
import * as vscode from 'vscode';
import type { Status } from '../../protocol/editor.ts';
import type { ExplainedVersion, Lesson } from '../../protocol/learning.ts';
import { COMMANDS } from '../views/commandIds.ts';
import type { LearningFacts } from './pageModel.ts';
import { fileName, lessonState, outcomeText, queueLines, stateWord, versionName, versionState } from './words.ts';
import { t } from '../translate.ts';

/** A list that is made anew from the facts whenever they change. */
class Rows implements vscode.TreeDataProvider<vscode.TreeItem>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #view: vscode.TreeView<vscode.TreeItem>;
  #rows: readonly vscode.TreeItem[] = [];

  constructor(id: string, seen: () => void) {
    this.#view = vscode.window.createTreeView(id, { treeDataProvider: this });
    this.#view.onDidChangeVisibility(({ visible }) => visible && seen());
  }

  get isVisible(): boolean {
    return this.#view.visible;
  }

  set(rows: readonly vscode.TreeItem[]): void {
    this.#rows = rows;
    this.#changed.fire(undefined);
  }

  getTreeItem(row: vscode.TreeItem): vscode.TreeItem {
    return row;
  }

  getChildren(parent?: vscode.TreeItem): vscode.TreeItem[] {
    return parent === undefined ? [...this.#rows] : [];
  }

  dispose(): void {
    this.#view.dispose();
    this.#changed.dispose();
  }
}

export class LearningTrees implements vscode.Disposable {
  readonly #state: Rows;
  readonly #versions: Rows;
  readonly #lessons: Rows;

  /** @param seen  one of them came into view */
  constructor(seen: () => void) {
    this.#state = new Rows('hindsight.state', seen);
    this.#versions = new Rows('hindsight.versions', seen);
    this.#lessons = new Rows('hindsight.lessons', seen);
  }

  get areVisible(): boolean {
    return this.#versions.isVisible || this.#lessons.isVisible;
  }

  setStatus(status: Status | undefined): void {
    this.#state.set(status === undefined ? [row(t('The daemon is away.'), 'debug-disconnect')] : stateRows(status));
  }

  setFacts({ serving, versions, lessons }: LearningFacts): void {
    this.#versions.set([...versions.map(versionRow), baseRow(serving)]);
    this.#lessons.set(lessons.map(lessonRow));
  }

  dispose(): void {
    for (const each of [this.#state, this.#versions, this.#lessons]) each.dispose();
  }
}

function row(label: string, icon: string, description = ''): vscode.TreeItem {
  const made = new vscode.TreeItem(label);
  made.iconPath = new vscode.ThemeIcon(icon);
  made.description = description;
  made.accessibilityInformation = { label: description === '' ? label : `${label}: ${description}` };
  return made;
}

const STATE_ICONS: Record<Status['state'], string> = { starting: 'loading', serving: 'sparkle', learning: 'mortar-board', paused: 'debug-pause', offline: 'debug-disconnect' };

function stateRows(status: Status): vscode.TreeItem[] {
  const { state, model, adapter, warning } = status;
  return [
    row(stateWord(state, t), STATE_ICONS[state], versionName(adapter, t)),
    ...(model === null ? [] : [row(model.name, 'chip', model.device)]),
    ...(warning === null ? [] : [row(warning, 'warning')]),
    ...queueLines(status, t).map(([label, count]) => row(label, 'circle-small', String(count))),
  ];
}

const VERSION_ICONS: Record<ExplainedVersion['state'], string> = { candidate: 'watch', serving: 'pass-filled', retired: 'history', rejected: 'circle-slash', rolledBack: 'discard', quarantined: 'shield' };
/** What can be put under the agent. */
const PROMOTED: readonly ExplainedVersion['state'][] = ['serving', 'retired', 'rolledBack'];

export class VersionItem extends vscode.TreeItem {
  constructor(readonly version: number | null, label: string) {
    super(label);
  }
}

function versionRow({ version, state, reason, why }: ExplainedVersion): VersionItem {
  const made = new VersionItem(version, t('Version {0}', version));
  made.iconPath = new vscode.ThemeIcon(VERSION_ICONS[state]);
  made.description = `${versionState(state, t)} · ${reason}`;
  made.tooltip = why.join('\n\n');
  made.contextValue = PROMOTED.includes(state) && state !== 'serving' ? 'version.promoted' : `version.${state}`;
  made.accessibilityInformation = { label: `${t('Version {0}', version)}, ${made.description}` };
  return made;
}

function baseRow(serving: number | null): VersionItem {
  const made = new VersionItem(null, t('Base model'));
  made.iconPath = new vscode.ThemeIcon(serving === null ? 'pass-filled' : 'package');
  made.description = serving === null ? t('serves') : '';
  made.contextValue = serving === null ? 'base.serving' : 'base';
  return made;
}

function lessonRow(lesson: Lesson): vscode.TreeItem {
  const { uri, score, evidence, offered } = lesson;
  const made = new vscode.TreeItem(offered.trim().split('\n')[0] || fileName(uri, t));
  const good = score !== null && score > 0.05;
  const bad = score !== null && score < -0.05;
  made.iconPath = new vscode.ThemeIcon(good ? 'thumbsup' : bad ? 'thumbsdown' : 'circle-outline', new vscode.ThemeColor(good ? 'charts.green' : bad ? 'charts.red' : 'foreground'));
  made.description = `${outcomeText(lesson, t)} · ${fileName(uri, t)}`;
  made.tooltip = [...evidence, lessonState(lesson, t)].join('\n\n');
  made.accessibilityInformation = { label: `${String(made.label)}, ${made.description}, ${lessonState(lesson, t)}` };
  made.command = { command: COMMANDS.openLesson, title: t('Open'), arguments: [lesson] };
  return made;
}
