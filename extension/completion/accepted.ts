// Ghost text comes from the daemon through LSP's inline completion. Each item carries a command with the
// id of its turn, which the editor runs after the accepted text is in the document.
import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';
import { ACCEPTED_COMMAND } from '../../protocol/editor.ts';
import { completionsEnabled } from '../settings.ts';
import type { Recorder } from '../signals/recorder.ts';

export function recordAccepted(recorder: Recorder): vscode.Disposable {
  return vscode.commands.registerCommand(ACCEPTED_COMMAND, (turn: unknown) => {
    if (typeof turn !== 'string') return;
    recorder.record({ kind: 'suggestion.accepted', at: Date.now(), turn });
    // Not left to the timer: an acceptance is the strongest signal there is.
    void recorder.flush();
  });
}

export const completionMiddleware: Middleware = {
  provideInlineCompletionItems: (document, position, context, token, next) => (completionsEnabled(document, position) ? next(document, position, context, token) : undefined),
};
