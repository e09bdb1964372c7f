/**
 * What may be stored: the one place where the owner's choice (per class of signals) and the rules of
 * ignored and forgotten files are asked. Whatever writes to the journal asks here first.
 */
import { isCovered } from '../../protocol/consent.ts';
import type { SignalClass } from '../../protocol/consent.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { IgnoredFiles } from '../../protocol/ignored.ts';
import type { Signal } from '../../protocol/signals.ts';
import type { Journal } from '../journal/journal.ts';
import type { Turn } from '../journal/records.ts';
import { isForgotten, wishesOf } from './forgotten.ts';

export class Admission {
  readonly #ignored = new Map<string, IgnoredFiles>();

  constructor(private readonly journal: Pick<Journal, 'consent' | 'get'>) {}

  /** Whether anything may be learned from the workspace, or anything of one class. */
  allows(workspace: string, of?: SignalClass): boolean {
    const { state, classes } = this.journal.consent(workspace);
    return state === 'granted' && (of === undefined || classes.includes(of));
  }

  /** @throws consentMissing */
  require(workspace: string): void {
    if (!this.allows(workspace)) throw new HindsightError('consentMissing', { workspace });
  }

  /** Nothing is recorded of this file. */
  ignores(workspace: string, uri: string): boolean {
    return this.#rules(workspace).ignores(uri);
  }

  /** The user's own patterns, as the window of a workspace brought them. */
  setIgnored(workspace: string, globs: readonly string[]): void {
    this.#rules(workspace).setGlobs(globs);
  }

  /** Whether a turn may be stored. */
  turn(turn: Pick<Turn, 'workspace' | 'modality' | 'uri' | 'action'>): boolean {
    return this.allows(turn.workspace, classOfTurn(turn)) && !this.ignores(turn.workspace, turn.uri);
  }

  /** Which signals of a workspace may be stored. @throws consentMissing where none may */
  signals(workspace: string, session: string): (signal: Signal) => boolean {
    this.require(workspace);
    const { classes } = this.journal.consent(workspace);
    const wishes = wishesOf(this.journal, workspace);
    return (signal) => {
      if (!isCovered(signal.kind, classes)) return false;
      const uri = 'uri' in signal ? signal.uri : null;
      if (isForgotten(wishes, session, uri, signal.at)) return false;
      return uri === null || !this.ignores(workspace, uri);
    };
  }

  #rules(workspace: string): IgnoredFiles {
    const rules = this.#ignored.get(workspace) ?? new IgnoredFiles(workspace);
    this.#ignored.set(workspace, rules);
    return rules;
  }
}

/** An action of the agent in a conversation is part of it; an edit on request is not. */
export function classOfTurn({ modality, action }: Pick<Turn, 'modality' | 'action'>): SignalClass {
  if (modality === 'completion') return 'suggestions';
  return modality === 'edit' && (action === undefined || action.calls.length === 0) ? 'edits' : 'chat';
}
