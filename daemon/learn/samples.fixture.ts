/** Turns and next states for tests, from the pieces of a response: one piece is one token. */
import type { NextState, Turn } from '../journal/records.ts';

/** @param pieces text of each response token; '' is an end token */
export function turnOf(pieces: readonly string[], patch: Partial<Turn> = {}): Turn {
  const rawText = pieces.join('');
  const offsets = [0];
  for (const piece of pieces) offsets.push((offsets.at(-1) ?? 0) + Buffer.byteLength(piece, 'utf8'));
  return {
    id: 't-1', session: 's-1', workspace: 'file:///p', modality: 'completion', role: 'main', split: 'train', block: 'b-1', offeredAt: 0,
    uri: 'file:///p/src/a.ts', languageId: 'typescript', version: 1, offset: 0,
    promptIds: [100, 101, 102], promptMode: 'prefix', responseIds: pieces.map((_, index) => index + 1), logprobs: pieces.map(() => -0.5),
    rawText, offsets, shownText: rawText.replace(/\n$/, ''), finishReason: pieces.at(-1) === '' ? 'eos' : 'stop',
    sampling: { maxTokens: 32, temperature: 0, stop: ['\n'] }, adapter: null, fingerprint: 'f', before: '', after: '', ...patch,
  };
}

export function nextOf(turn: Turn, patch: Partial<NextState> = {}): NextState {
  return { turn: turn.id, outcome: 'diverged', acceptedChars: 0, developerText: null, survival: [], decidedAt: 1, ...patch };
}
