import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listen, tryConnect } from './socket.ts';

let home: string;
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'hindsight-socket-'))));
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe.skipIf(process.platform === 'win32')('the socket of a home', () => {
  it('belongs to its owner alone', async () => {
    const listening = await listen(home, (socket) => socket.destroy());
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(join(home, 'daemon.sock')).mode & 0o177).toBe(0);
    await listening?.close();
    expect(await tryConnect(join(home, 'daemon.sock'))).toBeNull();
  });

  it('goes to exactly one of several starts at once; the next one gets it after the end', async () => {
    const starts = await Promise.all(Array.from({ length: 5 }, () => listen(home, (socket) => socket.destroy())));
    const winners = starts.filter((one) => one !== null);
    expect(winners).toHaveLength(1);
    await winners[0]?.close();
    const next = await listen(home, (socket) => socket.destroy());
    expect(next).not.toBeNull();
    await next?.close();
  });

  it('is not taken from another program, nor is a file in its place removed', async () => {
    const path = join(home, 'daemon.sock');
    const stranger = createServer().listen(path);
    await new Promise((resolve) => stranger.once('listening', resolve));
    await expect(listen(home, () => undefined)).rejects.toThrow(/is held by something that is not a Hindsight daemon\. Stop that program/);
    await new Promise((resolve) => stranger.close(resolve));
    writeFileSync(path, 'mine');
    await expect(listen(home, () => undefined)).rejects.toThrow(/not a Hindsight daemon/);
    expect(statSync(path).size).toBe(4);
  });

  it('says so when its path is too long for an address', async () => {
    await expect(listen(join(home, 'x'.repeat(120)), () => undefined)).rejects.toThrow(/too long .* Set HINDSIGHT_HOME/);
  });
});
