/** What is known of a turn now: its next state, which never changes, and what came to light since. */
import type { LateEvidence, NextState } from './records.ts';

/** Marks in the order of their horizons; text that was taken back stands there no more. */
export function withEvidence(next: NextState, evidence: readonly LateEvidence[]): NextState {
  if (evidence.length === 0) return next;
  let { survival, developerText, observations } = next;
  for (const one of evidence) {
    if (one.kind === 'survival') {
      survival = [...survival, [one.seconds, one.similarity]];
      if (one.written !== null && one.similarity !== 1) developerText = one.written;
    } else if (one.kind === 'takenBack') {
      survival = [...survival, [Math.max(...survival.map(([seconds]) => seconds), 0) + 1, 0]];
      observations = observations && [...observations, { kind: 'undone', how: one.how }];
    } else if (one.kind === 'observed') {
      observations = [...(observations ?? []), one.observation];
    } else {
      observations = observations && [...observations, { kind: 'commit', hash: one.hash, subject: one.subject }];
    }
  }
  return { ...next, survival, developerText, ...(observations && { observations }) };
}
