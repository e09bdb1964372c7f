// The VSIX on a clean profile: what is installed is whole without the repository around it, and the first
// suggestion comes within a minute of the first click.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { TEST_ENV } from '../driver/commands.ts';
import { HindsightCli } from '../hindsightCli.ts';
import { home, openNotifications, typeUntilGhostText } from './product.ts';
import { eventually, picture, user } from './user.ts';

const MOST_SECONDS = 60;

interface Findings {
  readonly ok: boolean;
  readonly findings: readonly { readonly check: string; readonly state: string; readonly says: string }[];
}

suite('installed from the VSIX', () => {
  test('it is the installed extension that runs', async () => {
    const extension = await eventually('the extension is active', () => {
      const found = vscode.extensions.getExtension('hindsight.hindsight');
      return found?.isActive === true ? found : undefined;
    }, 60_000);
    assert.match(path.basename(extension.extensionPath), /^hindsight\.hindsight-\d+\.\d+\.\d+/);
  });

  test(`the first suggestion comes within ${MOST_SECONDS} s of the first click`, async function () {
    this.timeout(180_000);
    // There is nothing to click before the question has come.
    await user.waitFor('[id="status.notifications"] .codicon-bell-dot', 60_000);
    const clicked = Date.now();
    await openNotifications();
    await user.clickText('Learn from this workspace');
    const document = await typeUntilGhostText('first.ts');
    const seconds = (Date.now() - clicked) / 1000;
    report(`first suggestion ${seconds.toFixed(1)} s after the first click, with the typing`);
    assert.ok(seconds < MOST_SECONDS, `${seconds} s`);
    const before = document.getText();
    await user.press('Tab');
    await eventually('the suggestion is in the document', () => document.getText().length > before.length || undefined);
  });

  test('the doctor finds nothing broken', async () => {
    const { extensionPath } = vscode.extensions.getExtension('hindsight.hindsight') ?? assert.fail('not installed');
    const { ok, findings } = JSON.parse(await new HindsightCli(extensionPath, home).run('doctor', '--json', '-')) as Findings;
    assert.deepEqual(findings.filter((each) => each.state === 'broken'), []);
    assert.equal(ok, true);
    assert.match(findings.find((each) => each.check === 'daemon')?.says ?? '', /^process \d+/);
  });

  test('its page is there, with its icon', async () => {
    await vscode.commands.executeCommand('extension.open', 'hindsight.hindsight');
    await user.waitFor('.extension-editor img.icon[src*="icon.png"]');
    await user.waitFor('.extension-editor .webview, .webview.ready');
    await user.screenshot(picture('installed.png'));
  });
});

function report(line: string): void {
  appendFileSync(process.env[TEST_ENV.output] ?? '', `    ${line}\n`);
}
