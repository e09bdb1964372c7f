// The buttons under an answer: what the user says of it is a signal, like what they do.
import * as vscode from 'vscode';
import type { Signal } from '../../protocol/signals.ts';

export type RatingCommand = 'rateHelpful' | 'rateWrong' | 'rateCorrect';

export function ratingActions(record: (signal: Signal) => void): Readonly<Record<RatingCommand, (...args: unknown[]) => Promise<unknown>>> {
  const rate = (turn: unknown, rating: 'helpful' | 'wrong', correction: string | null): void => {
    if (typeof turn !== 'string') return;
    record({ kind: 'chat.rated', at: Date.now(), turn, rating, correction });
    vscode.window.setStatusBarMessage(vscode.l10n.t('$(check) Hindsight will learn from this.'), 4000);
  };
  return {
    rateHelpful: (turn) => Promise.resolve(rate(turn, 'helpful', null)),
    rateWrong: (turn) => Promise.resolve(rate(turn, 'wrong', null)),
    async rateCorrect(turn) {
      const correction = await vscode.window.showInputBox({ title: vscode.l10n.t('It should have been…'), placeHolder: vscode.l10n.t('What would have been right? In a sentence, or the code itself'), ignoreFocusOut: true });
      if (correction !== undefined && correction.trim() !== '') rate(turn, 'wrong', correction.trim());
    },
  };
}
