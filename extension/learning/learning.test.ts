import { describe, expect, it } from 'vitest';
import type { Status } from '../../protocol/editor.ts';
import { english } from '../translate.ts';
import { pageModel, type LearningFacts } from './pageModel.ts';
import { shell } from './shell.ts';

const MARKUP = '<img src=x onerror=alert(1)>';
const STATUS: Status = {
  state: 'serving', adapter: 2, model: { name: 'seed', fingerprint: 'f', device: 'cpu' }, remote: null, warning: null, quietUntil: null,
  pipe: { turnsOpen: 0, turnsClosed: 12, verdicts: 9, samplesReady: 3, samplesLeased: 0, samplesConsumed: 5, samplesDropped: 0, steps: 1 },
};
const FACTS: LearningFacts = {
  serving: 2,
  curve: [
    { version: null, accepted: { of: 10, value: 0.3, lower: 0.11, upper: 0.6 }, survived: { of: 0, value: null, lower: null, upper: null } },
    { version: 2, accepted: { of: 10, value: 0.6, lower: 0.31, upper: 0.83 }, survived: { of: 6, value: 1, lower: 0.61, upper: 1 } },
  ],
  versions: [{ version: 2, parent: null, state: 'serving', createdAt: 1_790_000_000_000, samples: 5, reason: 'Likelier.', why: ['Version 2 serves. Likelier.'] }],
  lessons: [{ turn: 't', at: 1_790_000_000_000, uri: 'file:///p/a%20b.ts', offered: MARKUP, held: false, written: 'x', outcome: 'diverged', score: -0.5, evidence: ['Something else.'], state: 'learned', version: 2, reason: null }],
};

describe('the page', () => {
  it('shows every version with its shares, the base among them, and says what is not known', () => {
    const page = pageModel(FACTS, STATUS, 'en', english);
    expect(page.versions.map(({ cells: [name, state, accepted, survived] }) => [name, state, accepted, survived])).toEqual([
      ['2', 'serves', '60 % (31 to 83 %) of 10', '100 % (61 to 100 %) of 6'],
      ['base model', '', '30 % (11 to 60 %) of 10', 'none yet'],
    ]);
    expect(page.charts[0]?.points.map(({ label, serving, value }) => [label, serving, value])).toEqual([['base', false, 0.3], ['v2', true, 0.6]]);
    // No dot stands for what nobody knows.
    expect(page.charts[1]?.points.map(({ label }) => label)).toEqual(['v2']);
    expect(page.charts[0]?.description).toContain('version 2: 60 % (31 to 83 %) of 10');
    expect(page.versions[0]?.why).toEqual(['Version 2 serves. Likelier.']);
    expect(page.summary[0]).toBe('seed on cpu, version 2; serving.');
  });

  it('tells of a lesson what was suggested, what was done and what it learned', () => {
    const [lesson] = pageModel(FACTS, STATUS, 'en', english).lessons;
    expect(lesson).toMatchObject({ tone: 'bad', outcome: 'something else was written (−0.50)', why: 'Something else.', learned: 'learned by version 2', offered: MARKUP, written: 'x' });
    expect(lesson?.title).toMatch(/^a b\.ts · /);
  });

  it('is whole while nothing was learned and nobody serves', () => {
    const page = pageModel({ serving: null, curve: [], versions: [], lessons: [] }, undefined, 'en', english);
    expect([page.summary, page.chartNote, page.versions.length, page.lessons]).toEqual([['The daemon is away.'], 'There is no answered suggestion yet.', 1, []]);
  });

  it('lets nothing load or run but what carries its nonce', () => {
    const html = shell({ nonce: 'N', script: 'https://x/dist/learningPage.js' });
    const policy = /Content-Security-Policy" content="([^"]+)"/.exec(html)?.[1];
    expect(policy?.split('; ')).toEqual(["default-src 'none'", "base-uri 'none'", "form-action 'none'", "style-src 'nonce-N'", "script-src 'nonce-N'"]);
    expect([...html.matchAll(/<script[^>]*>/g)].map(([tag]) => tag)).toEqual(['<script nonce="N" src="https://x/dist/learningPage.js">']);
    expect(html).not.toMatch(/\son\w+=|javascript:/);
  });
});
