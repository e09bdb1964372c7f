// The commands of the palette and of the menu. Only these may open a popup: the person has just asked.
import * as vscode from 'vscode';
import { SIGNAL_CLASSES } from '../../protocol/consent.ts';
import { adapterRollback, trainingNow, trainingPause, trainingResume } from '../../protocol/editor.ts';
import { lesson } from '../../protocol/learning.ts';
import { toHindsightError } from '../../protocol/errors.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import type { Consent } from '../consent/consent.ts';
import type { OwnData } from '../consent/ownData.ts';
import { sayChoice } from '../consent/question.ts';
import type { RemoteEngines } from '../remote/remote.ts';
import { COMMANDS } from './commandIds.ts';
import type { LearningView } from './learning.ts';
import { showMenu } from './menu.ts';
import type { StatusBar } from './statusBar.ts';
import { t } from '../translate.ts';

/** Training on everything that waits can take long on a small machine. */
const LEARN_NOW_SECONDS = 1800;

/** Commands of other parts of the window, by their names. */
export type OtherActions = Readonly<Record<Exclude<keyof typeof COMMANDS, OwnCommand | 'showLog' | 'answerTool'>, (...args: unknown[]) => Promise<unknown>>>;

type OwnCommand = 'refreshLearning' | 'useVersion' | 'compareVersions' | 'exportVersion' | 'openLesson' | 'showStored' | 'showWouldStore' | 'exportStored' | 'forget' | 'showMenu' | 'showLearning' | 'learnNow' | 'pauseLearning' | 'resumeLearning' | 'rollBack' | 'chooseLearning' | 'attachRemote' | 'detachRemote';

export interface CommandPlace {
  readonly others: OtherActions;
  readonly workspace: string;
  readonly connection: DaemonConnection;
  readonly consent: Consent;
  readonly learning: LearningView;
  readonly ownData: OwnData;
  readonly statusBar: StatusBar;
  readonly remote: RemoteEngines;
  readonly refreshStatus: () => Promise<void>;
}

export function registerWindowCommands(place: CommandPlace): vscode.Disposable {
  const { connection, workspace } = place;
  const actions: Record<OwnCommand, (...args: unknown[]) => Promise<unknown>> & OtherActions = {
    ...place.others,
    showMenu: () => showMenu(place.statusBar.status),
    showLearning: () => place.learning.show(),
    refreshLearning: () => place.learning.refreshNow(),
    useVersion: (of) => place.learning.useVersion(of).then(place.refreshStatus),
    compareVersions: (of) => place.learning.compareVersions(of),
    exportVersion: (of) => place.learning.exportVersion(of),
    // Of a row of the tree, which is made of what the daemon told.
    openLesson: (of) => place.learning.openLesson(lesson.parse(of)),
    showStored: () => place.ownData.showStored(),
    showWouldStore: () => place.ownData.showWouldStore(),
    exportStored: () => place.ownData.export(),
    forget: (resource) => place.ownData.forget(resource).then(place.refreshStatus),
    learnNow: () => learnNow(place),
    pauseLearning: () => connection.request(trainingPause, {}).then(place.refreshStatus),
    resumeLearning: () => connection.request(trainingResume, {}).then(place.refreshStatus),
    rollBack: () => rollBack(connection, workspace).then(place.refreshStatus),
    chooseLearning: (...wanted) => chooseLearning(place.consent, wanted),
    attachRemote: () => place.remote.attach(),
    detachRemote: () => place.remote.detach(),
  };
  return vscode.Disposable.from(
    ...Object.entries(actions).map(([name, action]) => vscode.commands.registerCommand(COMMANDS[name as keyof typeof actions], (...args: unknown[]) => answering(() => action(...args)))),
  );
}

/** Says what went wrong to the person who asked, with its remedy. */
async function answering(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    void vscode.window.showErrorMessage(toHindsightError(error).message);
  }
}

/** @param wanted  classes ticked beside what was granted: a button names what it asks for */
async function chooseLearning(consent: Consent, wanted: readonly unknown[]): Promise<void> {
  if (await consent.choose(SIGNAL_CLASSES.filter((each) => wanted.includes(each)))) sayChoice(consent.choice);
}

async function learnNow(place: CommandPlace): Promise<void> {
  const { connection, workspace } = place;
  await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: t('Hindsight is learning') }, async () => {
    const { steps, promoted } = await connection.request(trainingNow, { workspace }, { deadline: LEARN_NOW_SECONDS });
    await place.refreshStatus();
    void vscode.window.showInformationMessage(t('Hindsight took training steps: {0}, and put new versions to work: {1}.', steps, promoted));
  });
}

async function rollBack(connection: DaemonConnection, workspace: string): Promise<void> {
  const { serving } = await connection.request(adapterRollback, { workspace });
  void vscode.window.showInformationMessage(serving === null ? t('Hindsight serves the base model again.') : t('Hindsight serves version {0} again.', serving));
}
