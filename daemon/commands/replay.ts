/** `hindsight replay`: what a history teaches, method against method (docs: learning.md, "The replay benchmark"). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { DEFAULT_METHOD, DEFAULT_SETTINGS, METHODS, settingsOf } from '../learn/settings.ts';
import { Journal } from '../journal/journal.ts';
import { resolveModel } from '../models/models.ts';
import { benchmark, remarks, resultTable, verdict, writeReport } from '../replay/benchmark.ts';
import { POISONS } from '../replay/conduct.ts';
import type { Poison } from '../replay/conduct.ts';
import { streamOf } from '../replay/git.ts';
import { streamOfJournal } from '../replay/journalStream.ts';
import { RunStore } from '../replay/keep.ts';
import { preferenceStream } from '../replay/preference.ts';
import type { Probe } from '../replay/probes.ts';
import { streamOfRecordings } from '../replay/recordings.ts';
import type { RecordingFacts } from '../replay/recordings.ts';
import { lastCommits, readStream, writeStream } from '../replay/stream.ts';
import type { Stream } from '../replay/stream.ts';
import { journalPath } from '../server/home.ts';
import { print, say, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

/** Of the made-up project: the same one every time. */
const PREFERENCE_SEED = 1;

interface ReplayFlags extends JsonOption {
  commits: number;
  maxLines: number;
  method: string[];
  seeds: number;
  stream?: string;
  export?: string;
  report?: string;
  poison?: Poison;
  preference?: boolean;
  recording?: string;
  journal?: boolean;
  home?: string;
  workspace?: string;
  model?: string;
  set?: string[];
  jobs?: number;
  keep: string;
  again?: boolean;
  latency: boolean;
}

export function registerReplay(program: Command): void {
  withJson(program.command('replay'))
    .description('types a git history again as a developer would, and reports what each method learned from it')
    .argument('[repository]', 'a git repository')
    .option('--stream <file>', 'an exported stream instead of a repository')
    .option('--recording <folder>', 'recorded editing sessions (workspaceRecording@1.0) instead of a repository')
    .option('--journal', 'your own work instead of a repository: would these settings have served you better?')
    .option('--home <folder>', 'whose journal (default: the daemon\u2019s own)')
    .option('--workspace <uri>', 'which workspace of the journal (default: the one with the most turns)')
    .option('--commits <n>', 'the newest commits that add lines of code', count, 60)
    .option('--max-lines <n>', 'lines of a commit that are measured, in stretches drawn by a hash of commit, path and place; all are typed', count, 16)
    .option('--method <names>', `comma-separated, of: ${Object.keys(METHODS).join(', ')}, default (what is shipped); frozen always takes part; combined:lr=1e-3:klBeta=0 is a setting of its own`, list, ['frozen', DEFAULT_METHOD])
    .option('--seeds <n>', 'runs of each method that trains', count, 1)
    .option('--model <model>', 'name of a model here, or a folder in Hugging Face layout (default: the bundled seed)')
    .option('--set <key=value>', 'a setting of learning for all but frozen and default, repeatable, e.g. lr=3e-4', more)
    .option('--jobs <n>', 'runs side by side (default: one per core)', count)
    .option('--keep <folder>', 'where finished runs are kept, so that a replay which was stopped goes on', join(hindsightHome(), 'replay'))
    .option('--again', 'make every run anew')
    .addOption(new Option('--poison <how>', `a developer who misleads: ${Object.entries(POISONS).map(([name, does]) => `${name} ${does}`).join('; ')}`).choices(Object.keys(POISONS)))
    .option('--preference', 'a made-up project with a planted preference (log.at, never console) instead of a repository; reports when it shows in files that nothing was learned from')
    .option('--no-latency', 'leave out the wall-clock run for secondsOutcomeToServed')
    .option('--report <file>', 'write the HTML report')
    .option('--export <file>', 'write the stream to a file and end')
    .action(async (repository: string | undefined, flags: ReplayFlags) => {
      const { stream, probes, recordings, personal } = await sourceOf(repository, flags);
      if (flags.export !== undefined) {
        await writeStream(flags.export, stream);
        print({ stream: stream.name, origin: stream.origin, commits: stream.commits.length, ...(recordings && { recordings }) }, `${stream.commits.length} commits of ${stream.name} are in ${flags.export}.`, flags);
        return;
      }
      const bar = progress('Replaying');
      const { maxLines, seeds, latency, jobs, poison } = flags;
      const modelDir = resolveModel(flags.model, hindsightHome());
      const settings = { ...DEFAULT_SETTINGS, ...settingsOf(flags.set ?? []) };
      const store = personal ? null : new RunStore(flags.keep, flags.again === true ? 'write' : 'read and write');
      const result = await benchmark({ stream, modelDir, methods: flags.method, seeds, maxLines, settings, latency, store, ...(probes && { probes }), ...(poison && { poison }), ...(jobs !== undefined && { jobs }), onProgress: (done, of, what) => bar.at(done, of, what) }).finally(() => bar.end());
      if (flags.report !== undefined) writeReport(flags.report, result);
      print(result, `${result.stream}, last ${result.compared} of ${result.commits} commits:\n${table(resultTable(result))}\n${[verdict(result), ...remarks(result)].join('\n')}`, flags);
    });
}

interface Source {
  stream: Stream;
  probes?: Probe[];
  recordings?: RecordingFacts[];
  /** Nothing of it is kept outside of its journal, so that `journal forget` leaves no trace. */
  personal?: true;
}

async function sourceOf(repository: string | undefined, { stream, commits, preference, recording, journal, home, workspace }: ReplayFlags): Promise<Source> {
  const named = [repository, stream, recording, journal, preference].filter((one) => one !== undefined).length;
  if (named !== 1) throw new HindsightError('badRequest', { problem: named === 0 ? 'There is nothing to replay' : 'There is more than one thing to replay', remedy: 'Name a git repository, or one of --stream, --recording, --journal and --preference.' });
  if (preference === true) return preferenceStream(commits, PREFERENCE_SEED);
  if (stream !== undefined) return { stream: lastCommits(await readStream(stream), commits) };
  if (recording !== undefined) {
    const { stream: recorded, facts } = streamOfRecordings(recording);
    const total = (of: (fact: RecordingFacts) => number): number => facts.reduce((sum, fact) => sum + of(fact), 0);
    say(`${facts.length} recordings: ${total((fact) => fact.documents.length)} documents rebuilt over ${total((fact) => fact.changes)} changes, ${total((fact) => fact.accepts.length)} accepted suggestions.`);
    return { stream: lastCommits(recorded, commits), recordings: facts };
  }
  if (journal === true) return { stream: lastCommits(journalOf(hindsightHome(home, home === undefined ? process.env : {}), workspace), commits), personal: true };
  return { stream: await streamOf(repository ?? '', commits) };
}

function journalOf(home: string, workspace: string | undefined): Stream {
  if (!existsSync(journalPath(home))) throw new HindsightError('repositoryUnusable', { path: home, problem: 'there is no journal in it' });
  const journal = Journal.open(journalPath(home));
  try {
    return streamOfJournal(journal, home, workspace ?? null);
  } finally {
    journal.close();
  }
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}

function list(text: string): string[] {
  return text.split(',').map((name) => name.trim()).filter((name) => name !== '');
}

function more(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, text];
}
