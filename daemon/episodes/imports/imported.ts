/** Sessions of other tools as turns with their next states, so that the same verifiers judge them.
 *  Nothing of them trains: they have no token ids. */
import type { Exchange } from '../../hindsight/corrections.ts';
import type { NextState, Observation, Turn } from '../../journal/records.ts';

export interface ImportedTurn {
  turn: Turn;
  next: NextState;
  /** What followed in the session, oldest first, without what `next` has of it. */
  after: readonly Exchange[];
  /** What became known after the next state, e.g. that it was taken back much later. */
  late: readonly Observation[];
}

export interface Imported {
  format: string;
  sessions: number;
  /** Every reply; those that changed files have modality `edit`. */
  turns: ImportedTurn[];
  /** Records that could not be read, each with its place. */
  problems: string[];
}

export interface Action {
  id: string;
  session: string;
  step: number;
  request: string;
  reply: string;
  modality: 'chat' | 'edit';
  files: readonly string[];
  at: number;
}

/** A reply of an outside model. */
export function importedTurn({ id, session, step, request, reply, modality, files, at }: Action): Turn {
  return {
    id, session, workspace: 'imported:', modality, role: 'main', split: 'holdout', block: session, offeredAt: at,
    uri: files[0] ?? '', languageId: '', version: 0, offset: 0, promptIds: [], promptMode: 'prefix', responseIds: [], logprobs: [],
    rawText: reply, offsets: [], shownText: reply, finishReason: 'eos', sampling: { maxTokens: 1, temperature: 0 }, adapter: null, fingerprint: '', before: '', after: '',
    action: { task: session, step, request, calls: [] },
  };
}

export function importedNext(turn: Turn, observations: Observation[], decidedAt: number): NextState {
  return { turn: turn.id, outcome: observations.some(({ kind }) => kind === 'message') ? 'answered' : 'observed', acceptedChars: 0, developerText: null, survival: [], decidedAt, observations };
}
