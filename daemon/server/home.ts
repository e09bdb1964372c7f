/** The files of the daemon in its home folder (protocol/address.ts says where that is). */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Only its owner may look into it: that is what guards the socket, too. */
export function makeHome(home: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  chmodSync(home, 0o700);
}

export const journalPath = (home: string): string => join(home, 'journal.db');
export const adaptersPath = (home: string): string => join(home, 'adapters');
export const logPath = (home: string): string => join(home, 'daemon.log');
