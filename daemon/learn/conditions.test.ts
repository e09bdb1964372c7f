import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONDITIONS, reasonToWait } from './conditions.ts';
import type { MachineFacts } from './conditions.ts';
import { onBattery } from './machine.ts';

const IDLE: MachineFacts = { onBattery: null, loadPerCore: 0.2, training: false, sharedDevice: true, typingSecondsAgo: Infinity, answerMs: null, heldSeconds: 0 };

describe('background training waits', () => {
  it('on battery, not on mains power and not where nothing is known', () => {
    expect(reasonToWait({ ...IDLE, onBattery: true })).toMatch(/battery/);
    expect(reasonToWait({ ...IDLE, onBattery: false })).toBeNull();
    expect(reasonToWait({ ...IDLE, loadPerCore: null })).toBeNull();
    expect(reasonToWait({ ...IDLE, onBattery: true }, { ...CONDITIONS, onBattery: 'train' })).toBeNull();
  });

  it('on a busy machine, but does not stop for the load it makes itself', () => {
    expect(reasonToWait({ ...IDLE, loadPerCore: 4 })).toMatch(/busy/);
    expect(reasonToWait({ ...IDLE, loadPerCore: 4, training: true })).toBeNull();
    expect(reasonToWait({ ...IDLE, loadPerCore: 6, training: true })).toMatch(/busy/);
  });

  it('no longer than five minutes for load, but as long as it takes for a battery', () => {
    expect(reasonToWait({ ...IDLE, loadPerCore: 9, heldSeconds: 301 })).toBeNull();
    expect(reasonToWait({ ...IDLE, onBattery: true, heldSeconds: 301 })).toMatch(/battery/);
  });

  it('while somebody types whose suggestions are slow on the same device, and not for ever', () => {
    const typing = { ...IDLE, typingSecondsAgo: 0.5, answerMs: 400 };
    expect(reasonToWait(typing)).toMatch(/typing/);
    expect(reasonToWait({ ...typing, answerMs: 40 })).toBeNull();
    expect(reasonToWait({ ...typing, sharedDevice: false })).toBeNull();
    expect(reasonToWait({ ...typing, typingSecondsAgo: 5 })).toBeNull();
    expect(reasonToWait({ ...typing, heldSeconds: CONDITIONS.longestHoldSeconds })).toBeNull();
  });
});

describe('the power supply', () => {
  const supplies = (files: Record<string, Record<string, string>>): boolean | null => {
    const root = mkdtempSync(join(tmpdir(), 'hindsight-power-'));
    for (const [name, values] of Object.entries(files)) {
      mkdirSync(join(root, name));
      for (const [key, value] of Object.entries(values)) writeFileSync(join(root, name, key), `${value}\n`);
    }
    const found = onBattery(root);
    rmSync(root, { recursive: true });
    return found;
  };

  it('is read as the kernel tells it', () => {
    expect(supplies({ BAT0: { type: 'Battery', status: 'Discharging' }, AC: { type: 'Mains', online: '0' } })).toBe(true);
    expect(supplies({ BAT0: { type: 'Battery', status: 'Charging' }, AC: { type: 'Mains', online: '1' } })).toBe(false);
    expect(supplies({ BAT0: { type: 'Battery', status: 'Not charging' }, 'ucsi-1': { type: 'USB', online: '1' } })).toBe(false);
    expect(supplies({ mouse: { type: 'Battery', status: 'Discharging', scope: 'Device' } })).toBeNull();
    expect(supplies({})).toBeNull();
    expect(onBattery('/no/such/folder')).toBeNull();
  });
});
