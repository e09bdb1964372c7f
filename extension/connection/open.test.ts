import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { socketPath } from '../../protocol/address.ts';
import { openDaemon } from './open.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'hindsight-open-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A program in the daemon's place; it is given the home by the environment, as the daemon is. */
async function programOf(source: string): Promise<{ script: string; args: string[]; startLog: string }> {
  const script = path.join(folder, 'daemon.cjs');
  await writeFile(script, source);
  return { script, args: ['--extra'], startLog: path.join(folder, 'logs/start.log') };
}
const never = new AbortController().signal;

describe('opening the daemon', () => {
  it('connects to the one that listens, and starts none', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socketPath(folder), resolve));
    const said: string[] = [];
    const socket = await openDaemon(folder, await programOf('throw new Error("not me")'), never, (line) => said.push(line));
    expect(said).toEqual([]);
    socket.destroy();
    server.close();
  });

  it('starts one when nobody listens, with its arguments and its home', async () => {
    const program = await programOf(`
      const fs = require('node:fs'), path = require('node:path');
      const home = process.env.HINDSIGHT_HOME;
      fs.writeFileSync(path.join(home, 'args.json'), JSON.stringify(process.argv.slice(2)));
      setTimeout(() => require('node:net').createServer((client) => client.on('data', () => process.exit(0))).listen(path.join(home, 'daemon.sock')), 300);
      setTimeout(() => process.exit(0), 10000);`);
    const socket = await openDaemon(folder, program, never, () => undefined);
    expect(JSON.parse(await readFile(path.join(folder, 'args.json'), 'utf8'))).toEqual(['serve', '--extra']);
    socket.end('over');
  });

  it('says that it ended at once, and where to look, when it cannot start', async () => {
    const program = await programOf('console.error("no model"); process.exit(3)');
    await expect(openDaemon(folder, program, never, () => undefined)).rejects.toThrow(/exit code 3.*start\.log/);
    expect(await readFile(program.startLog, 'utf8')).toContain('no model');
  });

  it('stops waiting when the window closes', async () => {
    const closing = new AbortController();
    const opening = openDaemon(folder, await programOf('setTimeout(() => process.exit(0), 3000)'), closing.signal, () => undefined);
    setTimeout(() => closing.abort(), 200);
    await expect(opening).rejects.toThrow(/abort/i);
  });
});
