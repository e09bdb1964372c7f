/** Programs run to their end, for tests. Never synchronously: a worker that is blocked for a minute
 *  cannot report, and vitest then fails the whole run. */
import { execFile } from 'node:child_process';
import path from 'node:path';

export const HINDSIGHT = path.resolve(import.meta.dirname, '../dist/hindsight.js');

export interface Ended {
  /** null where a signal ended it. */
  code: number | null;
  out: string;
  err: string;
}

export function runNode(script: string, args: readonly string[], { home, timeoutMs = 60_000 }: { home?: string; timeoutMs?: number } = {}): Promise<Ended> {
  return new Promise((done) => {
    const child = execFile(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, ...(home !== undefined && { HINDSIGHT_HOME: home }) }, timeout: timeoutMs, maxBuffer: 64e6 }, (_, out, err) => done({ code: child.exitCode, out, err }));
  });
}

/** The built command line on a home of its own. */
export function runHindsight(home: string, ...args: string[]): Promise<Ended> {
  return runNode(HINDSIGHT, args, { home });
}
