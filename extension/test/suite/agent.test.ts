// The agent in a real editor, with a scripted model: an edit reviewed hunk by hunk, and a chat with tools until a failing test is green.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as vscode from 'vscode';
import { startScriptedEndpoint, type ScriptedAnswer, type ScriptedEndpoint, type ScriptedMessage } from '../../../protocol/scriptedEndpoint.fixture.ts';
import { plantedSecrets } from '../../../protocol/planted.fixture.ts';
import { cli, kept, learnFromWorkspace, noPopupCame, untilServing } from './product.ts';
import { eventually, openFile, picture, user, workspaceFolder } from './user.ts';

const CHAT = '.interactive-session';
const BEFORE = `export function greet(name) {
  var text = 'Hello ' + name;
  return text;
}

export function part(name) {
  return greet(name).split(' ');
}

export function shout(name) {
  var loud = greet(name).toUpperCase();
  return loud;
}
`;
const AFTER = BEFORE.replace("var text = 'Hello ' + name", 'const text = `Hello ${name}`').replace('var loud', 'const loud');

suite('agent', () => {
  let endpoint: ScriptedEndpoint;
  let script: (messages: readonly ScriptedMessage[], step: number) => ScriptedAnswer = () => ({ text: 'nothing to say' });

  suiteSetup(async () => {
    endpoint = await startScriptedEndpoint((messages, step) => script(messages, step));
  });
  suiteTeardown(() => endpoint.close());

  test('without a model that can chat, the participant says in one sentence what to do', async () => {
    await untilServing();
    await ask('@hindsight hello');
    await chatShows('cannot chat. Set "hindsight.chat.endpoint"');
  });

  test('an edit is streamed into the selection, and its hunks are there to keep or revert', async () => {
    await learnFromWorkspace();
    await vscode.workspace.getConfiguration('hindsight').update('chat.model', 'scripted', vscode.ConfigurationTarget.Global);
    await vscode.workspace.getConfiguration('hindsight').update('chat.endpoint', endpoint.url, vscode.ConfigurationTarget.Global);
    script = () => ({ text: `\`\`\`js\n${AFTER}\`\`\`` });
    const document = await openFile('greet.js', BEFORE);
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+A');
    await user.press('Control+Alt+E');
    await user.waitFor('.quick-input-widget input');
    await user.type('use const');
    await user.press('Enter');
    await eventually('the change is in the document', () => document.getText() === AFTER || undefined);
    await user.waitFor('.codelens-decoration >> text=Keep all 2');
    await user.screenshot(picture('review.png'));
    assert.match(endpoint.requests.at(-1)?.messages.at(-1)?.content ?? '', /use const$/);
  });

  test('one is kept above the hunk, one is reverted in the gutter’s own diff; undo brings it back', async () => {
    const document = await vscode.workspace.openTextDocument(vscode.Uri.joinPath(workspaceFolder().uri, 'greet.js'));
    await user.click('.codelens-decoration a:has-text("Keep"):not(:has-text("all"))');
    await eventually('one hunk is left', async () => ((await lenses(document.uri)).filter((title) => title.includes('Revert')).length === 1 ? true : undefined));
    assert.equal(document.getText(), AFTER, 'keeping changes no text');
    // What the window shows lags behind what the providers say.
    await eventually('the window shows one', async () => ((await user.read('.monaco-editor .view-zones, .contentWidgets')).includes('Keep all') ? undefined : true));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await vscode.commands.executeCommand('editor.action.dirtydiff.next');
    await user.waitFor('.peekview-widget .monaco-diff-editor');
    await user.waitFor('.peekview-actions [aria-label*="Revert This Change"]');
    await user.screenshot(picture('review-gutter.png'));
    await user.click('.peekview-actions [aria-label*="Revert This Change"]');
    const half = AFTER.replace('const loud', 'var loud');
    await eventually('the second hunk is reverted, the first is kept', () => document.getText() === half || undefined);
    await user.press('Escape');
    await vscode.window.showTextDocument(document);
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Z');
    await eventually('undo puts the hunk back', async () => (document.getText() === AFTER && (await lenses(document.uri)).some((title) => title.includes('Revert')) ? true : undefined));
    await vscode.commands.executeCommand('hindsight.revertAll');
    await eventually('reverted again', () => document.getText() === half || undefined);
    const turn = await eventually('the review is the turn’s next state', async () => (await agentTurns()).find((each) => each.turn.modality === 'edit' && each.nextState !== null));
    assert.deepEqual(turn.nextState?.observations?.map((each) => each.state).slice(0, 2).sort(), ['kept', 'reverted']);
    assert.equal(turn.turn.shownText, AFTER);
    await document.save();
  });

  test('a chat with tools makes the failing test pass; each command asks first, and is seen in a terminal', async function () {
    this.timeout(180_000);
    script = fixTheSum;
    await ask('@hindsight /fix make the test pass');
    await press('Run', 0);
    await press('Run', 1);
    await chatShows('The prices are added now', 60_000);
    const fixed = Buffer.from(await vscode.workspace.fs.readFile(vscode.Uri.joinPath(workspaceFolder().uri, 'total.js'))).toString();
    assert.match(fixed, /sum \+= price/);
    const tests = endpoint.requests.at(-1)?.messages.filter((each) => each.role === 'tool').at(-1)?.content ?? '';
    assert.match(tests, /^1 passed, 0 failed/);
    await user.screenshot(picture('chat.png'));
    assert.ok(vscode.window.terminals.some((terminal) => terminal.name === 'Hindsight'));
    await user.waitFor('.terminal-wrapper.active');
    assert.deepEqual((await agentTurns()).filter((each) => each.turn.modality !== 'edit'), [], 'no conversation is recorded before its own yes');
  });

  test('with a yes of its own, each step is a turn with its next state', async function () {
    this.timeout(180_000);
    await press('Not recorded. Learn from conversations?');
    await user.waitFor('.quick-input-widget .monaco-list-row');
    await user.press('Enter');
    await eventually('the choice is told', async () => ((await user.read('.statusbar')).includes('Conversations') ? true : undefined));
    script = (_, step) => (step === 0 ? { tool: 'run_command', arguments: { command: "printf '\\033[32mgreen\\033[0m\\n'; exit 3" } } : { text: 'It ended with exit code 3. [Run](command:hindsight.showLog)' });
    await ask('@hindsight run it');
    await press('Run', 2);
    await chatShows('It ended with exit code 3.');
    await assert.rejects(user.waitFor(`${CHAT} a[data-href^="command:"]`, 500), 'a model’s text holds no link that runs a command');
    const turn = await eventually('the command is in the journal', async () => (await agentTurns()).find((each) => each.turn.modality === 'terminal' && each.nextState !== null));
    assert.deepEqual(turn.nextState?.observations?.map(({ kind, exitCode, output }) => ({ kind, exitCode, output })), [{ kind: 'terminal', exitCode: 3, output: 'green\n' }]);
    await user.screenshot(picture('agent-terminal.png'));
    await user.clickText('It should have been…');
    await user.waitFor('.quick-input-widget input');
    await user.type('say that it failed');
    await user.press('Enter');
    script = () => ({ text: 'It failed.' });
    await ask('@hindsight No, it failed.');
    const reply = await eventually('the answer and what was said next', async () => (await agentTurns()).find((each) => each.turn.modality === 'chat' && each.nextState?.outcome === 'answered'));
    assert.deepEqual(reply.nextState?.observations?.map((each) => each.correction ?? each.text), ['say that it failed', 'No, it failed.']);
  });

  test('secrets of ten kinds in a question, in the file that is read for it and in the answer are nowhere on disk', async () => {
    const secrets = plantedSecrets(43).filter(({ secret }) => !secret.includes('\n')).slice(0, 10);
    assert.equal(secrets.length, 10);
    const texts = secrets.map(({ text }) => text).join('\n');
    const file = vscode.Uri.joinPath(workspaceFolder().uri, 'planted.txt');
    await vscode.workspace.fs.writeFile(file, Buffer.from(`${texts}\nfileOkapi\n`));
    const asked = endpoint.requests.length;
    script = (_, step) => (step === 0 ? { tool: 'read_file', arguments: { path: 'planted.txt' } } : { text: `They are ${texts} answerOkapi` });
    await ask(`@hindsight which of these are in planted.txt? ${texts.replaceAll('\n', ' ')} questionOkapi`);
    await chatShows('answerOkapi');
    // All of it has arrived: what stood beside the secrets is there.
    const bytes = await eventually('all is stored', () => {
      const now = kept();
      return ['questionOkapi', 'fileOkapi', 'answerOkapi'].every((mark) => now.includes(mark)) ? now : undefined;
    });
    const sent = JSON.stringify(endpoint.requests.slice(asked));
    assert.ok(sent.includes('fileOkapi'));
    for (const { kind, secret } of secrets) assert.deepEqual([bytes.includes(secret), sent.includes(secret)], [false, false], `${kind}: on disk, sent to the model`);
    await vscode.workspace.fs.delete(file);
  });

  test('a page is opened, clicked and typed into; what changed in its tree is the next state, and it reaches no other host', async function () {
    this.timeout(180_000);
    const page = createServer((request, response) => {
      if (request.url === '/away') return void response.writeHead(302, { location: 'http://example.org/' }).end();
      response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    });
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    const url = `http://localhost:${(page.address() as AddressInfo).port}/`;
    // The names of elements are in the page that the model has read.
    const ref = (messages: readonly ScriptedMessage[], element: string): string => messages.map((each) => new RegExp(`${element}.*?\\[ref=(\\w+)\\]`).exec(each.content)?.[1]).findLast((found) => found !== undefined) ?? 'none';
    script = (messages, step) =>
      [
        { tool: 'browser_open', arguments: { url } },
        { tool: 'browser_click', arguments: { ref: ref(messages, 'button "Add"') } },
        { tool: 'browser_type', arguments: { ref: ref(messages, 'textbox "Name"'), text: 'Ada', submit: true } },
        { tool: 'browser_click', arguments: { ref: ref(messages, 'link "Away"') } },
        { tool: 'browser_open', arguments: { url: 'http://example.org/' } },
        { text: 'The counter counts, and greets.' },
      ][step] ?? { text: 'lost' };
    // What the agent reads in pages is a class of its own.
    const chosen = vscode.commands.executeCommand('hindsight.chooseLearning', 'browser');
    await user.waitFor('.quick-input-widget .monaco-list-row');
    await user.press('Enter');
    await chosen;
    try {
      await ask('@hindsight does the page work?');
      await press('No');
      await chatShows('The counter counts, and greets.', 60_000);
    } finally {
      page.closeAllConnections();
      page.close();
    }
    await user.screenshot(picture('browser.png'));
    const turns = (await agentTurns()).filter((each) => each.turn.modality === 'browser');
    const pages = turns.map((each) => each.nextState?.observations?.[0]);
    assert.deepEqual(pages.map((each) => each?.kind), ['page', 'page', 'page', 'page', 'result']);
    assert.deepEqual([pages[1]?.added, pages[1]?.removed, pages[1]?.console], [['- paragraph: 1 items'], ['- paragraph: 0 items'], ['log: added']]);
    assert.ok(pages[2]?.added?.includes('- paragraph: Hello Ada'));
    assert.match(pages[3]?.console?.join('') ?? '', /example\.org.*ERR_NAME_NOT_RESOLVED/);
    assert.match(pages[4]?.text ?? '', /did not let example\.org be opened/);
  });

  test('our model is in the picker, and answers others', async () => {
    script = () => ({ text: 'Hello, extension.' });
    const [model] = await eventually('the model', async () => {
      const found = await vscode.lm.selectChatModels({ vendor: 'hindsight' });
      return found.length > 0 ? found : undefined;
    });
    assert.equal(model?.name, 'Hindsight (scripted)');
    const response = await model.sendRequest([vscode.LanguageModelChatMessage.User('hi')]);
    let text = '';
    for await (const piece of response.text) text += piece;
    assert.equal(text, 'Hello, extension.');
  });

  test('an edit is left under review when the window closes', async () => {
    script = () => ({ text: '```js\nexport const answer = 42;\n```' });
    const document = await openFile('later.js', 'export var answer = 41;\n');
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Home');
    await user.press('Control+Alt+E');
    await user.waitFor('.quick-input-widget input');
    await user.type('the answer is 42');
    await user.press('Enter');
    await eventually('the change is in the document', () => document.getText() === 'export const answer = 42;\n' || undefined);
    await document.save();
    await eventually('the turn is in the journal', async () => (await agentTurns()).find((each) => each.turn.uri.endsWith('later.js')));
    // Longer than the review takes to be saved.
    await new Promise((resolve) => setTimeout(resolve, 1500));
  });

  test('nothing of all that opened a popup', () => noPopupCame());
});

