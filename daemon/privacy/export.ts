/** A workspace's records as a file. What was stored is masked already; it is read once more, because
 *  the rules may know more today than when it was stored. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Journal } from '../journal/journal.ts';
import { scrubAll } from './secrets.ts';

export async function exportRecords(journal: Journal, workspace: string, path: string): Promise<{ records: number; bytes: number }> {
  const file = openSync(path, 'w', 0o600);
  let records = 0;
  let bytes = 0;
  try {
    for (const { kind, at, json } of journal.allRecords(workspace)) {
      const record = await scrubAll(JSON.parse(json) as unknown);
      bytes += writeSync(file, `${JSON.stringify({ kind, at, record })}\n`);
      records += 1;
    }
  } finally {
    closeSync(file);
  }
  return { records, bytes };
}
