// The main job in a real editor: consent, ghost text, Tab, what became of it in the journal, a killed daemon,
// a training step, and the new version under the agent.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { USUAL_CLASSES } from '../../../protocol/consent.ts';
import { plantedSecrets } from '../../../protocol/planted.fixture.ts';
import { signalsOf } from './journalFile.ts';
import { countPopups } from './popups.ts';
import { activationMs, cli, everyFile, home, kept, learnNow, noPopupCame, openNotifications, remember, remembered, say, STATUS_ITEM, statusBarShows, typeUntilGhostText, untilServing, workspaceUri } from './product.ts';
import { eventually, openFile, picture, user } from './user.ts';

/** A step needs this many lessons; a fifth of the files is held out, so more files than that are worked in. */
const LESSONS = 4;
const MOST_FILES = 14;

/** Under 300 ms is promised; a machine that also compiles and tests is given more. */
const ACTIVATION_MS = process.env['HINDSIGHT_FULL'] === '1' ? 300 : 1500;

suite('journey', () => {
  let acceptedTurn = '';
  let partialTurn = '';
  let popups: string[] = [];
  suiteSetup(() => {
    popups = countPopups();
  });

  test('nothing is recorded before the owner has chosen', async () => {
    await untilServing();
    await statusBarShows(/Hindsight/);
    const document = await openFile('before.ts', '');
    await user.waitFor('.monaco-editor.focused');
    await user.type('const beforeTheChoice = 1;');
    await eventually('the text is there', () => document.getText().includes('beforeTheChoice') || undefined);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(await cli.signals(), 0);
    assert.equal((await cli.turns()).length, 0);
    assert.equal((await cli.status(workspaceUri())).consent, 'unknown');
  });

  test('the question is asked beside the work; a no as the very first answer leaves nothing', async () => {
    await openNotifications();
    await user.screenshot(picture('consent.png'));
    await user.clickText('Do not learn');
    await eventually('the daemon knows', async () => ((await cli.status(workspaceUri())).consent === 'refused' ? true : undefined));
    const document = await openFile('refused.ts', '');
    await user.waitFor('.monaco-editor.focused');
    await user.type('const refusedAtOnce = 1;\nif (refusedAtOnce === ', 10);
    await eventually('the text is there', () => document.getText().endsWith('=== ') || undefined);
    // Longer than a suggestion takes, the recorder waits, and the daemon ticks.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.deepEqual([await cli.signals(), (await cli.turns()).length, kept().includes('refusedAtOnce')], [0, 0, false]);
    assert.deepEqual(readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => name.startsWith('adapters/')), []);
    assert.equal(everyFile(path.join(home, '../user')).some((name) => name.includes('/spool/')), false, 'nothing waits to be sent');
    // The question, unless it was asked before the counting began.
    assert.ok(popups.length <= 1 && popups.every((each) => each.startsWith('showInformationMessage May Hindsight learn')), popups.join());
    popups.length = 0;
    await user.press('Escape');
    await vscode.commands.executeCommand('workbench.action.revertAndCloseActiveEditor');
  });

  test('a yes that is chosen later is recorded', async () => {
    void vscode.commands.executeCommand('hindsight.chooseLearning', ...USUAL_CLASSES);
    await user.waitFor('.quick-input-widget .monaco-list-row >> text=Suggestions');
    await user.press('Enter');
    await eventually('the daemon knows', async () => ((await cli.status(workspaceUri())).consent === 'granted' ? true : undefined));
    assert.deepEqual(popups.splice(0), ['showQuickPick '], 'the choice was asked for by its command, and nothing else');
  });

  test(`it was activated within ${ACTIVATION_MS} ms, as the editor says`, async () => {
    const took = await activationMs();
    const log = everyFile(path.join(home, '../user')).find((name) => name.endsWith('/Hindsight.log')) ?? assert.fail('no log');
    say(`activated in ${took} ms, as the editor says; the window was open ${/activated in (\d+) ms/.exec(readFileSync(log, 'utf8'))?.[1]} ms after it was called`);
    assert.ok(took < ACTIVATION_MS, `${took} ms`);
  });

  test('ghost text, Tab, and the turn in the journal with its tokens and its version', async () => {
    const document = await typeUntilGhostText('accepted.ts');
    await user.screenshot(picture('ghost-text.png'));
    const before = document.getText();
    await user.press('Tab');
    await eventually('the ghost text is in the document', () => document.getText().length > before.length || undefined);
    const accepted = document.getText().slice(before.length);
    const { turn } = await eventually('the turn is in the journal', async () => (await cli.turns()).find((each) => each.turn.uri.endsWith('accepted.ts') && each.turn.shownText.endsWith(accepted)));
    acceptedTurn = turn.id;
    assert.ok(turn.promptIds.length > 0 && turn.responseIds.length > 0);
    assert.equal(turn.logprobs.length, turn.responseIds.length);
    assert.equal(turn.adapter, null, 'nothing was learned yet: the base model spoke');
    await noPopupCame();
  });

  test('a part of the ghost text, word by word', async () => {
    const document = await typeUntilGhostText('partial.ts');
    const before = document.getText();
    await user.press('Control+ArrowRight');
    const part = await eventually('a word is in the document', () => document.getText().slice(before.length) || undefined);
    await user.type(' ?? quagga;');
    await eventually('the rest is typed', () => document.getText().includes('quagga') || undefined);
    const { turn } = await eventually('its turn', async () =>
      // An offer that was typed into stands as the same turn: what was taken need not be its beginning.
      (await cli.turns()).find((each) => each.turn.uri.endsWith('partial.ts') && each.turn.shownText.includes(part) && !each.turn.shownText.endsWith(part)),
    );
    partialTurn = turn.id;
    assert.deepEqual(popups, [], 'work without a command opens nothing');
  });

  test('a daemon killed while typing loses no signal, and comes back by itself', async () => {
    const document = await openFile('killed.ts', '');
    await user.waitFor('.monaco-editor.focused');
    await user.type('const steady = 1;\n');
    await settledSignals();
    const changes = signalsOf('document.changed').length;
    const { pid } = (await cli.status(workspaceUri())).daemon;
    const events = await countingChanges(async () => {
      process.kill(pid, 'SIGKILL');
      await user.type('// typed while nobody was there\n', 15);
      await eventually('the text is there', () => document.getText().endsWith('nobody was there\n') || undefined);
    });
    await untilServing();
    assert.notEqual((await cli.status(workspaceUri())).daemon.pid, pid);
    await settledSignals();
    assert.ok(events > 20, `${events} events`);
    assert.equal(signalsOf('document.changed').length - changes, events, 'each change event is one signal in the journal, once');
    assert.deepEqual((await cli.verify()).problems, []);
    await noPopupCame();
    assert.deepEqual(popups, [], 'nor does a daemon that dies');
  });

  test('what the developer writes instead becomes lessons, a step, and a version that serves', async function () {
    this.timeout(400_000);
    const secrets = plantedSecrets(47).filter(({ secret }) => !secret.includes('\n')).slice(0, 10);
    for (let file = 0; file === 0 || (file < MOST_FILES && (await readyLessons()) < LESSONS); file += 1) {
      const document = await typeUntilGhostText(`lesson${file}.ts`, file);
      await user.type(`zebra${file} = quagga(${file});\n`);
      await eventually('it is typed', () => document.getText().includes(`quagga(${file});\n`) || undefined);
      // In what a suggestion is answered with, so in what is learned.
      const pasted = new vscode.WorkspaceEdit();
      pasted.insert(document.uri, document.positionAt(document.getText().length), secrets.map(({ text }) => `// ${text}\n`).join(''));
      assert.ok(await vscode.workspace.applyEdit(pasted));
      await eventually('the answer to the suggestion is in the journal', async () =>
        (await cli.turns()).some((each) => each.turn.uri.endsWith(`lesson${file}.ts`) && each.nextState !== null) || undefined,
      );
    }
    assert.ok((await readyLessons()) >= LESSONS, `${await readyLessons()} lessons`);
    assert.ok((await cli.turns()).some((each) => each.nextState?.outcome === 'diverged'), 'what was typed instead is seen as a rejection');
    await learnNow();
    await statusBarShows(/Hindsight v\d+/, 240_000);
    const { adapter, pipe } = await cli.status(workspaceUri());
    assert.ok(adapter !== null && pipe.steps >= 1 && pipe.samplesConsumed >= LESSONS);
    assert.ok(everyFile(path.join(home, 'adapters')).some((name) => path.basename(name) === 'receipt.json'), 'a version has its receipt');
    const bytes = kept();
    assert.ok(bytes.includes('quagga(0)'));
    for (const { kind, secret } of secrets) assert.ok(!bytes.includes(secret), `${kind} is on disk`);
    await user.click(STATUS_ITEM);
    await user.waitFor('.quick-input-widget .quick-input-list .monaco-list-row');
    await user.screenshot(picture('status-bar.png'));
    await user.press('Escape');

    await typeUntilGhostText('after.ts');
    const next = await eventually('the next suggestion is of the new version', async () =>
      (await cli.turns()).find((each) => each.turn.uri.endsWith('after.ts') && each.turn.adapter === adapter),
    );
    remember({ session: next.turn.session, acceptedTurn, partialTurn, version: adapter, signals: 0 });
  });

  test('what is typed with the daemon just killed waits on disk when the window closes', async () => {
    const document = await openFile('closing.ts', '');
    await user.waitFor('.monaco-editor.focused');
    const settled = await settledSignals();
    const events = await countingChanges(async () => {
      process.kill((await cli.status(workspaceUri())).daemon.pid, 'SIGKILL');
      await user.type('// the last words before the window closes', 5);
      await eventually('the text is there', () => document.getText().includes('closes') || undefined);
    });
    assert.ok(events > 30, `${events} events`);
    // The next window finds these in the journal: nothing but the spool can have brought them there.
    remember({ ...remembered(), signals: settled + events });
  });
});

async function readyLessons(): Promise<number> {
  return (await cli.status(workspaceUri())).pipe.samplesReady;
}

/** How many change events of the workspace's files came meanwhile. */
async function countingChanges(work: () => Promise<void>): Promise<number> {
  let events = 0;
  const counting = vscode.workspace.onDidChangeTextDocument((event) => {
    if (event.contentChanges.length > 0 && event.document.uri.toString().startsWith(workspaceUri())) events += 1;
  });
  try {
    await work();
    return events;
  } finally {
    counting.dispose();
  }
}

/** The number of signals once it no longer grows. */
async function settledSignals(): Promise<number> {
  let last = -1;
  return eventually('all signals are delivered', async () => {
    await new Promise((resolve) => setTimeout(resolve, 700));
    const now = await cli.signals();
    if (now === last) return now;
    last = now;
    return undefined;
  }, 30_000);
}
