// Where the daemon of this user listens. The rule is the daemon's own (docs/architecture.md).
import os from 'node:os';
import path from 'node:path';

export interface DaemonAddress {
  /** The daemon's folder: journal, adapters, socket. */
  readonly home: string;
  /** A Unix socket's path, or a named pipe on Windows. */
  readonly socket: string;
}

/** @param configured  the setting `hindsight.home`; empty means the default
 *  The environment wins over the setting: it is how a test, or a shell, points at another daemon. */
export function daemonAddress(configured: string, env: NodeJS.ProcessEnv = process.env, platform: NodeJS.Platform = process.platform): DaemonAddress {
  const home = path.resolve(nonEmpty(env['HINDSIGHT_HOME']) ?? nonEmpty(configured) ?? path.join(os.homedir(), '.hindsight'));
  return { home, socket: platform === 'win32' ? windowsPipe(home) : path.join(home, 'daemon.sock') };
}

function windowsPipe(home: string): string {
  return `\\\\.\\pipe\\hindsight-${home.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase()}`;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