const PAGE = `<!doctype html><title>Counter</title><h1>Counter</h1>
<button onclick="count += 1; items.textContent = count + ' items'; console.log('added')">Add</button><p id="items">0 items</p>
<form onsubmit="event.preventDefault(); items.textContent = 'Hello ' + this.elements[0].value"><label>Name <input></label></form>
<a href="/away">Away</a><script>let count = 0; const items = document.getElementById('items');</script>`;

const fixTheSum = (_: readonly ScriptedMessage[], step: number): ScriptedAnswer =>
  [
    { text: 'I run the tests first.', tool: 'run_tests', arguments: {} },
    { text: 'One fails. I look at the function.', tool: 'read_file', arguments: { path: 'total.js' } },
    { tool: 'edit_file', arguments: { path: 'total.js', old_text: 'sum -= price', new_text: 'sum += price' } },
    { tool: 'run_tests', arguments: {} },
    { text: 'The prices are added now; `total` subtracted them. The test passes.' },
  ][step] ?? { text: 'lost' };

interface AgentTurn {
  readonly turn: { readonly modality: string; readonly shownText: string; readonly uri: string };
  readonly nextState: { readonly outcome: string; readonly observations?: { kind: string; state?: string; exitCode?: number; output?: string; text?: string; correction?: string; added?: string[]; removed?: string[]; console?: string[] }[] } | null;
}

