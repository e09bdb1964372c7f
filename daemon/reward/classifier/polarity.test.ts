import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readCorpus } from './corpus/file.ts';
import type { NextStateText } from './features.ts';
import { classifierVerdict, PolarityClassifier, type Reading } from './polarity.ts';
import { measureLatency } from './training/latency.ts';

const FOLDER = join('testdata', 'classifier');
const MODEL = join(FOLDER, 'polarity.onnx');
const classifier = new PolarityClassifier();
const polarity = async (input: NextStateText): Promise<string> => (await classifier.read(input)).polarity;
const said = (text: string): Promise<string> => polarity({ kind: 'message', text });
const shown = (text: string, command?: string, exitCode?: number): Promise<string> => polarity({ kind: 'terminal', text, ...(command === undefined ? {} : { command }), ...(exitCode === undefined ? {} : { exitCode }) });

afterAll(() => classifier.close());

describe('the next-state classifier', () => {
  it('reads what tools print', async () => {
    expect(await shown(' Test Files  3 passed (3)\n      Tests  41 passed (41)\n', 'npx vitest run', 0)).toBe('worked');
    expect(await shown('src/a.ts(3,7): error TS2322: Type "string" is not assignable to type "number".')).toBe('failed');
    expect(await shown('FAIL src/a.test.ts > adds\nAssertionError: expected 3 to be 2\n\n Tests  1 failed | 9 passed (10)\n', 'npx vitest run', 1)).toBe('failed');
    expect(await shown('On branch main\nnothing to commit, working tree clean\n', 'git status', 0)).toBe('neutral');
  });

  it('makes no success of a summary that counts failures', async () => {
    for (const text of ['=========== 2 failed, 10 passed in 0.31s ===========', 'Tests: 1 failed, 30 passed, 31 total', '5 problems (1 error, 4 warnings)']) {
      const input: NextStateText = { kind: 'terminal', text };
      expect(classifierVerdict('t', await classifier.read(input), input, 0)?.score ?? -1).toBeLessThan(0);
    }
  });

  it('does not take a zero or non-zero exit code for success or failure', async () => {
    expect(await shown('', 'grep -n TODO src/app.ts', 1)).not.toBe('failed');
    expect(await shown('', 'mkdir -p build', 0)).not.toBe('worked');
    expect(await shown('README.md\npackage.json\nsrc\n', 'ls', 0)).toBe('neutral');
  });

  it('reads what people answer', async () => {
    expect(await said('perfect, thanks!')).toBe('worked');
    expect(await said('works now. next: add the docs')).toBe('worked');
    expect(await said("no, that's wrong, use the repository's logger")).toBe('failed');
    expect(await said('still getting the same error')).toBe('failed');
    expect(await said('/undo')).toBe('failed');
    expect(await said('how does the parser handle comments?')).toBe('neutral');
    expect(await said('das funktioniert nicht')).toBe('failed');
  });

  it('is not moved by verdict markers inside the text', async () => {
    const output = 'error: could not compile `app` due to 2 previous errors\n';
    const before = await classifier.read({ kind: 'terminal', text: output });
    const after = await classifier.read({ kind: 'terminal', text: `\\boxed{1} ${output}\\boxed{ 1 }\n[user's hint / instruction]\n` });
    expect(after.polarity).toBe('failed');
    expect(after.probabilities.failed).toBeCloseTo(before.probabilities.failed, 1);
  });

  it('gives probabilities for any text, the empty one included', async () => {
    for (const text of ['', '\n\n', '\u001b[31m', '🦀'.repeat(2000), 'x'.repeat(100_000)]) {
      for (const kind of ['terminal', 'message'] as const) {
        const { worked, failed, neutral } = (await classifier.read({ kind, text })).probabilities;
        expect(worked + failed + neutral).toBeCloseTo(1, 4);
      }
    }
  });

  it('is at most 5 MB and answers within 2 ms (median, one thread)', async () => {
    expect(statSync(MODEL).size).toBeLessThanOrEqual(5 * 1024 * 1024);
    const latency = await measureLatency(MODEL, readCorpus(join(FOLDER, 'corpus.jsonl.gz')), 200);
    expect(latency.p50Ms).toBeLessThanOrEqual(2);
  });

  it('says what is missing when the model is not there or is not one', async () => {
    await expect(new PolarityClassifier('/nowhere/polarity.onnx').read({ kind: 'message', text: 'ok' })).rejects.toMatchObject({ errorName: 'modelMissing' });
    const absent = new PolarityClassifier('/nowhere/polarity.onnx');
    await expect(absent.read({ kind: 'message', text: 'ok' })).rejects.toThrow();
    await expect(absent.close()).resolves.toBeUndefined();
    await expect(new PolarityClassifier('package.json').read({ kind: 'message', text: 'ok' })).rejects.toMatchObject({ errorName: 'modelCorrupt' });
  });
});

describe('classifierVerdict', () => {
  const input: NextStateText = { kind: 'terminal', command: 'make\n# more', text: '\n  make: *** [all] Error 2\n' };
  const reading = (worked: number, failed: number, neutral: number): Reading => {
    const confidence = Math.max(worked, failed, neutral);
    return { polarity: confidence === worked ? 'worked' : confidence === failed ? 'failed' : 'neutral', confidence, probabilities: { worked, failed, neutral } };
  };

  it('scores by the difference of worked and failed, with evidence a person can read', () => {
    const verdict = classifierVerdict('t1', reading(0.1, 0.8, 0.1), input, 5);
    expect(verdict).toMatchObject({ turn: 't1', source: 'classifier', confidence: 0.8, at: 5 });
    expect(verdict?.score).toBeCloseTo(-0.7);
    expect(verdict?.evidence).toEqual(['the output of `make` reads as failed (80 % sure): "make: *** [all] Error 2"']);
  });

  it('has no verdict, not a zero, on neutral or doubtful text', () => {
    expect(classifierVerdict('t1', reading(0.1, 0.1, 0.8), input, 5)).toBeNull();
    expect(classifierVerdict('t1', reading(0.5, 0.1, 0.4), input, 5)).toBeNull();
  });
});
