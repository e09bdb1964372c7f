/** `hindsight journal …`: what is recorded, and taking it back. */
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { Journal } from '../journal/journal.ts';
import { hindsightHome, socketPath } from '../../protocol/address.ts';
import { journalPath } from '../server/home.ts';
import { tryConnect } from '../server/socket.ts';
import { workspaceUri } from './client.ts';
import { print, say, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface ScopeFlags extends JsonOption {
  workspace?: string;
  session?: string;
  file?: string;
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
  withJson(journal.command('verify'))
    .description('check that every signal, turn and sample is accounted for')
    .action((flags: JsonOption) => withJournal((open) => {
      const problems = open.verify();
      print({ sound: problems.length === 0, problems }, problems.length === 0 ? 'The journal is sound.' : problems.join('\n'), flags);
      if (problems.length > 0) throw new HindsightError('journalCorrupt', { path: open.path, problem: `${problems.length} of its records do not add up` });
    }));
  withJson(journal.command('forget'))
    .description('take a session, a file or a workspace out of the journal for good, and name the adapters that were trained on it')
    .option('--session <id>', 'a session')
    .option('--file <path>', 'a file, or its URI')
    .option('--workspace <folder>', 'a workspace')
    .action((flags: ScopeFlags) => forget(flags));
}

async function forget(flags: ScopeFlags): Promise<void> {
  const scopes = [
    ...(flags.session === undefined ? [] : [{ session: flags.session }]),
    ...(flags.file === undefined ? [] : [{ uri: flags.file.includes('://') ? flags.file : pathToFileURL(resolve(flags.file)).href }]),
    ...(flags.workspace === undefined ? [] : [{ workspace: workspaceUri(flags.workspace) }]),
  ];
  const [scope] = scopes;
  if (scope === undefined || scopes.length > 1) throw new HindsightError('badRequest', { problem: 'Exactly one thing can be forgotten at once', remedy: 'Give --session, --file or --workspace.' });
  // A running daemon has texts in memory that it would write again.
  if (await daemonRuns()) throw new HindsightError('badRequest', { problem: 'The daemon is running and still has what is to be forgotten in memory', remedy: 'Run `hindsight stop` first.' });
  withJournal((open) => {
    const forgotten = open.forget(scope);
    const named = forgotten.adapters.map(({ workspace, version }) => `version ${version} of ${workspace}`);
    const trained = named.length === 0 ? 'No adapter was trained on it.' : `It was learned by ${named.join(', ')}; see \`hindsight adapters rollback\`.`;
    print(forgotten, `Forgot ${forgotten.turns} turns and ${forgotten.signals} signals. ${trained}`, flags);
  });
}

async function daemonRuns(): Promise<boolean> {
  const socket = await tryConnect(socketPath(hindsightHome()));
  socket?.destroy();
  return socket !== null;
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

function withJournal(work: (journal: Journal) => void): void {
  const path = journalPath(hindsightHome());
  if (!existsSync(path)) throw new HindsightError('journalCorrupt', { path, problem: 'it does not exist yet' });
  const journal = Journal.open(path);
  try {
    work(journal);
  } finally {
    journal.close();
  }
}
