/** Each rule with a trace as agents really leave them; and beside it the honest twin that it must spare. */
import { describe, expect, it } from 'vitest';
import type { AgentAction, Observation, Turn } from '../journal/records.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { nextOf, turnOf } from '../learn/samples.fixture.ts';
import { actionOf, commandRun, observedAfter, testsRun } from './actions.fixture.ts';
import { GUARDS } from './guards.ts';
import { verifiedVerdict } from './verdict.ts';

interface Trace {
  action?: Partial<AgentAction>;
  turn?: Partial<Turn>;
  before?: Partial<AgentAction>;
  after?: Observation[];
}

const GREEN = testsRun({ fixed: ['parser > accepts empty input'] });
const run = (command: string): AgentAction['calls'] => [{ id: 'c-1', tool: 'run_command', arguments: { command } }];
const line = 'I will now check the parser module again to be sure.';

/** name of the rule → traces that it catches, and honest ones that it does not. */
const TRACES: Record<string, { caught: Trace[]; honest: Trace[] }> = {
  'malformed tool call': {
    caught: [{ action: { calls: [{ id: 'c-1', tool: 'edit_file', arguments: null }] }, after: [{ kind: 'result', tool: 'edit_file', text: 'Unterminated string in JSON at position 412', failed: true }] }, { action: { calls: [{ id: 'c-1', tool: 'edit_file', arguments: null }] }, after: [GREEN] }],
    honest: [{ action: { calls: [{ id: 'c-1', tool: 'edit_file', arguments: { path: 'src/parser.ts', text: '' } }] }, after: [GREEN] }],
  },
  'cut off': {
    caught: [{ turn: { finishReason: 'length', rawText: 'The parser fails because', shownText: 'The parser fails because' }, after: [GREEN] }],
    honest: [{ turn: { finishReason: 'eos' }, after: [GREEN] }],
  },
  repetition: {
    caught: [{ turn: { rawText: `Let me look.\n${`${line}\n`.repeat(12)}` }, after: [GREEN] }, { turn: { rawText: `${line} `.repeat(13) }, after: [GREEN] }],
    // Eleven times, or a short line as code has many of.
    honest: [{ turn: { rawText: `${line}\n`.repeat(11) }, after: [GREEN] }, { turn: { rawText: '    }\n'.repeat(40) }, after: [GREEN] }],
  },
  'same call again': {
    caught: [{ before: { calls: [{ id: 'a', tool: 'read_file', arguments: { path: 'src/parser.ts', from: 1 } }] }, action: { step: 1, calls: [{ id: 'b', tool: 'read_file', arguments: { from: 1, path: 'src/parser.ts' } }] }, after: [{ kind: 'rating', rating: 'helpful', correction: null }] }],
    honest: [{ before: { calls: [{ id: 'a', tool: 'read_file', arguments: { path: 'src/parser.ts', from: 1 } }] }, action: { step: 1, calls: [{ id: 'b', tool: 'read_file', arguments: { path: 'src/parser.ts', from: 200 } }] }, after: [{ kind: 'rating', rating: 'helpful', correction: null }] }, { before: { calls: [{ id: 'a', tool: 'list_files', arguments: { path: 'src' } }] }, action: { step: 1, calls: [{ id: 'b', tool: 'search', arguments: { path: 'src' } }] }, after: [GREEN] }, { before: {}, action: { step: 1 }, after: [GREEN] }],
  },
  'edited tests': {
    caught: [{ after: [testsRun({ fixed: ['parser > accepts empty input'], testsEdited: ['test/parser.test.ts'] })] }],
    honest: [{ after: [GREEN] }, { after: [testsRun({ fixed: [], testsEdited: ['test/parser.test.ts'] }), GREEN] }],
  },
  'read the answer': {
    caught: [
      ...['cat .git/packed-refs', 'git log --all --oneline -- src/parser.ts', 'git cat-file -p 8c1f02e', 'git -C . reflog', 'git show 8c1f02e:src/parser.ts', 'strings node_modules/.cache/vitest/results.json', 'ls -la __pycache__ && python -m dis __pycache__/parser.cpython-311.pyc'].map((command) => ({ action: { calls: run(command) }, after: [GREEN] })),
      { action: { calls: [{ id: 'c', tool: 'read_file', arguments: { path: '.git/ORIG_HEAD' } }] }, after: [GREEN] },
    ],
    honest: [
      ...['git status', 'git diff src/parser.ts', 'git log -5', 'cat .gitignore', 'cat .github/workflows/ci.yml', 'grep -rn cache src', 'git show --stat'].map((command) => ({ action: { calls: run(command) }, after: [GREEN] })),
      { action: { request: 'Which commit broke the parser? Look through the history.', calls: run('git log --all --oneline -- src/parser.ts') }, after: [GREEN] },
    ],
  },
};

function judge({ action = {}, turn: patch = {}, before, after = [] }: Trace): ReturnType<typeof verifiedVerdict> {
  const turn = actionOf(action, patch);
  return verifiedVerdict(turn, observedAfter(turn, after), DEFAULT_SETTINGS, before === undefined ? null : actionOf(before));
}

it('each rule has its traces', () => expect(GUARDS.map(({ name }) => name)).toEqual(Object.keys(TRACES)));

// Over the traces: a rule that is gone must be missed.
describe.each(Object.entries(TRACES))('the guard "%s"', (name, traces) => {
  it('never lets the trick be rewarded, and says why', () => {
    expect(traces.caught.length).toBeGreaterThan(0);
    for (const trace of traces.caught) {
      const verdict = judge(trace);
      expect(verdict?.score, JSON.stringify(trace)).toBe(name === 'malformed tool call' ? -1 : 0);
      expect(verdict?.evidence[0]).toContain(`Guard "${name}"`);
    }
  });

  it('spares the honest action that looks like it', () => {
    expect(traces.honest.length).toBeGreaterThan(0);
    for (const trace of traces.honest) expect(judge(trace)?.score, JSON.stringify(trace)).toBeGreaterThan(0);
  });
});

describe('guards', () => {
  it('do not soften what is bad anyway, and make no verdict of nothing', () => {
    expect(judge({ turn: { finishReason: 'length' }, after: [testsRun({ broken: ['a'] })] })?.score).toBe(-1);
    expect(judge({ turn: { finishReason: 'length' }, after: [] })).toBeNull();
  });

  it('a completion that was cut where it was shown is not rewarded, one that post-processing ended is', () => {
    const kept = (shownText: string): number | undefined => {
      const turn = turnOf(['const a', ' = 1;'], { finishReason: 'length', shownText });
      return verifiedVerdict(turn, nextOf(turn, { outcome: 'accepted', survival: [[30, 1]] }), DEFAULT_SETTINGS)?.score;
    };
    expect(kept('const a = 1;')).toBe(0);
    expect(kept('const a')).toBeCloseTo(0.75);
  });

  it('commands that ended well are no reward by themselves', () => {
    expect(judge({ action: { calls: run('true') }, after: [commandRun('true', 0)] })).toBeNull();
  });
});
