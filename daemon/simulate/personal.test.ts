import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { personalisation, scorePerUpdate, sessionsToAlignment } from './alignment.ts';
import { STUDENT } from './personas.ts';
import { simulatePersonal } from './personal.ts';
import type { PersonalOptions, SessionRecord } from './personal.ts';
import { readProblems } from './problems.ts';

const problems = readProblems(resolve(bundledModel(), '../../problems/schoolMaths.jsonl'));
const options = (more: Partial<PersonalOptions>): PersonalOptions => ({
  modelDir: bundledModel(), persona: STUDENT, problems, sessions: 4, template: 'plain', threads: 1, settings: { ...DEFAULT_SETTINGS, method: 'opd', stepSamples: 4, quietSamples: 4, holdoutShare: 0.2 }, ...more,
});

describe('the simulation', () => {
  it('teaches by the daemon’s own way, and every reply and every sample is accounted for', async () => {
    const run = await simulatePersonal(options({}));
    const { accounting, sessions } = run;
    expect(sessions).toHaveLength(4);
    expect(accounting.replies).toBe(sessions.reduce((sum, { replies }) => sum + replies, 0));
    expect(accounting.closed).toBe(accounting.replies);
    // The seed is no chat model: the student finds fault with what it says, and each correction is a hint.
    expect(accounting.hints).toBeGreaterThan(0);
    expect(accounting.hints).toBeLessThanOrEqual(accounting.replies);
    const { ready, leased, consumed, dropped } = accounting.samples;
    expect(leased).toBe(0);
    // Under opd a hint is a sample, where it may train.
    expect(ready + consumed + dropped).toBe(accounting.hints - accounting.heldOut);
    expect(run.updates).toBeGreaterThan(0);
    expect(consumed).toBeGreaterThanOrEqual(4 * run.updates);
  }, 240_000);

  it('refuses a model that is no chat model in one sentence', async () => {
    await expect(simulatePersonal(options({ template: 'checked' }))).rejects.toThrow(/seed is too small and cannot take part in a conversation.*--template plain/);
  });
});

describe('the figures', () => {
  const at = (updates: number, score: number): SessionRecord => ({ updates, version: null, firstReply: '', score, satisfied: score === 1, replies: 1 });

  it('are the first reply’s score between updates', () => {
    expect(scorePerUpdate([at(0, 0.2), at(0, 0.4), at(1, 0.6), at(3, 1)])).toEqual([{ updates: 0, sessions: 2, score: expect.closeTo(0.3) as number }, { updates: 1, sessions: 1, score: 0.6 }, { updates: 3, sessions: 1, score: 1 }]);
    expect(personalisation([at(0, 0.2), at(8, 0.4), at(15, 0.6), at(16, 1)], 8, 16)).toBeCloseTo(0.5);
    expect(personalisation([at(7, 1)], 8)).toBeNull();
  });

  it('count sessions until three in a row satisfied', () => {
    expect(sessionsToAlignment([1, 1, 0, 1, 1, 1, 0].map((score) => at(0, score)))).toBe(6);
    expect(sessionsToAlignment([1, 1, 0.8, 1, 1].map((score) => at(0, score)))).toBeNull();
    expect(sessionsToAlignment([])).toBeNull();
  });
});

describe('problems', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hindsight-problems-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('are read as a student would hand them in, gzip or not', () => {
    expect(problems).toHaveLength(20);
    expect(problems.every(({ answer }) => !/<<|####/.test(answer))).toBe(true);
    writeFileSync(join(dir, 'p.gz'), gzipSync('{"question": "q", "answer": "2 + 2 = <<2+2=4>>4\\n#### 4"}\n\n'));
    expect(readProblems(join(dir, 'p.gz'))).toEqual([{ question: 'q', answer: '2 + 2 = 4' }]);
  });

  it('that cannot be used are named with the line', () => {
    writeFileSync(join(dir, 'bad'), '{"question": "q", "answer": "a"}\n{"question": "q"}\n');
    expect(() => readProblems(join(dir, 'bad'))).toThrow(/line 2 has no question and answer/);
    expect(() => readProblems(join(dir, 'none'))).toThrow(/there is no such file/);
  });
});
