import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Checkpoints, type CheckpointFiles } from './checkpoints.ts';

let folder = '';
let disk: Map<string, string>;
let time = 1000;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'hindsight-checkpoints-'));
  disk = new Map([['/p/a.ts', 'old a'], ['/p/b.ts', 'old b'], ['/p/untouched.ts', 'mine']]);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const files: CheckpointFiles = {
  read: (file) => Promise.resolve(disk.get(file) ?? null),
  write: (file, text) => Promise.resolve(void disk.set(file, text)),
  remove: (file) => Promise.resolve(void disk.delete(file)),
};
const open = (totalBytes = 1_000_000, fileBytes = 1000): Checkpoints => new Checkpoints(folder, files, () => (time += 1), { totalBytes, fileBytes });
const size = (): number => readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => sum + (statSync(path.join(folder, name)).isFile() ? statSync(path.join(folder, name)).size : 0), 0);

describe('checkpoints', () => {
  it('take back a whole request, and can be taken back themselves', async () => {
    const checkpoints = open();
    for (const file of ['/p/a.ts', '/p/new.ts', '/p/a.ts']) {
      await checkpoints.take('c-1', 'make it better', file);
      disk.set(file, `agent's ${file}`);
    }
    disk.set('/p/untouched.ts', 'mine, later');
    const rescue = await open().restore('c-1');
    expect([...disk]).toEqual([['/p/a.ts', 'old a'], ['/p/b.ts', 'old b'], ['/p/untouched.ts', 'mine, later']]);
    await checkpoints.restore(rescue);
    expect(disk.get('/p/a.ts')).toBe("agent's /p/a.ts");
    expect(disk.get('/p/new.ts')).toBe("agent's /p/new.ts");
  });

  it('stay within their bound, oldest first, and the one in use stays', async () => {
    const checkpoints = open(2500);
    for (let number = 0; number < 20; number += 1) {
      disk.set('/p/a.ts', String(number).padEnd(700, '.'));
      await checkpoints.take(`c-${number}`, 't', '/p/a.ts');
      expect(size()).toBeLessThan(2500 + 1000);
    }
    const left = (await checkpoints.list()).map((each) => each.id);
    expect(left[0]).toBe('c-19');
    expect(left.length).toBeGreaterThan(1);
    expect(left.length).toBeLessThan(5);
    await expect(checkpoints.restore('c-0')).rejects.toThrow(/no longer there/);
  });

  it('a file that could not be taken back, or that is git’s, is not to be changed', async () => {
    disk.set('/p/big', 'x'.repeat(2000));
    await expect(open().take('c-1', 't', '/p/big')).rejects.toThrow(/too large to be taken back/);
    await expect(open().take('c-1', 't', '/p/.git/config')).rejects.toThrow(/git/);
  });
});
