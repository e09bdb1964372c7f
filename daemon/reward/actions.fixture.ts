/** Agent's actions for tests. */
import type { AgentAction, NextState, Observation, Turn } from '../journal/records.ts';
import { turnOf } from '../learn/samples.fixture.ts';

export function actionOf(patch: Partial<AgentAction> = {}, turn: Partial<Turn> = {}): Turn {
  const action: AgentAction = { task: 'k-1', step: 0, request: 'Make the parser accept empty input.', calls: [], ...patch };
  return turnOf(['Done.', ''], { modality: action.calls.length === 0 ? 'chat' : 'tool', uri: '', ...turn, action });
}

export function observedAfter(turn: Turn, observations: Observation[], patch: Partial<NextState> = {}): NextState {
  return { turn: turn.id, outcome: 'observed', acceptedChars: 0, developerText: null, survival: [], decidedAt: 5, observations, ...patch };
}

export function testsRun(patch: Partial<Extract<Observation, { kind: 'tests' }>> = {}): Observation {
  return { kind: 'tests', command: 'npx vitest run', passed: 12, failed: 0, errors: 0, fixed: [], broken: [], testsEdited: [], ...patch };
}

export function commandRun(command: string, exitCode: number | null, output = '', ended: 'itself' | 'deadline' | 'stopped' | 'refused' = 'itself'): Observation {
  return { kind: 'terminal', command, exitCode, ended, output, durationMs: 40 };
}
