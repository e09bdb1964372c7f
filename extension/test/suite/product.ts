// What the journey's suites share: the product's home, its command line, its item in the status bar.
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import * as vscode from 'vscode';
import { TEST_ENV } from '../driver/commands.ts';
import { HindsightCli } from '../hindsightCli.ts';
import { eventually, openFile, user, workspaceFolder } from './user.ts';

export const STATUS_ITEM = '.statusbar-item[id="hindsight.hindsight.hindsight.status"]';
export const STATUS_BAR = '.part.statusbar';
/** In front of a selector: inside the webview that is shown. */
export const IN_PAGE = 'iframe.webview.ready >> internal:control=enter-frame >> #active-frame >> internal:control=enter-frame >> ';
export const GHOST_TEXT = '.ghost-text-decoration, .ghost-text-decoration-preview, .suggest-preview-text';

export const root = process.env[TEST_ENV.root] ?? '';
export const home = process.env['HINDSIGHT_HOME'] ?? '';
export const cli = new HindsightCli(root, home);
/** Where a journey with a remote engine says how to reach it. */
export const engineFile = path.join(home, '..', 'engine.json');
export const workspaceUri = (): string => workspaceFolder().uri.toString();

/** With the full counts, and the bars as they were promised. */
export const FULL = process.env['HINDSIGHT_FULL'] === '1';
/** A line of the run's output. */
export const say = (line: string): void => appendFileSync(process.env[TEST_ENV.output] ?? '', `${line.replace(/^/gm, '    ')}\n`);

/** What one launch leaves for the next to check. */
export interface Remembered {
  readonly session: string;
  readonly acceptedTurn: string;
  readonly partialTurn: string;
  readonly version: number;
  readonly signals: number;
}
const memoryFile = path.join(home, '..', 'remembered.json');
export const remember = (facts: Remembered): void => writeFileSync(memoryFile, JSON.stringify(facts));
export const remembered = (): Remembered => JSON.parse(readFileSync(memoryFile, 'utf8')) as Remembered;

/** Every byte that the product keeps: the daemon's home, and the extension's own storage and log. */
export function kept(): string {
  const user = path.join(home, '../user');
  const own = existsSync(user) ? readdirSync(user, { recursive: true, encoding: 'utf8' }).filter((name) => /[/\\]hindsight\.hindsight$/.test(name)) : [];
  return [home, ...own.map((name) => path.join(user, name))].flatMap(everyFile).map((file) => readFileSync(file, 'latin1')).join('');
}

export function everyFile(place: string): string[] {
  return readdirSync(place, { recursive: true, encoding: 'utf8' }).map((name) => path.join(place, name)).filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

/** What the editor itself says that the extension's activation took, its code's loading included; milliseconds. */
export async function activationMs(): Promise<number> {
  await vscode.commands.executeCommand('workbench.action.showRuntimeExtensions');
  // The quickest are at the end, below what is on the screen.
  await user.click('.runtime-extensions-editor .monaco-list-row');
  await user.press('End');
  const row = '.runtime-extensions-editor .monaco-list-row:has-text("Hindsight") .activation-time';
  await user.waitFor(row);
  const said = await user.read(row);
  await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
  return Number(/(\d+)\s*ms/.exec(said)?.[1] ?? NaN);
}

/** Collections after which nothing unused stays: code that has not run for some of them goes as well. */
const COLLECTIONS = 12;

/** Bytes that the extension host holds once its garbage is gone. */
export async function heapAfterCollection(): Promise<number> {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;
  for (let each = 0; each < COLLECTIONS; each++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().heapUsed;
}

export async function untilServing(): Promise<void> {
  await eventually('the daemon serves', async () => ((await cli.status(workspaceUri())).state === 'serving' ? true : undefined), 90_000);
}

/** The owner's yes, once the daemon serves. */
export async function learnFromWorkspace(): Promise<void> {
  await untilServing();
  await openNotifications();
  await user.clickText('Learn from this workspace');
  await eventually('the daemon knows', async () => ((await cli.status(workspaceUri())).consent === 'granted' ? true : undefined));
}

export async function statusBarShows(text: RegExp, deadlineMs = 30_000): Promise<void> {
  let last = '';
  try {
    await eventually(`the status bar shows ${text}`, async () => {
      last = await user.read(STATUS_ITEM);
      return text.test(last) ? true : undefined;
    }, deadlineMs);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}; it shows ${JSON.stringify(last)}`);
  }
}

/** "Learn Now" of the menu behind the status bar's item. */
export async function learnNow(): Promise<void> {
  await user.click(STATUS_ITEM);
  await user.waitFor('.quick-input-widget .quick-input-list .monaco-list-row');
  await user.type('Learn Now');
  await user.press('Enter');
}

/** Lines that a TypeScript model has something to say to, most of the time. */
export const STARTS = [
  'export function add(left: number, right: number): number {\nreturn ',
  'import * as path from ',
  'for (let i = 0; i < items.length; ',
  'export class Store {\nprivate readonly items: ',
  'const result = await ',
  'if (value === undefined) ',
];

/** Types starts, each on a line of its own, until there is ghost text. @returns the one it came to */
export async function typeUntilSpokenTo(starts: readonly string[]): Promise<string> {
  for (const start of starts) {
    await user.type(start);
    if (await isThere(GHOST_TEXT, 4000)) return start;
    await user.press('Escape');
    await user.press('Enter');
  }
  throw new Error('the model said nothing to any of the starts');
}

/** Opens a file and types until there is ghost text.
 *  @param first  with which start to begin, so that several files differ */
export async function typeUntilGhostText(name: string, first = 0): Promise<vscode.TextDocument> {
  const document = await openFile(name, '// A file of the journey.\n');
  await user.waitFor('.monaco-editor.focused');
  await user.press('Control+End');
  await typeUntilSpokenTo(STARTS.map((_, index) => STARTS[(first + index) % STARTS.length] ?? ''));
  return document;
}

export async function isThere(selector: string, deadlineMs: number): Promise<boolean> {
  try {
    await user.waitFor(selector, deadlineMs);
    return true;
  } catch {
    return false;
  }
}

/** The consent question waits among the notifications: the test driver's editor shows no toasts. */
export async function openNotifications(): Promise<void> {
  await user.click('[id="status.notifications"]');
  await user.waitFor('.notifications-center .notifications-list-container');
}

/** The bell has a dot while there is a notification that nobody has seen. */
export async function noPopupCame(): Promise<void> {
  await user.waitFor('[id="status.notifications"] .codicon-bell', 2000);
}
