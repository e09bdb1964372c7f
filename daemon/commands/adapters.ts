/** `hindsight adapters …`: what was learned, version by version. The journal and the folders are read
 *  directly; what changes the version under the agent goes through the daemon. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { adapterRollback } from '../../protocol/editor.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { call } from '../../protocol/transport.ts';
import { exportVersion } from '../adapters/export.ts';
import { explainVersion } from '../gate/explain.ts';
import { Journal } from '../journal/journal.ts';
import type { AdapterRecord } from '../journal/records.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { journalPath } from '../server/home.ts';
import { withDaemon, workspaceUri } from './client.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface AdapterFlags extends JsonOption {
  workspace?: string;
}

export function registerAdapters(program: Command): void {
  const adapters = program.command('adapters').description('what was learned, version by version');
  const of = (command: Command): Command => withJson(command).option('--workspace <folder>', 'folder or URI (default: the current folder)');
  of(adapters.command('list')).description('versions of a workspace, newest first').action(list);
  of(adapters.command('show <version>')).description('why a version serves or does not, in words; --json adds its receipt').action(show);
  of(adapters.command('activate <version>')).description('put a promoted version under the agent; base is the model alone').action((version: string, flags: AdapterFlags) => activate(versionOf(version), flags));
  of(adapters.command('rollback')).description('put back what served before').action((flags: AdapterFlags) => activate(undefined, flags));
  of(adapters.command('export <version> <folder>')).description('copy a version in PEFT format, for peft, vLLM and others').action(exportAdapter);
}

function list(flags: AdapterFlags): void {
  const workspace = workspaceUri(flags.workspace);
  const { records, serving } = read(workspace);
  const rows = records.map((one) => [String(one.version), one.state, one.parent === null ? 'base' : String(one.parent), String(one.samples), new Date(one.createdAt).toISOString().slice(0, 19), one.reason]);
  const text = rows.length === 0 ? `Nothing was learned from ${workspace} yet.` : table([['version', 'state', 'from', 'samples', 'made (UTC)', 'why'], ...rows]);
  print({ workspace, serving, adapters: records }, text, flags);
}

function show(version: string, flags: AdapterFlags): void {
  const record = find(workspaceUri(flags.workspace), version);
  const path = join(record.dir, 'receipt.json');
  const receipt: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
  const why = explainVersion(record, receipt);
  print({ ...record, receipt, why }, [...why, `Its receipt is ${path}.`].join('\n'), flags);
}

async function activate(to: number | null | undefined, flags: AdapterFlags): Promise<void> {
  const workspace = workspaceUri(flags.workspace);
  await withDaemon(workspace, async ({ link }) => {
    const { serving } = await call(link, adapterRollback, { workspace, ...(to === undefined ? {} : { to }) });
    print({ workspace, serving }, serving === null ? 'The base model serves alone now.' : `Version ${serving} serves now.`, flags);
  });
}

function exportAdapter(version: string, folder: string, flags: AdapterFlags): void {
  const record = find(workspaceUri(flags.workspace), version);
  exportVersion(record, folder);
  print({ version: record.version, folder, base: record.fingerprint }, `Version ${record.version} is in ${folder}.`, flags);
}

function find(workspace: string, version: string): AdapterRecord {
  const number = versionOf(version);
  const record = read(workspace).records.find((one) => one.version === number);
  if (record === undefined) throw new HindsightError('adapterMissing', { adapter: `version ${version} of ${workspace}` });
  return record;
}

function versionOf(text: string): number | null {
  if (text === 'base') return null;
  const version = Number(text);
  if (!Number.isInteger(version) || version < 1) throw new HindsightError('badRequest', { problem: `${text} is not a version`, remedy: 'Give a number of `hindsight adapters list`, or base.' });
  return version;
}

function read(workspace: string): { records: AdapterRecord[]; serving: number | null } {
  const path = journalPath(hindsightHome());
  if (!existsSync(path)) return { records: [], serving: null };
  const journal = Journal.open(path);
  try {
    return { records: journal.adapters(workspace), serving: journal.serving(workspace) };
  } finally {
    journal.close();
  }
}
