// The next window, and a daemon that was killed in between: what was under review is so still, and the decision reaches its turn.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { cli, noPopupCame, untilServing } from './product.ts';
import { eventually, user, workspaceFolder } from './user.ts';

suite('the agent after a restart', () => {
  test('a hunk of the window before is changed and kept by key, and its turn has its next state', async () => {
    await untilServing();
    const uri = vscode.Uri.joinPath(workspaceFolder().uri, 'later.js');
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document);
    await user.waitFor('.codelens-decoration >> text=Revert');
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Home');
    await user.press('End');
    await user.type(' // sure');
    await eventually('it is typed', () => document.getText().includes('// sure') || undefined);
    await user.press('Control+Alt+Enter');
    await eventually('nothing is left to review', async () => {
      const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>('vscode.executeCodeLensProvider', uri);
      return lenses.length === 0 || undefined;
    });
    const turn = await eventually('the turn is closed', async () => (await cli.turns()).find((each) => each.turn.uri.endsWith('later.js') && each.nextState !== null));
    assert.equal(turn.nextState?.outcome, 'changed');
    assert.equal(document.getText(), 'export const answer = 42; // sure\n');
    await noPopupCame();
  });

  test('a request is taken back as a whole, and what stood there is kept', async () => {
    await vscode.commands.executeCommand('workbench.action.quickOpen', '>Hindsight: Go Back to Before a Request…');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Go Back to Before a Request');
    await user.press('Enter');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=make the test pass');
    await user.type('make the test pass');
    await user.press('Enter');
    const total = vscode.Uri.joinPath(workspaceFolder().uri, 'total.js');
    const text = async (): Promise<string> => Buffer.from(await vscode.workspace.fs.readFile(total)).toString();
    await eventually('the file is as it was before', async () => ((await text()).includes('sum -= price') ? true : undefined));
    await vscode.commands.executeCommand('workbench.action.quickOpen', '>Hindsight: Go Back to Before a Request…');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Go Back to Before a Request');
    await user.press('Enter');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Before going back: make the test pass');
    await user.press('Escape');
  });
});
