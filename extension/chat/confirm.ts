// The user's word on what a tool is about to do. Buttons in the chat answer; each carries a name that only this window knows,
// so that nothing but a click on it can be the answer. What a model writes is shown as text and can press nothing.
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { COMMANDS } from '../views/commandIds.ts';

export type Answer = 'once' | 'always' | 'no';

export interface Question {
  readonly tool: string;
  readonly title: string;
  readonly detail: string;
  readonly remember: string | null;
}

export class Confirmations implements vscode.Disposable {
  readonly #open = new Map<string, (answer: Answer) => void>();
  readonly #command = vscode.commands.registerCommand(COMMANDS.answerTool, (name: unknown, answer: unknown) => {
    if (typeof name !== 'string' || (answer !== 'once' && answer !== 'always' && answer !== 'no')) return;
    this.#open.get(name)?.(answer);
  });

  /** Resolves with `no` when the request ends without an answer. */
  ask(question: Question, stream: vscode.ChatResponseStream, ended: AbortSignal): Promise<Answer> {
    const name = randomUUID();
    // A fence longer than any in the text: a command cannot end its own block.
    const fence = '`'.repeat(Math.max(3, ...[...question.detail.matchAll(/`+/g)].map((run) => run[0].length + 1)));
    stream.markdown(`\n\n**${question.title}?**\n\n${fence}sh\n${question.detail}\n${fence}\n`);
    const button = (title: string, answer: Answer): void => stream.button({ title, command: COMMANDS.answerTool, arguments: [name, answer] });
    button(question.tool === 'browser_open' ? vscode.l10n.t('Open') : vscode.l10n.t('Run'), 'once');
    if (question.remember !== null) button(vscode.l10n.t('Always run "{0}" here', short(question.remember)), 'always');
    button(vscode.l10n.t('No'), 'no');
    return new Promise((resolve) => {
      const answer = (given: Answer): void => {
        this.#open.delete(name);
        ended.removeEventListener('abort', onEnd);
        resolve(given);
      };
      const onEnd = (): void => answer('no');
      ended.addEventListener('abort', onEnd);
      this.#open.set(name, answer);
    });
  }

  dispose(): void {
    this.#command.dispose();
    for (const answer of this.#open.values()) answer('no');
  }
}

function short(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length <= 40 ? line : `${line.slice(0, 39)}…`;
}
