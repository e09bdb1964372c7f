/** A version as a folder that peft, vLLM and others load. */
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import type { AdapterRecord } from '../journal/records.ts';
import { CONFIG, RECEIPT, WEIGHTS } from './files.ts';

/** @returns the files' names
 *  @throws badRequest where the folder exists; adapterCorrupt where the version's files are gone */
export function exportVersion({ version, dir }: AdapterRecord, folder: string): string[] {
  if (existsSync(folder)) throw new HindsightError('badRequest', { problem: `${folder} exists already`, remedy: 'Name a folder that does not.' });
  for (const name of [CONFIG, WEIGHTS]) if (!existsSync(join(dir, name))) throw new HindsightError('adapterCorrupt', { adapter: `version ${version}`, problem: `${name} is missing` });
  const files = [CONFIG, WEIGHTS, RECEIPT].filter((name) => existsSync(join(dir, name)));
  for (const name of files) cpSync(join(dir, name), join(folder, name));
  return files;
}
