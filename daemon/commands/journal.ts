/** `hindsight journal …`: what is recorded, and taking it back. */
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { dataForget } from '../../protocol/data.ts';
import type { ForgetScope } from '../../protocol/data.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { call } from '../../protocol/transport.ts';
import { Journal } from '../journal/journal.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { adaptersPath, journalPath } from '../server/home.ts';
import { exportRecords } from '../privacy/export.ts';
import { forgetOnDisk } from '../privacy/forgetting.ts';
import type { ForgetReport } from '../privacy/forgetting.ts';
import { connectDaemon, workspaceUri } from './client.ts';
import { print, say, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

/** A step in progress is taken back, and the file is written anew. */
const FORGET_SECONDS = 600;

interface ScopeFlags extends JsonOption {
  workspace?: string;
}

interface ForgetFlags extends ScopeFlags {
  session?: string;
  file?: string;
  folder?: string;
  everything?: boolean;
}

export function registerJournal(program: Command): void {
  const journal = program.command('journal').description('what is recorded on this machine, and taking it back');
  withJson(journal.command('stats'))
    .description('counts of what is where in the pipe')
    .option('--workspace <folder>', 'one workspace only')
    .action((flags: ScopeFlags) => withJournal((open) => {
      const stats = open.stats(flags.workspace === undefined ? undefined : workspaceUri(flags.workspace));
      print(stats, JSON.stringify(stats, null, 2), flags);
    }));
  journal.command('export <file>')
    .description('write turns with all that became of them, one JSON object a line; - is stdout')
    .option('--workspace <folder>', 'one workspace only')
    .action((file: string, flags: ScopeFlags) => withJournal((open) => exportTurns(open, file, flags)));
  withJson(journal.command('records <file>'))
    .description('write every record of a workspace as it stands, one JSON object a line')
    .option('--workspace <folder>', 'folder or URI (default: the current folder)')
    .action((file: string, flags: ScopeFlags) => withJournal(async (open) => {
      const done = await exportRecords(open, workspaceUri(flags.workspace), file);
      print({ file, ...done }, `${done.records} records are in ${file}.`, flags);
    }));
  withJson(journal.command('verify'))
    .description('check that every signal, turn and sample is accounted for')
    .action((flags: JsonOption) => withJournal((open) => {
      const problems = open.verify();
      print({ sound: problems.length === 0, problems }, problems.length === 0 ? 'The journal is sound.' : problems.join('\n'), flags);
      if (problems.length > 0) throw new HindsightError('journalCorrupt', { path: open.path, problem: `${problems.length} of its records do not add up` });
    }));
  withJson(journal.command('forget'))
    .description('take a session, a file, a folder, a workspace or everything out of the journal for good, and name the versions that may have learned from it')
    .option('--session <id>', 'a session')
    .option('--file <path>', 'a file, or its URI')
    .option('--folder <path>', 'a folder, or its URI')
    .option('--workspace <folder>', 'a workspace')
    .option('--everything', 'all that is recorded of all workspaces, and every version that learned from it')
    .action((flags: ForgetFlags) => forget(flags));
}

async function forget(flags: ForgetFlags): Promise<void> {
  const uriOf = (path: string): string => (path.includes('://') ? path : pathToFileURL(resolve(path)).href);
  const scopes: ForgetScope[] = [
    ...(flags.session === undefined ? [] : [{ what: 'session', session: flags.session } as const]),
    ...(flags.file === undefined ? [] : [{ what: 'file', uri: uriOf(flags.file) } as const]),
    ...(flags.folder === undefined ? [] : [{ what: 'folder', uri: uriOf(flags.folder) } as const]),
    ...(flags.workspace === undefined ? [] : [{ what: 'workspace', workspace: workspaceUri(flags.workspace) } as const]),
    ...(flags.everything === true ? [{ what: 'everything' } as const] : []),
  ];
  const [scope] = scopes;
  if (scope === undefined || scopes.length > 1) throw new HindsightError('badRequest', { problem: 'Exactly one thing can be forgotten at once', remedy: 'Give --session, --file, --folder, --workspace or --everything.' });
  const forgotten = await forgetNow(scope);
  print(forgotten, sentences(forgotten), flags);
}

/** A running daemon does it, because it has texts in memory that it would write again. */
async function forgetNow(scope: ForgetScope): Promise<ForgetReport> {
  const daemon = await connectDaemon(workspaceUri());
  if (daemon === null) return withJournal((open) => forgetOnDisk(open, adaptersPath(hindsightHome()), scope, Date.now()));
  try {
    return await call(daemon.link, dataForget, { scope }, { deadline: FORGET_SECONDS });
  } finally {
    daemon.link.dispose();
  }
}

function sentences({ signals, turns, samples, remembered, adapters, serving }: ForgetReport): string {
  const named = adapters.map(({ workspace, version }) => `version ${version} of ${workspace}`);
  return [
    `Forgot ${turns} turns and ${signals} signals, with ${samples} lessons and ${remembered} remembered texts.`,
    named.length === 0 ? 'No version learned from it.' : `It may have been learned by ${named.join(', ')}.`,
    ...serving.map(({ workspace, version, instead }) => `Version ${version} still serves ${workspace}; \`hindsight adapters activate ${instead ?? 'base'} --workspace ${workspace}\` puts ${instead === null ? 'the base model' : `version ${instead}`} in its place.`),
  ].join('\n');
}

function exportTurns(journal: Journal, file: string, flags: ScopeFlags): void {
  const turns = journal.turnsOf(flags.workspace === undefined ? {} : { workspace: workspaceUri(flags.workspace) }).reverse();
  const target = file === '-' ? 1 : openSync(file, 'w', 0o600);
  try {
    for (const turn of turns) {
      writeSync(target, `${JSON.stringify({ turn, nextState: journal.nextState(turn.id), verdicts: journal.verdicts(turn.id), hints: journal.hints(turn.id) })}\n`);
    }
  } finally {
    if (target !== 1) closeSync(target);
  }
  say(`${turns.length} turns exported.`);
}

async function withJournal<T>(work: (journal: Journal) => T | Promise<T>): Promise<T> {
  const path = journalPath(hindsightHome());
  if (!existsSync(path)) throw new HindsightError('journalCorrupt', { path, problem: 'it does not exist yet' });
  const journal = Journal.open(path);
  try {
    return await work(journal);
  } finally {
    journal.close();
  }
}
