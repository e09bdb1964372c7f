// The person at the keyboard, as a suite sees them: every call is a real event in the workbench's page.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { TEST_ENV, type UserAction, type UserActionAnswer } from '../driver/commands.ts';

async function ask(action: UserAction): Promise<string> {
  const url = process.env[TEST_ENV.driver];
  if (url === undefined) throw new Error('this suite needs the harness: run `npm run test:editor`');
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(action), signal: AbortSignal.timeout(60_000) });
  const answer = (await response.json()) as UserActionAnswer;
  if (!answer.ok) throw new Error(`${action.do}: ${answer.error}`);
  return answer.text ?? '';
}

export const user = {
  press: (keys: string) => ask({ do: 'press', keys }),
  /** 40 ms between keys is a fast typist. */
  type: (text: string, delayMs = 40) => ask({ do: 'type', text, delayMs }),
  /** @returns milliseconds from the last key to the frame in which the element is there */
  typeUntil: async (text: string, selector: string, timeoutMs: number) => Number(await ask({ do: 'typeUntil', text, selector, timeoutMs })),
  click: (selector: string) => ask({ do: 'click', selector }),
  clickText: (text: string) => ask({ do: 'clickText', text }),
  waitFor: (selector: string, timeoutMs = 15_000) => ask({ do: 'waitForSelector', selector, timeoutMs }),
  read: (selector: string) => ask({ do: 'read', selector }),
  count: async (selector: string) => Number(await ask({ do: 'count', selector })),
  screenshot: (file: string, selector?: string) => ask(selector === undefined ? { do: 'screenshot', file } : { do: 'screenshot', file, selector }),
  reloadWindow: () => ask({ do: 'reload' }),
};

/** Where a picture goes: the documentation's are taken by the suite that shows that they are true. */
export function picture(name: string): string {
  const folder = process.env[TEST_ENV.pictures] ?? '';
  mkdirSync(folder, { recursive: true });
  return path.join(folder, name);
}

export function workspaceFolder(): vscode.WorkspaceFolder {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert.ok(folder, 'the editor was opened without a folder');
  return folder;
}

/** Writes a file of the workspace and shows it. */
export async function openFile(name: string, text: string): Promise<vscode.TextDocument> {
  const uri = vscode.Uri.joinPath(workspaceFolder().uri, name);
  await vscode.workspace.fs.writeFile(uri, Buffer.from(text));
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document);
  return document;
}

/** Puts the cursor at the end of a line, counted from 1, by keys: a selection set through the API arrives late. */
export async function goToEndOfLine(line: number): Promise<void> {
  await user.waitFor('.monaco-editor.focused');
  await user.press('Control+Home');
  for (let above = 1; above < line; above += 1) await user.press('ArrowDown');
  await user.press('End');
}

/** Waits for a fact to hold, asking again and again; throws with the last answer when it never does. */
export async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>, deadlineMs = 15_000): Promise<T> {
  const end = Date.now() + deadlineMs;
  let lastError = '';
  for (;;) {
    try {
      const seen = await look();
      if (seen !== undefined) return seen;
    } catch (error) {
      lastError = error instanceof Error ? ` (${error.message})` : '';
    }
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}${lastError}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
