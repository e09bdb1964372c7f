import { describe, expect, it } from 'vitest';
import type { Status } from '../../protocol/editor.ts';
import { statusText } from './statusText.ts';

const STATUS: Status = {
  state: 'serving',
  adapter: 3,
  model: { name: 'seed', fingerprint: 'f', device: 'cpu' },
  remote: null,
  pipe: { turnsOpen: 0, turnsClosed: 4, verdicts: 4, samplesReady: 2, samplesLeased: 0, samplesConsumed: 0, samplesDropped: 0, steps: 1 },
  warning: null,
  quietUntil: null,
};

describe('status text', () => {
  it('shows the state and the version that serves', () => {
    expect(statusText(STATUS, 'granted', '').text).toBe('$(sparkle) Hindsight v3 · cpu');
    expect(statusText({ ...STATUS, adapter: null }, 'granted', '').text).toBe('$(sparkle) Hindsight · cpu');
    expect(statusText({ ...STATUS, state: 'learning' }, 'granted', '').accessible).toBe('Hindsight v3 learning · cpu');
    expect(statusText({ ...STATUS, state: 'paused' }, 'granted', '').accessible).toBe('Hindsight v3 paused · cpu');
  });

  it('shows where a remote engine is, and that this machine serves while it is away', () => {
    const remote = { address: 'gpu-box:7077', device: 'cuda', model: 'coder', link: 'up', latencyMs: 11.6, reason: null, serve: 'remote', train: 'remote' } as const;
    const up = statusText({ ...STATUS, remote }, 'granted', '');
    expect(up.text).toBe('$(sparkle) Hindsight v3 · coder on cuda, 12 ms');
    const long = statusText({ ...STATUS, remote: { ...remote, model: 'Qwen2.5-Coder-1.5B-Instruct', latencyMs: null } }, 'granted', '');
    expect(long.text).toBe('$(sparkle) Hindsight v3 · Qwen2.5-Coder-1.5B-Inst… on cuda');
    expect(up.tooltip).toContain('gpu-box:7077: coder on cuda, 11.6 ms away');
    const away = statusText({ ...STATUS, remote: { ...remote, link: 'down', latencyMs: null, reason: 'the link to it was lost' } }, 'granted', '');
    expect(away.text).toBe('$(sparkle) Hindsight v3 · remote is away');
    expect(away.tooltip).toContain('this machine serves meanwhile');
  });

  it('says that suggestions come only when they are asked for, and until when', () => {
    const quiet = statusText({ ...STATUS, quietUntil: new Date(2026, 0, 5, 14, 30).getTime() }, 'granted', '');
    expect(quiet.text).toBe('$(sparkle) Hindsight v3 quiet · cpu');
    expect(quiet.tooltip).toMatch(/only when asked until .*30/);
    expect(quiet.needsAttention).toBe(false);
  });

  it('says why it is offline, and what needs the eye', () => {
    const offline = statusText(undefined, 'granted', 'The daemon ended at once.');
    expect([offline.text, offline.needsAttention]).toEqual(['$(debug-disconnect) Hindsight offline', true]);
    expect(offline.tooltip).toContain('The daemon ended at once.');
    expect(statusText({ ...STATUS, warning: 'Look.' }, 'granted', '').needsAttention).toBe(true);
  });

  it('never lets a workspace without consent look as if it taught', () => {
    expect(statusText(STATUS, 'unknown', '').accessible).toContain('until you choose');
    expect(statusText(STATUS, 'refused', '').accessible).toContain('Does not learn');
  });
});
