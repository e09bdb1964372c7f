// The same workspace in a new window, after a daemon killed with -9: nothing is lost, nothing is asked again.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { cli, IN_PAGE, noPopupCame, remembered, statusBarShows, typeUntilGhostText, untilServing, workspaceUri } from './product.ts';
import { eventually, user } from './user.ts';

suite('after the restart', () => {
  test('the owner’s choice and the version are still there', async () => {
    await untilServing();
    const { version } = remembered();
    await statusBarShows(new RegExp(`Hindsight v${version}`));
    assert.equal((await cli.status(workspaceUri())).consent, 'granted');
    await noPopupCame();
  });

  test('every signal of the first window is in the journal, and what became of the accepted text', async () => {
    const { signals, acceptedTurn, partialTurn } = remembered();
    const found = await eventually('the signals of the first window', async () => {
      const now = await cli.signals();
      return now >= signals ? now : undefined;
    });
    // This window's own are its start and the few documents that it reopened.
    assert.ok(found <= signals + 25, `${found} signals, ${signals} expected: some are there twice`);
    assert.deepEqual((await cli.verify()).problems, []);
    const accepted = await eventually('the accepted turn is closed', async () => (await cli.turns()).find((each) => each.turn.id === acceptedTurn && each.nextState !== null), 30_000);
    assert.equal(accepted.nextState?.outcome, 'accepted');
    assert.equal(accepted.nextState?.acceptedChars, accepted.turn.shownText.length);
    const marks = accepted.nextState?.survival ?? [];
    assert.deepEqual(marks[0], [5, 1], `survival ${JSON.stringify(marks)}`);
    const partial = (await cli.turns()).find((each) => each.turn.id === partialTurn);
    assert.equal(partial?.nextState?.outcome, 'partial');
    assert.ok(partial.nextState.acceptedChars > 0 && partial.nextState.acceptedChars < partial.turn.shownText.length);
  });

  test('the version serves on, and can be read about and rolled back', async () => {
    const { version } = remembered();
    await typeUntilGhostText('restarted.ts', 2);
    await eventually('a suggestion of the version', async () => (await cli.turns()).find((each) => each.turn.uri.endsWith('restarted.ts') && each.turn.adapter === version));
    await vscode.commands.executeCommand('hindsight.showLearning');
    await user.waitFor(`${IN_PAGE}table >> text=/^${version}$/`);
    await vscode.commands.executeCommand('hindsight.rollBack');
    await eventually('the base model serves again', async () => ((await cli.status(workspaceUri())).adapter === null ? true : undefined));
    await eventually('the status bar says so', async () => statusBarShows(/Hindsight(?! v)/, 1000).then(() => true));
  });
});
