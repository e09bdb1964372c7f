/** Where the daemon of this user keeps its files and listens. The extension has the same rule. */
import { chmodSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export function hindsightHome(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['HINDSIGHT_HOME'];
  return resolve(named === undefined || named === '' ? join(homedir(), '.hindsight') : named);
}

/** Only its owner may look into it: that is what guards the socket, too. */
export function makeHome(home: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  chmodSync(home, 0o700);
}

export const journalPath = (home: string): string => join(home, 'journal.db');
export const adaptersPath = (home: string): string => join(home, 'adapters');
export const logPath = (home: string): string => join(home, 'daemon.log');

export function socketPath(home: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== 'win32') return join(home, 'daemon.sock');
  return `\\\\.\\pipe\\hindsight-${home.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase()}`;
}
