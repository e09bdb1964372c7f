// A remote engine in a real window: attach by the palette, be served and taught there, lose it, get it back, detach.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cli, engineFile, learnFromWorkspace, learnNow, statusBarShows, STATUS_BAR, typeUntilGhostText, workspaceUri } from './product.ts';
import { eventually, picture, user } from './user.ts';

const LESSONS = 4;
const MOST_FILES = 10;
const ROW = '.quick-input-widget .quick-input-list .monaco-list-row';

const engine = JSON.parse(readFileSync(engineFile, 'utf8')) as { line: string; pid: number };

async function palette(command: string): Promise<void> {
  await user.press('F1');
  await user.waitFor(ROW);
  await user.type(command, 10);
  await user.waitFor(`${ROW}[aria-label*="${command}"]`);
  await user.press('Enter');
}

/** Ghost text, and the version that wrote it. */
async function suggestion(file: string, first = 0): Promise<number | null> {
  await typeUntilGhostText(file, first);
  return (await eventually('its turn is in the journal', async () => (await cli.turns()).find(({ turn }) => turn.uri.endsWith(file)))).turn.adapter;
}

suite('remote engine', () => {
  let version: number | null = null;

  test('a pasted line is checked, looked at, and sends nothing before one confirmation', async () => {
    await learnFromWorkspace();
    await palette('Attach Remote GPU');
    const input = '.quick-input-widget input[type="password"]';
    await user.waitFor(input);
    await user.type('hindsight://nowhere', 0);
    await eventually('what is wrong with the line', async () => /pairing line/i.test(await user.read('.quick-input-widget .quick-input-message')) || undefined);
    await user.press('Control+A');
    await user.type(engine.line, 0);
    await user.press('Enter');
    await user.waitFor(`${ROW}[aria-label*="seed"][aria-label*="cpu at 127.0.0.1"]`, 60_000);
    await user.press('Enter');
    await user.waitFor(`${ROW}[aria-label*="Send and attach"]`);
    await user.screenshot(picture('attach-remote.png'));
    assert.equal((await cli.status(workspaceUri())).remote, null);
    await user.clickText('Send and attach');
    await statusBarShows(/Hindsight · seed on cpu/, 60_000);
    assert.equal((await cli.status(workspaceUri())).remote?.link, 'up');
    await statusBarShows(/seed on cpu, \d+ ms/);
  });

  test('it serves and trains this workspace, and its version is under the agent', async function () {
    this.timeout(400_000);
    for (let file = 0; file < MOST_FILES && (await cli.status(workspaceUri())).pipe.samplesReady < LESSONS; file += 1) {
      await suggestion(`lesson${file}.ts`, file);
      await user.type(`zebra${file} = quagga(${file});\n`);
      await eventually('the answer to it is in the journal', async () => (await cli.turns()).some(({ turn, nextState }) => turn.uri.endsWith(`lesson${file}.ts`) && nextState !== null) || undefined);
    }
    await learnNow();
    await statusBarShows(/Hindsight v\d+ · seed on cpu, \d+ ms/, 240_000);
    const status = await cli.status(workspaceUri());
    assert.ok(status.pipe.steps >= 1);
    assert.equal(status.remote?.train, 'remote');
    version = status.adapter;
    assert.equal(await suggestion('taught.ts'), version);
    await user.press('Escape');
    await user.screenshot(picture('status-bar-remote.png'), STATUS_BAR);
  });

  test('it is away: this machine serves the same version, and the status bar says so', async () => {
    process.kill(engine.pid, 'SIGSTOP');
    await statusBarShows(/Hindsight v\d+ · remote is away/, 60_000);
    assert.equal(await suggestion('away.ts', 2), version);
  });

  test('it is back, and serves again without a word', async () => {
    process.kill(engine.pid, 'SIGCONT');
    await statusBarShows(/Hindsight v\d+ · seed on cpu, \d+ ms/, 60_000);
    assert.equal(await suggestion('back.ts', 3), version);
  });

  test('detached, everything is local again', async () => {
    await palette('Detach Remote GPU');
    await eventually('nothing is attached', async () => ((await cli.status(workspaceUri())).remote === null ? true : undefined));
    await statusBarShows(/Hindsight v\d+ · cpu$/m);
    assert.equal(await suggestion('local.ts', 4), version);
  });
});
