/** The daemon as a language server for an editor that knows LSP alone: a child on stdin and stdout, with
 *  the real daemon, engine and journal behind it. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import type { MessageConnection } from 'vscode-jsonrpc/node';

const HINDSIGHT = path.resolve(import.meta.dirname, '../../dist/hindsight.js');
const FILE = 'file:///project/sum.ts';
const TEXT = 'export function add(left: number, right: number): number {\n  return left + right;\n}\n\nexport function add2(left: number, right: number): number {\n';

interface Item {
  readonly insertText: string;
  readonly command: { readonly command: string; readonly arguments: string[] };
}
interface Exported {
  readonly turn: { readonly id: string; readonly shownText: string };
  readonly nextState: { readonly outcome: string } | null;
}

let home: string;
let child: ChildProcess;
let link: MessageConnection;
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, HINDSIGHT_HOME: home });

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'hindsight-lsp-'));
  child = spawn(process.execPath, [HINDSIGHT, 'lsp'], { env: environment(), stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.stdout === null || child.stdin === null) throw new Error('no pipes');
  link = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  link.listen();
});
afterEach(() => {
  child.kill('SIGKILL');
  spawnSync(process.execPath, [HINDSIGHT, 'stop'], { env: environment(), timeout: 60_000 });
  rmSync(home, { recursive: true, force: true });
});

const turns = (): Exported[] =>
  spawnSync(process.execPath, [HINDSIGHT, 'journal', 'export', '-'], { env: environment(), encoding: 'utf8', timeout: 60_000 })
    .stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Exported);

async function until<T>(look: () => T | undefined | Promise<T | undefined>, seconds = 60): Promise<T> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  throw new Error(`not within ${seconds} s`);
}

/** A document as a plain editor keeps it: it types at the end and says so. */
class Typing {
  text = TEXT;
  version = 1;
  async open(): Promise<void> {
    await link.sendNotification('textDocument/didOpen', { textDocument: { uri: FILE, languageId: 'typescript', version: 1, text: this.text } });
  }
  get end(): { line: number; character: number } {
    const lines = this.text.split('\n');
    return { line: lines.length - 1, character: lines.at(-1)?.length ?? 0 };
  }
  async type(text: string): Promise<void> {
    this.version += 1;
    const change = { range: { start: this.end, end: this.end }, text };
    this.text += text;
    await link.sendNotification('textDocument/didChange', { textDocument: { uri: FILE, version: this.version }, contentChanges: [change] });
  }
  async ask(): Promise<Item | undefined> {
    return (await link.sendRequest<Item[] | null>('textDocument/inlineCompletion', { textDocument: { uri: FILE }, position: this.end, context: { triggerKind: 1 } }))?.[0];
  }
}

describe('hindsight lsp', () => {
  it('completes, and learns from what a plain LSP client does next', async () => {
    const hello = await link.sendRequest<{ capabilities: Record<string, unknown> }>('initialize', { processId: process.pid, rootUri: 'file:///project', clientInfo: { name: 'headless' }, capabilities: {} });
    expect(hello.capabilities).toMatchObject({ inlineCompletionProvider: true, textDocumentSync: { change: 2 }, executeCommandProvider: { commands: expect.arrayContaining(['hindsight.accepted']) } });
    await link.sendNotification('initialized', {});
    expect(await link.sendRequest('workspace/executeCommand', { command: 'hindsight.allowLearning' })).toBeNull();

    const typing = new Typing();
    await typing.open();
    await typing.type('  return ');
    const first = await until(() => typing.ask());
    expect(first.insertText.length).toBeGreaterThan(0);
    await typing.type(first.insertText);
    await link.sendRequest('workspace/executeCommand', first.command);
    await typing.type('\n}\n');

    await typing.type('export const three = add(');
    const second = await until(() => typing.ask());
    await typing.type('quagga, zebra);\n');
    await typing.type('export const four = 4;\n');

    const byId = await until(() => {
      const found = new Map(turns().map((each) => [each.turn.id, each.nextState?.outcome]));
      return [first, second].every((item) => found.get(item.command.arguments[0] ?? '') !== undefined) ? found : undefined;
    });
    expect(byId.get(first.command.arguments[0] ?? '')).toBe('accepted');
    expect(byId.get(second.command.arguments[0] ?? '')).toBe('diverged');

    await link.sendRequest('shutdown');
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await link.sendNotification('exit');
    expect(await ended).toBe(0);
  }, 120_000);

  it('records nothing where the owner has not agreed', async () => {
    await link.sendRequest('initialize', { processId: process.pid, rootUri: 'file:///project', capabilities: {} });
    const typing = new Typing();
    await typing.open();
    await typing.type('  return ');
    await until(() => typing.ask());
    await typing.type('left + right;\n}\n');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(turns()).toEqual([]);
  }, 120_000);
});
