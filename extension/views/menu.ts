// The status bar item's menu: what can be done now, in the words of the commands.
import * as vscode from 'vscode';
import type { Status } from '../../protocol/editor.ts';
import { COMMANDS } from './commandIds.ts';
import { count } from './statusText.ts';

interface Entry extends vscode.QuickPickItem {
  readonly command: string;
}

export async function showMenu(status: Status | undefined): Promise<void> {
  const picked = await vscode.window.showQuickPick(entries(status), { title: 'Hindsight', placeHolder: status?.warning ?? 'What would you like to do?' });
  if (picked !== undefined) await vscode.commands.executeCommand(picked.command);
}

function entries(status: Status | undefined): Entry[] {
  const always: Entry[] = [
    { label: '$(law) Choose What May Be Learned…', command: COMMANDS.chooseLearning },
    { label: '$(output) Show Log', command: COMMANDS.showLog },
  ];
  if (status === undefined) return always;
  const training: Entry =
    status.state === 'paused' ? { label: '$(debug-start) Resume Learning', command: COMMANDS.resumeLearning } : { label: '$(debug-pause) Pause Learning', command: COMMANDS.pauseLearning };
  return [
    { label: '$(book) Show Learning', description: count(status.pipe.steps, 'training step'), command: COMMANDS.showLearning },
    { label: '$(mortar-board) Learn Now', description: `${count(status.pipe.samplesReady, 'lesson')} waiting`, command: COMMANDS.learnNow },
    training,
    ...(status.adapter === null ? [] : [{ label: '$(discard) Roll Back', description: `version ${status.adapter} serves now`, command: COMMANDS.rollBack }]),
    status.remote === null
      ? { label: '$(remote) Attach Remote GPU…', command: COMMANDS.attachRemote }
      : { label: '$(remote) Detach Remote GPU', description: status.remote.address, command: COMMANDS.detachRemote },
    ...always,
  ];
}
