// The status bar item's menu: what can be done now, in the words of the commands.
import * as vscode from 'vscode';
import type { Status } from '../../protocol/editor.ts';
import { COMMANDS } from './commandIds.ts';
import { t } from '../translate.ts';
import { lessonsWaiting, trainingSteps } from './statusText.ts';

interface Entry extends vscode.QuickPickItem {
  readonly command: string;
}

export async function showMenu(status: Status | undefined): Promise<void> {
  const picked = await vscode.window.showQuickPick(entries(status), { title: 'Hindsight', placeHolder: status?.warning ?? t('What would you like to do?') });
  if (picked !== undefined) await vscode.commands.executeCommand(picked.command);
}

function entries(status: Status | undefined): Entry[] {
  const always: Entry[] = [
    { label: t('$(law) Choose What May Be Learned…'), command: COMMANDS.chooseLearning },
    { label: t('$(output) Show Log'), command: COMMANDS.showLog },
  ];
  if (status === undefined) return always;
  const training: Entry =
    status.state === 'paused' ? { label: t('$(debug-start) Resume Learning'), command: COMMANDS.resumeLearning } : { label: t('$(debug-pause) Pause Learning'), command: COMMANDS.pauseLearning };
  return [
    { label: t('$(book) Show Learning'), description: trainingSteps(status.pipe.steps), command: COMMANDS.showLearning },
    { label: t('$(mortar-board) Learn Now'), description: lessonsWaiting(status.pipe.samplesReady), command: COMMANDS.learnNow },
    training,
    ...(status.adapter === null ? [] : [{ label: t('$(discard) Roll Back'), description: t('version {0} serves now', status.adapter), command: COMMANDS.rollBack }]),
    status.remote === null
      ? { label: t('$(remote) Attach Remote GPU…'), command: COMMANDS.attachRemote }
      : { label: t('$(remote) Detach Remote GPU'), description: status.remote.address, command: COMMANDS.detachRemote },
    { label: t('$(eye) Show What Is Stored'), command: COMMANDS.showStored },
    { label: t('$(trash) Forget…'), command: COMMANDS.forget },
    ...always,
  ];
}
