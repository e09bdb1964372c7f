/** The corpus on disk: JSON lines, gzipped. */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import { POLARITIES, type CorpusRecord } from './record.ts';

const line = z.object({
  kind: z.enum(['terminal', 'message']),
  family: z.string(),
  label: z.enum(POLARITIES),
  command: z.string().optional(),
  exitCode: z.number().optional(),
  text: z.string(),
});

export function readCorpus(path: string): CorpusRecord[] {
  const lines = gunzipSync(readFileSync(path)).toString('utf8').split('\n');
  return lines.filter((text) => text !== '').map((text) => {
    const { command, exitCode, ...rest } = line.parse(JSON.parse(text));
    return { ...rest, ...(command === undefined ? {} : { command }), ...(exitCode === undefined ? {} : { exitCode }) };
  });
}

export function writeCorpus(path: string, records: readonly CorpusRecord[]): void {
  writeFileSync(path, gzipSync(records.map((record) => JSON.stringify(record)).join('\n'), { level: 9 }));
}
