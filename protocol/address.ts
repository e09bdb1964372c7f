/** Where the daemon of this user keeps its files and listens: the one rule that both sides of the
 *  socket must share before they can speak. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** @param configured  a setting of the user; '' = the default, ~/.hindsight
 *  HINDSIGHT_HOME wins over it: it is how a test, or a shell, points at another daemon. */
export function hindsightHome(configured = '', env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env['HINDSIGHT_HOME'] || configured || join(homedir(), '.hindsight'));
}

/** A Unix socket's path, or a named pipe on Windows. */
export function socketPath(home: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== 'win32') return join(home, 'daemon.sock');
  return `\\\\.\\pipe\\hindsight-${home.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase()}`;
}
