import { describe, expect, it } from 'vitest';
import type { AdapterRecord } from '../journal/records.ts';
import { explainVersion } from './explain.ts';

const RECORD: AdapterRecord = { workspace: 'w', version: 7, parent: 6, fingerprint: 'f', dir: '/d', sha256: 's', state: 'rejected', createdAt: 0, samples: 16, reason: 'Other code is forgotten.' };
const GATE_FACTS = { decidedBy: 'golden', edits: 12, blocks: 4, overServing: { mean: 0.0012, lower: null }, overBase: { mean: 0.03, lower: 0.01 }, overBest: null, goldenChange: 0.0123, kl: 0.0311, entropyRatio: 0.97, failures: ['Other code is forgotten.'] };

describe('a version explained', () => {
  it('says where it came from, what the gate saw against which bound, and why it was refused', () => {
    const text = explainVersion(RECORD, { settings: { lr: 0.0015 }, metrics: { effective: 16, rehearsed: 9 }, gate: GATE_FACTS }).join('\n');
    expect(text).toBe(
      'Version 7 was refused and never served. Other code is forgotten.\n' +
        'It was trained from version 6 on 16 new samples and 9 rehearsed ones, at a learning rate of 0.0015.\n' +
        'On 12 held-out edits in 4 blocks, in nats per byte: +0.0012 against what served (lower 90 % bound unknown), +0.0300 against the base; too few to decide (30 in 8 blocks are needed).\n' +
        "On the golden set, against the base: loss +1.23 % (at most +1.00 %), KL 0.0311 nats per token (at most 0.05), entropy 97 % of the base's.\n" +
        'Refused: Other code is forgotten.',
    );
  });

  it('says what the monitor took back and what served instead', () => {
    const lines = explainVersion({ ...RECORD, state: 'quarantined' }, { gate: { ...GATE_FACTS, failures: [] }, quarantined: { reason: 'Less was kept.', servesInstead: null } });
    expect(lines.at(-1)).toBe('Taken back: Less was kept. The base model served instead.');
  });

  it('admits what it does not know', () => {
    expect(explainVersion(RECORD, null).at(-1)).toMatch(/missing or unreadable/);
    expect(explainVersion(RECORD, {})).toContain('The gate has not judged it.');
  });
});
