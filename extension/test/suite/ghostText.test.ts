// Where and when ghost text does not come by itself: in places that its user excepted, while it is snoozed, and after many that nobody wanted.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { GHOST_TEXT, isThere, noPopupCame, STARTS, statusBarShows, typeUntilGhostText, typeUntilSpokenTo } from './product.ts';
import { eventually, openFile, user } from './user.ts';

/** Much longer than a suggestion takes. */
const PATIENCE_MS = 2500;
/** As the daemon has it: so many in a row, each on a line of its own (daemon/agent/completion/pace.ts). */
const QUIET_AFTER = 20;
const SHORT = ['return ', 'if (', 'for (', 'const ', 'import ', 'export ', 'throw ', 'await '];
/** Each another one: what is written again and again is what the model suggests next. */
const OTHERS = 'zebra quagga okapi numbat ibex dugong gaur hyrax jerboa kudu lemur margay nyala oryx potoo rhea serval tapir urial vicuna'.split(' ');

suite('ghost text holds back', () => {
  const settings = vscode.workspace.getConfiguration('hindsight', { languageId: 'typescript' });
  const set = (name: string, value: boolean | undefined): Thenable<void> => settings.update(name, value, vscode.ConfigurationTarget.Global, true);
  const adapt = (on: boolean): Thenable<void> => vscode.workspace.getConfiguration('hindsight').update('completions.adaptive', on, vscode.ConfigurationTarget.Global);

  for (const [setting, starts] of Object.entries({
    inComments: ['// Returns the name of the file and the number of ', '// Adds ', '// The ', '/** '],
    inStrings: ["import * as path from '", "const { name } = require('", "throw new Error('", "console.log('"],
  })) {
    test(`with ${setting} off for a language it does not come there, and still comes elsewhere`, async () => {
      await openFile(`${setting}.ts`, '');
      await user.waitFor('.monaco-editor.focused');
      const start = await typeUntilSpokenTo(starts);
      await set(`completions.${setting}`, false);
      try {
        assert.equal(await comesAgain(start), false);
        // Whatever was open ends with its line; a string does so, too.
        await user.press('Control+Home');
        await user.press('Enter');
        await user.press('ArrowUp');
        await typeUntilSpokenTo(STARTS);
      } finally {
        await set(`completions.${setting}`, undefined);
      }
      await user.press('Control+End');
      assert.ok(await comesAgain(start));
      await vscode.window.activeTextEditor?.document.save();
    });
  }

  test('while the editor’s own snooze holds it does not come', async () => {
    const document = await typeUntilGhostText('snoozed.ts');
    const start = document.getText();
    const minutes = 5;
    await vscode.commands.executeCommand('editor.action.inlineSuggest.snooze', minutes);
    try {
      assert.equal(await comesAgain(start), false);
    } finally {
      await vscode.commands.executeCommand('editor.action.inlineSuggest.cancelSnooze');
    }
    await document.save();
    // In a document that was open meanwhile the editor asks again only when it is told to.
    await (await typeUntilGhostText('awake.ts')).save();
  });

  test(`after ${QUIET_AFTER} in a row that were written over it comes only when it is asked for, until one is taken`, async function () {
    this.timeout(180_000);
    await adapt(true);
    try {
      const document = await openFile('quiet.ts', '');
      await user.waitFor('.monaco-editor.focused');
      for (let line = 0, rejected = 0; rejected < QUIET_AFTER; line += 1) {
        assert.ok(line < 3 * QUIET_AFTER, 'the model says too little');
        await user.type(SHORT[line % SHORT.length] ?? '', 0);
        const came = await comesWhenAsked();
        await user.type(`${OTHERS[rejected] ?? ''};\n`, 0);
        if (came) rejected += 1;
      }
      await statusBarShows(/Hindsight .*quiet/);
      let start = '';
      for (const each of STARTS) {
        start = each;
        await user.type(`\n${start}`, 0);
        if (await comesWhenAsked()) break;
      }
      assert.equal(await comesAgain(start), false);
      assert.ok(await comesWhenAsked());
      const { length } = document.getText();
      await user.press('Tab');
      await eventually('it is taken', () => document.getText().length > length || undefined);
      await eventually('the status bar says no more that it is quiet', async () => statusBarShows(/Hindsight(?!.*quiet)/, 1000).then(() => true));
      await user.press('Enter');
      await typeUntilSpokenTo(STARTS);
      await document.save();
    } finally {
      await adapt(false);
    }
    await noPopupCame();
  });
});

/** Where it came before: whether it does, when the last key is pressed again. */
async function comesAgain(start: string): Promise<boolean> {
  await user.press('Escape');
  await user.press('Backspace');
  await user.type(start.slice(-1), 0);
  return isThere(GHOST_TEXT, PATIENCE_MS);
}

async function comesWhenAsked(): Promise<boolean> {
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
  return isThere(GHOST_TEXT, PATIENCE_MS);
}
