// The user's own work in a real editor: a terminal with shell integration, a task, a debug session, runs of tests, a checker, git and
// a notebook; each is captured with its class of consent and not without, and what breaks is attributed to what was accepted.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import * as vscode from 'vscode';
import { SIGNAL_CLASSES } from '../../../protocol/consent.ts';
import { evidenceOf, signalsOf } from './journalFile.ts';
import { plantedSecrets } from '../../../protocol/planted.fixture.ts';
import { cli, kept, learnFromWorkspace, noPopupCame, STARTS, typeUntilSpokenTo, workspaceUri } from './product.ts';
import { eventually, openFile, picture, user, workspaceFolder } from './user.ts';

/** A place that is marked by an extension. */
const MARKED = '.monaco-editor.focused .view-overlays .cdr[class*="ced-"]';
/** Slow machines start shells, debuggers and test runners slowly. */
const PATIENCE_MS = 90_000;
/** Kinds of secrets that are planted. */
const KINDS = 10;
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const folder = (): string => workspaceFolder().uri.fsPath;
const inFolder = (name: string): vscode.Uri => vscode.Uri.joinPath(workspaceFolder().uri, name);
const git = (...args: string[]): string => execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@b.c', ...args], { cwd: folder(), encoding: 'utf8' });

suite('own work', function () {
  this.timeout(240_000);
  let terminal: vscode.Terminal;

  suiteTeardown(() => vscode.window.terminals.forEach((each) => each.dispose()));

  test('without its class, a terminal leaves nothing', async () => {
    await learnFromWorkspace();
    terminal = vscode.window.createTerminal({ name: 'mine', shellPath: '/bin/bash' });
    terminal.show();
    const shell = await eventually('shell integration', () => terminal.shellIntegration, PATIENCE_MS);
    await runIn(shell, 'echo not granted');
    await vscode.workspace.fs.writeFile(inFolder('marker.txt'), Buffer.from(''));
    await openFile('marker.txt', 'x');
    await eventually('what was sent after it has come', () => (signalsOf('document.opened').some(({ uri }) => uri.endsWith('marker.txt')) ? true : undefined));
    assert.deepEqual(signalsOf('terminal.ran'), []);
    const chosen = vscode.commands.executeCommand('hindsight.chooseLearning', ...SIGNAL_CLASSES);
    await user.waitFor('.quick-input-widget .monaco-list-row');
    await user.press('Enter');
    await chosen;
  });

  test('a name that was changed is offered at its next place: a key changes it there, Esc ends it', async () => {
    const document = await openFile('renamed.ts', 'let total = 1;\nuse(total);\nkeep(total);\n');
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Home');
    for (let word = 0; word < 2; word += 1) await user.press('Control+ArrowRight');
    await user.type('s');
    await user.waitFor(MARKED);
    await user.screenshot(picture('next-edit.png'));
    await user.press('Control+Alt+.');
    await eventually('it is changed at the next place', () => document.getText() === 'let totals = 1;\nuse(totals);\nkeep(total);\n' || undefined);
    // Pressed again and again: one may come before the offer, another is for ghost text.
    const answers = await eventually('the next one is dismissed', async () => {
      await user.press('Escape');
      return signalsOf('nextEdit.answered').length >= 2 ? signalsOf('nextEdit.answered') : undefined;
    });
    await user.press('Control+Alt+.');
    assert.deepEqual(answers.map(({ before, after, answer }) => [before, after, answer]), [['total', 'totals', 'applied'], ['total', 'totals', 'dismissed']]);
    assert.ok(document.getText().includes('keep(total)'));
    await document.save();
  });

  test('a command of the user’s terminal: its exit code, its place, and its output as it was read', async () => {
    const shell = await eventually('shell integration', () => terminal.shellIntegration);
    // The editor hands over nothing of a command that is over before its own window has heard of it.
    await runIn(shell, `sleep 1; printf '\\033[31mred\\033[0m\\n'; (exit 3)`);
    await runIn(shell, 'export API_TOKEN=ghp_0123456789abcdefghijABCDEFGHIJ012345; sleep 1; seq 1 30000');
    const [failed, long] = await eventually('both are in the journal', () => (signalsOf('terminal.ran').length >= 2 ? signalsOf('terminal.ran') : undefined), PATIENCE_MS);
    assert.deepEqual([failed?.exitCode, failed?.cwd], [3, workspaceUri()]);
    assert.equal(failed?.output.trim(), 'red');
    assert.ok(long !== undefined && long.exitCode === 0 && long.output.length < 9000, `${long?.output.length} characters`);
    assert.match(long.output, /^1\n2\n3\n[\s\S]*left out[\s\S]*29999\n30000\s*$/);
    assert.ok(!long.command.includes('ghp_0123456789'), long.command);
  });

  test('secrets of ten kinds in a terminal, a task, a test’s output and an edit are nowhere on disk', async () => {
    const secrets = plantedSecrets(41).filter(({ secret }) => !secret.includes('\n')).slice(0, KINDS);
    assert.equal(secrets.length, KINDS);
    const texts = secrets.map(({ text }) => text).join('\n');
    await vscode.workspace.fs.writeFile(inFolder('planted.txt'), Buffer.from(`${texts}\n`));
    const shell = await eventually('shell integration', () => terminal.shellIntegration);
    const runs = signalsOf('terminal.ran').length;
    // Printed, and in the command itself.
    await runIn(shell, 'sleep 1; cat planted.txt; echo terminalOkapi');
    await runIn(shell, `sleep 1; echo '${secrets[2]?.secret ?? ''}' terminalNumbat`);
    const ended = new Promise((resolve) => vscode.tasks.onDidEndTaskProcess(resolve));
    await vscode.tasks.executeTask(new vscode.Task({ type: 'shell' }, workspaceFolder(), `taskOkapi ${secrets[2]?.secret ?? ''}`, 'suite', new vscode.ShellExecution('cat planted.txt')));
    await ended;
    const cases = secrets.map(({ text }, index) => `<testcase classname="planted" name="case${index}"><failure message="testOkapi">${escaped(text)}</failure></testcase>`).join('');
    await vscode.workspace.fs.writeFile(inFolder('junit-planted.xml'), Buffer.from(`<testsuites><testsuite name="s">${cases}</testsuite></testsuites>`));
    const document = await openFile('planted.js', '');
    await user.waitFor('.monaco-editor.focused');
    const typed = `// ${secrets[2]?.secret ?? ''}\n`;
    await user.type(typed, 0);
    // An edit that is made while keys still come in is refused.
    await eventually('it is typed', () => document.getText() === typed || undefined);
    const pasted = new vscode.WorkspaceEdit();
    pasted.insert(document.uri, new vscode.Position(1, 0), `${texts}\n// editOkapi\n`);
    assert.ok(await vscode.workspace.applyEdit(pasted));
    // All of it has arrived: what stood beside the secrets is there.
    await eventually('all is in the journal', () => {
      const said = JSON.stringify([...signalsOf('terminal.ran').slice(runs), ...signalsOf('task.ended'), ...signalsOf('tests.ran'), ...signalsOf('document.changed')]);
      return ['terminalOkapi', 'terminalNumbat', 'taskOkapi', 'testOkapi', 'editOkapi'].every((mark) => said.includes(mark)) || undefined;
    }, PATIENCE_MS);
    const bytes = kept();
    for (const { kind, secret } of secrets) assert.ok(!bytes.includes(secret), `${kind} is on disk`);
    await document.save();
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
    for (const name of ['planted.txt', 'planted.js', 'junit-planted.xml']) await vscode.workspace.fs.delete(inFolder(name));
  });

  test('a task, by its exit code; its terminal is not the user’s', async () => {
    const before = signalsOf('terminal.ran').length;
    const ended = new Promise((resolve) => vscode.tasks.onDidEndTaskProcess(resolve));
    await vscode.tasks.executeTask(new vscode.Task({ type: 'shell' }, workspaceFolder(), 'check', 'suite', new vscode.ShellExecution('exit 4')));
    await ended;
    const task = await eventually('the task is in the journal', () => signalsOf('task.ended').find(({ name }) => name.endsWith('check')), PATIENCE_MS);
    assert.deepEqual([task.name, task.exitCode], ['suite: check', 4]);
    assert.equal(signalsOf('terminal.ran').length, before);
  });

  test('a debug session: the exit code, and where it threw', async () => {
    await openFile('throws.js', 'function deep() {\n  throw new Error("planted message");\n}\ndeep();\n');
    const started = await vscode.debug.startDebugging(workspaceFolder(), { type: 'node', request: 'launch', name: 'throws', program: path.join(folder(), 'throws.js'), console: 'internalConsole' });
    assert.ok(started);
    // It stops at an uncaught exception, as the editor is set up, and goes on when told to.
    const going = setInterval(() => void vscode.commands.executeCommand('workbench.action.debug.continue'), 1000);
    try {
      const ended = await eventually('the session is in the journal', () => signalsOf('debug.ended')[0], PATIENCE_MS);
      assert.ok(ended.exitCode === 1 || ended.exception?.line === 2, JSON.stringify(ended));
      assert.doesNotMatch(JSON.stringify(ended), /planted message/);
    } finally {
      clearInterval(going);
      await vscode.debug.stopDebugging();
    }
  });

  test('tests run at the user’s word, with the runner’s own report, seen in the Testing view', async () => {
    await vscode.commands.executeCommand('hindsight.runTests');
    const run = await eventually('the run is in the journal', () => signalsOf('tests.ran').find(({ source }) => !source.includes('junit')), PATIENCE_MS);
    assert.deepEqual(run.report.cases.map(({ name, state }) => [name, state]), [['adds the prices', 'passed']]);
    assert.match(run.source, /^node --test/);
    await vscode.commands.executeCommand('workbench.view.testing.focus');
    await user.waitFor('.test-explorer .monaco-list-row >> text=All tests');
    await user.screenshot(picture('own-tests.png'));
  });

  test('a suggestion that was accepted and breaks the tests has that as evidence', async () => {
    const document = await vscode.workspace.openTextDocument(inFolder('total.js'));
    await vscode.window.showTextDocument(document);
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Home');
    const before = document.getText();
    await typeUntilSpokenTo(STARTS);
    const typed = document.getText().length;
    await user.press('Tab');
    await eventually('it is in the document', () => document.getText().length > typed || undefined);
    // Whatever the small model said: with this it cannot be right.
    await user.press('Home');
    await user.type('((');
    await document.save();
    await vscode.commands.executeCommand('hindsight.runTests');
    const turn = await eventually('the accepted turn', async () => (await cli.turns()).findLast((each) => each.turn.uri.endsWith('total.js') && document.getText().includes(each.turn.shownText)), PATIENCE_MS);
    const evidence = await eventually('its evidence', () => evidenceOf(turn.turn.id).find(({ observation }) => observation?.kind === 'tests'), PATIENCE_MS);
    assert.ok((evidence.observation?.broken?.length ?? 0) > 0, JSON.stringify(evidence));
    await vscode.workspace.fs.writeFile(inFolder('total.js'), Buffer.from(before));
  });

  test('another run’s report file is read', async () => {
    const count = signalsOf('tests.ran').length;
    await vscode.workspace.fs.writeFile(inFolder('junit.xml'), Buffer.from('<testsuites><testsuite name="s"><testcase classname="cart" name="empty"><failure message="no">at total.js:3</failure></testcase><testcase classname="cart" name="full"/></testsuite></testsuites>'));
    const report = await eventually('the report is in the journal', () => signalsOf('tests.ran')[count], PATIENCE_MS);
    assert.deepEqual([report.source, report.report.cases.map(({ state }) => state)], ['junit.xml', ['failed', 'passed']]);
  });

  test('what a checker says of a document, once it has settled', async () => {
    await openFile('settings.json', '{ "a": 1 }\n');
    await eventually('nothing is wrong yet', () => signalsOf('diagnostics.settled').find(({ uri, problems }) => uri.endsWith('settings.json') && problems.length === 0), PATIENCE_MS);
    await user.waitFor('.monaco-editor.focused');
    await user.press('Control+Home');
    await user.type('{');
    const { problems } = await eventually('the problem is in the journal', () => signalsOf('diagnostics.settled').find((each) => each.uri.endsWith('settings.json') && each.problems.length > 0), PATIENCE_MS);
    assert.equal(problems[0]?.severity, 'error');
    await user.press('Backspace');
  });

  test('commits and branch switches, also those made in a terminal', async () => {
    git('add', 'total.js');
    git('commit', '-q', '-m', 'more', '--allow-empty');
    const made = await eventually('the commit is in the journal', () => signalsOf('commit.made')[0], PATIENCE_MS);
    assert.equal(made.hash, git('rev-parse', 'HEAD').trim());
    git('checkout', '-q', '-b', 'other');
    await eventually('the switch is in the journal', () => signalsOf('branch.switched')[0], PATIENCE_MS);
  });

  test('a notebook’s cell that fails, by the head of its error', async () => {
    const controller = vscode.notebooks.createNotebookController('suite', 'jupyter-notebook', 'Suite', (cells) => {
      for (const cell of cells) {
        const execution = controller.createNotebookCellExecution(cell);
        execution.start(Date.now());
        void execution.replaceOutput(new vscode.NotebookCellOutput([vscode.NotebookCellOutputItem.error({ name: 'NameError', message: 'name "x" is not defined', stack: '' })])).then(() => execution.end(false, Date.now()));
      }
    });
    try {
      const cell = { cell_type: 'code', source: ['x'], metadata: {}, outputs: [], execution_count: null };
      await vscode.workspace.fs.writeFile(inFolder('book.ipynb'), Buffer.from(JSON.stringify({ cells: [cell], metadata: {}, nbformat: 4, nbformat_minor: 5 })));
      const notebook = await vscode.workspace.openNotebookDocument(inFolder('book.ipynb'));
      await vscode.window.showNotebookDocument(notebook);
      controller.updateNotebookAffinity(notebook, vscode.NotebookControllerAffinity.Preferred);
      const ran = await eventually('the cell is in the journal', async () => {
        await vscode.commands.executeCommand('notebook.cell.execute', { ranges: [{ start: 0, end: 1 }], document: notebook.uri });
        return signalsOf('cell.ran')[0];
      }, PATIENCE_MS);
      assert.equal(ran.success, false);
      assert.match(ran.error ?? '', /^NameError: name "x" is not defined/);
    } finally {
      controller.dispose();
    }
  });

  test('nothing of all that opened a popup', () => noPopupCame());
});

/** Runs a line in the user's terminal and waits for its end, as the shell tells it. */
async function runIn(shell: vscode.TerminalShellIntegration, line: string): Promise<void> {
  const ended = new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no end of: ${line}`)), PATIENCE_MS);
    const listening = vscode.window.onDidEndTerminalShellExecution((event) => {
      if (event.execution !== execution) return;
      clearTimeout(late);
      listening.dispose();
      resolve();
    });
  });
  const execution = shell.executeCommand(line);
  await ended;
}
