// In a workspace that is not trusted nothing is started, read or recorded.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { eventually, goToEndOfLine, openFile, user } from './user.ts';

suite('untrusted workspace', () => {
  test('no daemon, no status bar item, no command but the log', async () => {
    assert.equal(vscode.workspace.isTrusted, false);
    await eventually('the extension is active', () => vscode.extensions.getExtension('hindsight.hindsight')?.isActive || undefined);
    const document = await openFile('untrusted.ts', '\n');
    await goToEndOfLine(1);
    await user.type('const typed = 1;');
    await eventually('the text is there', () => document.getText().includes('typed') || undefined);
    // Longer than a start of the daemon takes.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const home = process.env['HINDSIGHT_HOME'];
    assert.ok(home !== undefined && home !== '');
    assert.equal(existsSync(home), false, 'nothing of Hindsight is on disk');
    const commands = await vscode.commands.getCommands(true);
    assert.ok(commands.includes('hindsight.showLog'));
    assert.ok(!commands.includes('hindsight.learnNow') && !commands.includes('hindsight.accepted'));
  });
});
