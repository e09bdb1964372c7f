// The question itself: a notification beside the work, never a dialog in front of it; and the choice class by class,
// for whoever wants to make it.
import * as vscode from 'vscode';
import { SIGNAL_CLASSES, USUAL_CLASSES, type SignalClass } from '../../protocol/consent.ts';
import type { ConsentChoice } from '../../protocol/editor.ts';
import { UNCHOSEN, type Answer } from './consent.ts';

interface ClassItem extends vscode.QuickPickItem {
  readonly of: SignalClass;
}

export async function askForConsent(folder: vscode.WorkspaceFolder): Promise<Answer | undefined> {
  const yes = vscode.l10n.t('Learn from this workspace');
  const choose = vscode.l10n.t('Choose…');
  const no = vscode.l10n.t('Do not learn');
  const said = await vscode.window.showInformationMessage(
    vscode.l10n.t(
      'May Hindsight learn from your work in "{0}"? It records which suggestions and edits you keep, change or undo, and what tests and commits say of them, and trains on this machine; nothing is sent anywhere. Terminals and conversations are left out unless you choose them. Until you choose, nothing is recorded.',
      folder.name,
    ),
    yes,
    choose,
    no,
  );
  if (said === choose) return pickClasses(folder, UNCHOSEN);
  if (said === yes) return { state: 'granted', classes: [...USUAL_CLASSES] };
  return said === no ? { state: 'refused' } : undefined;
}

/** What is ticked may be recorded; with nothing ticked, nothing is. */
export async function pickClasses(folder: vscode.WorkspaceFolder, now: ConsentChoice, wanted: readonly SignalClass[] = []): Promise<Answer | undefined> {
  const ticked = [...(now.state === 'unknown' ? USUAL_CLASSES : now.classes), ...wanted];
  const items = SIGNAL_CLASSES.map((of): ClassItem => ({ of, ...describe(of), picked: ticked.includes(of) }));
  const picked = await vscode.window.showQuickPick(items, {
    canPickMany: true,
    ignoreFocusOut: true,
    matchOnDescription: true,
    title: vscode.l10n.t('What may Hindsight learn from in "{0}"?', folder.name),
    placeHolder: vscode.l10n.t('Recorded on this machine only. Untick everything to record nothing.'),
  });
  if (picked === undefined) return undefined;
  return picked.length === 0 ? { state: 'refused' } : { state: 'granted', classes: picked.map(({ of }) => of) };
}

/** In the words of the walkthrough and of docs/privacy.md. */
export function describe(of: SignalClass): { label: string; description: string } {
  const words: Record<SignalClass, readonly [string, string]> = {
    suggestions: [vscode.l10n.t('Suggestions'), vscode.l10n.t('what you accept, change and type instead, in files of this folder')],
    edits: [vscode.l10n.t('Edits'), vscode.l10n.t('edits you asked for, and each hunk that you keep, change or revert')],
    tests: [vscode.l10n.t('Tests'), vscode.l10n.t('which tests pass and fail, and the messages of those that fail')],
    tasks: [vscode.l10n.t('Tasks'), vscode.l10n.t('names and exit codes of tasks')],
    debug: [vscode.l10n.t('Debugging'), vscode.l10n.t('exit codes, and the place of an exception')],
    diagnostics: [vscode.l10n.t('Problems'), vscode.l10n.t('errors and warnings that an edit brings or takes away')],
    git: [vscode.l10n.t('Commits'), vscode.l10n.t('whether suggestions went into a commit, or were reverted')],
    notebooks: [vscode.l10n.t('Notebooks'), vscode.l10n.t('whether a cell ran')],
    terminal: [vscode.l10n.t('Your terminals'), vscode.l10n.t('commands you run, their exit codes and the ends of their output')],
    chat: [vscode.l10n.t('Conversations'), vscode.l10n.t('what you ask, what it answers and what its tools find')],
    browser: [vscode.l10n.t('Pages'), vscode.l10n.t('what the agent reads in its browser')],
  };
  const [label, description] = words[of];
  return { label, description };
}

/** In one line of the status bar: what was chosen holds now. */
export function sayChoice({ state, classes }: ConsentChoice): void {
  const names = classes.map((of) => describe(of).label).join(', ');
  vscode.window.setStatusBarMessage(state === 'granted' ? vscode.l10n.t('$(check) Hindsight learns from: {0}', names) : vscode.l10n.t('$(check) Hindsight records nothing here'), 5000);
}
