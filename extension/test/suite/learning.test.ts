// What was learned, in view: the page and the trees, a version put back to work, two side by side; and what is stored:
// seen, forgotten, and nothing of it once the owner says no.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { cli, heapAfterCollection, IN_PAGE, kept, noPopupCame, remembered, statusBarShows, typeUntilGhostText, untilServing, workspaceUri } from './product.ts';
import { eventually, openFile, picture, user } from './user.ts';

const REFRESHES = 1000;
const MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
const MARK = 'okapiNumbat77';

const answered = (file: string): Promise<unknown> =>
  eventually(`${file} is answered`, async () => (await cli.turns()).some((each) => each.turn.uri.endsWith(file) && each.nextState !== null && each.verdicts.length > 0) || undefined, 60_000);

suite('what was learned, and what is stored', () => {
  test('a version that was rolled back is put back to work, and answers', async function () {
    this.timeout(240_000);
    await untilServing();
    // The window's own connection comes a moment later than the daemon.
    await statusBarShows(/Hindsight .*cpu/);
    const { version } = remembered();
    await vscode.commands.executeCommand('hindsight.useVersion', version);
    await statusBarShows(new RegExp(`Hindsight v${version} `));
    for (const [index, file] of ['kept1.ts', 'kept2.ts'].entries()) {
      const document = await typeUntilGhostText(file, index);
      const before = document.getText();
      await user.press('Tab');
      await eventually('it is accepted', () => document.getText().length > before.length || undefined);
      await user.press('Enter');
    }
    for (const file of ['kept1.ts', 'kept2.ts']) await answered(file);
    await typeUntilGhostText('hostile.ts', 3);
    await user.type(`"${MARKUP}";\n`, 5);
    await answered('hostile.ts');
    assert.ok((await cli.turns()).some(({ turn }) => turn.uri.endsWith('hostile.ts') && turn.adapter === version));
  });

  test('the page shows versions, curves and lessons; markup in a lesson is text', async function () {
    this.timeout(120_000);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('hindsight.versions.focus');
    await vscode.commands.executeCommand('hindsight.showLearning');
    await user.waitFor(`${IN_PAGE}h1 >> text=What Hindsight learned`);
    await user.waitFor(`${IN_PAGE}table th >> text=/^${remembered().version}$/`);
    await user.waitFor(`${IN_PAGE}svg[role=img] circle`);
    await user.waitFor(`${IN_PAGE}article pre >> text=onerror`);
    assert.equal(await user.count(`${IN_PAGE}main :is(img, script)`), 0, 'markup became an element');
    assert.equal(await user.count(`${IN_PAGE}title >> text=/^1$/`), 0, 'markup ran');
    await user.waitFor('.monaco-list-row[aria-label*="Version"]');
    await user.screenshot(picture('learning.png'));
  });

  test('it is drawn in the theme’s colours, high contrast included', async () => {
    const theme = vscode.workspace.getConfiguration('workbench');
    const before = theme.get<string>('colorTheme');
    try {
      for (const [name, body] of [['Default Light Modern', 'vscode-light'], ['Default High Contrast', 'vscode-high-contrast']] as const) {
        await theme.update('colorTheme', name, vscode.ConfigurationTarget.Global);
        await user.waitFor(`${IN_PAGE}body.${body}`);
        if (body === 'vscode-high-contrast') await user.screenshot(picture('learning-high-contrast.png'));
      }
    } finally {
      await theme.update('colorTheme', before, vscode.ConfigurationTarget.Global);
    }
  });

  test(`the page and the window hold no more after ${REFRESHES} refreshes`, async function () {
    this.timeout(240_000);
    const refresh = async (times: number): Promise<void> => {
      for (let each = 0; each < times; each += 1) await vscode.commands.executeCommand('hindsight.refreshLearning');
    };
    await refresh(100);
    const [heap, nodes] = [await heapAfterCollection(), await user.count(`${IN_PAGE}*`)];
    await refresh(REFRESHES);
    await eventually('the page is as large as before', async () => (await user.count(`${IN_PAGE}*`)) === nodes || undefined);
    const growth = ((await heapAfterCollection()) - heap) / 1024 / 1024;
    assert.ok(growth < 8, `the extension host's heap grew by ${growth.toFixed(1)} MB`);
  });

  test('a version is compared with the base at the same place, and rolled back', async function () {
    this.timeout(180_000);
    const { version } = remembered();
    await openFile('compared.ts', 'export function add(left: number, right: number): number {\n  return ');
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+End');
    void vscode.commands.executeCommand('hindsight.compareVersions');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Version');
    await user.press('Enter');
    await user.waitFor('.quick-input-widget .quick-input-title >> text=…with which?');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Base model');
    await user.type('Base model');
    await user.press('Enter');
    const tab = await eventually('the two stand side by side', () => {
      const shown = vscode.window.tabGroups.activeTabGroup.activeTab;
      return shown?.input instanceof vscode.TabInputTextDiff ? shown : undefined;
    }, 60_000);
    assert.match(tab.label, new RegExp(`version ${version} ↔ base model`));
    await vscode.commands.executeCommand('hindsight.rollBack');
    await statusBarShows(/Hindsight (?!v)/);
  });

  test('what is stored is shown, secrets are masked in it, and a file is forgotten without trace', async function () {
    this.timeout(240_000);
    const document = await typeUntilGhostText('private.ts', 3);
    await user.type(`${MARK}();\n`);
    await answered('private.ts');
    assert.ok(kept().includes(MARK), 'it was stored before it is forgotten');
    await vscode.commands.executeCommand('hindsight.showStored');
    const shown = vscode.window.activeTextEditor?.document.getText() ?? '';
    assert.ok((JSON.parse(shown) as { kind: string }[]).some(({ kind }) => kind === 'verdict') && shown.includes(MARK));
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');

    void vscode.commands.executeCommand('hindsight.forget', document.uri);
    await user.waitFor('.quick-input-widget .quick-input-title >> text=private.ts');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Forget it for good');
    await user.screenshot(picture('forget.png'));
    await user.type('for good');
    await user.press('Enter');
    await eventually('nothing of it is on disk', () => !kept().includes(MARK) || undefined, 60_000);
    assert.equal((await cli.turns()).some(({ turn }) => turn.uri.endsWith('private.ts')), false);
    assert.deepEqual((await cli.verify()).problems, []);
  });

  test('once the owner says no, nothing is written any more', async function () {
    this.timeout(180_000);
    // The answer to the command before has been read.
    await vscode.commands.executeCommand('notifications.clearAll');
    void vscode.commands.executeCommand('hindsight.chooseLearning');
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Suggestions');
    await user.screenshot(picture('choose.png'));
    for (const ticked of ['Suggestions', 'Edits', 'Tests', 'Tasks', 'Debugging', 'Problems', 'Commits', 'Notebooks']) await user.click(`.quick-input-widget .monaco-list-row[aria-label^="${ticked},"]`);
    await user.waitFor('.quick-input-widget .quick-input-count >> text=0 Selected');
    await user.press('Enter');
    await eventually('the daemon knows', async () => ((await cli.status(workspaceUri())).consent === 'refused' ? true : undefined));
    const before = await cli.signals();
    const document = await openFile('refused.ts', '');
    await user.waitFor('.monaco-editor.focused');
    await user.type(`const refused = ${MARK}Refused;\n`);
    await eventually('it is typed', () => document.getText().includes('Refused') || undefined);
    // Longer than the recorder waits, and than the daemon ticks.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(await cli.signals(), before);
    assert.equal(kept().includes(`${MARK}Refused`), false);
    await noPopupCame();
  });
});