async function agentTurns(): Promise<AgentTurn[]> {
  return ((await cli.turns()) as unknown as AgentTurn[]).filter((each) => each.turn.modality !== 'completion');
}

async function lenses(uri: vscode.Uri): Promise<string[]> {
  const found = await vscode.commands.executeCommand<vscode.CodeLens[]>('vscode.executeCodeLensProvider', uri);
  return found.map((each) => each.command?.title ?? '');
}

/** Types into the chat view, as a person does. The oldest editor has no model until its user picks one: here it is picked. */
async function ask(prompt: string): Promise<void> {
  const picked = process.env['HINDSIGHT_EDITOR'] === 'oldest' ? { modelSelector: { vendor: 'hindsight' } } : {};
  await vscode.commands.executeCommand('workbench.action.chat.open', { query: prompt, ...picked });
}

async function chatShows(text: string, deadlineMs = 20_000): Promise<void> {
  await eventually(`the chat shows ${text}`, async () => ((await user.read(CHAT)).includes(text) ? true : undefined), deadlineMs);
}

/** @param which  of the buttons with this name, counted over the whole conversation; the last one if not given */
async function press(title: string, which = -1): Promise<void> {
  const button = `${CHAT} .monaco-button >> text="${title}" >> nth=${which}`;
  await user.waitFor(button, 30_000);
  await user.click(button);
}
