/** `hindsight replay`: what a history teaches, method against method (docs: learning.md, "The replay benchmark"). */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { DEFAULT_METHOD, DEFAULT_SETTINGS, METHODS } from '../learn/settings.ts';
import type { LearnSettings, MethodName } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { benchmark, resultTable, verdict, writeReport } from '../replay/benchmark.ts';
import { streamOf } from '../replay/git.ts';
import { lastCommits, readStream, writeStream } from '../replay/stream.ts';
import type { Stream } from '../replay/stream.ts';
import { print, say, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

interface ReplayFlags extends JsonOption {
  commits: number;
  maxLines: number;
  method: MethodName[];
  seeds: number;
  stream?: string;
  export?: string;
  report?: string;
  model: string;
  set?: Partial<LearnSettings>;
  latency: boolean;
}

export function registerReplay(program: Command): void {
  withJson(program.command('replay'))
    .description('types a git history again as a developer would, and reports what each method learned from it')
    .argument('[repository]', 'a git repository')
    .option('--stream <file>', 'an exported stream instead of a repository')
    .option('--commits <n>', 'the newest commits that add lines of code', count, 60)
    .option('--max-lines <n>', 'lines of a commit that are measured, in stretches drawn by a hash of commit, path and place; all are typed', count, 16)
    .option('--method <names>', `comma-separated, of: ${Object.keys(METHODS).join(', ')}, default (${DEFAULT_METHOD}); frozen always takes part`, methods, ['frozen', DEFAULT_METHOD])
    .option('--seeds <n>', 'runs of each method that trains', count, 1)
    .option('--model <folder>', 'a model in Hugging Face layout (default: the bundled seed)', bundledModel())
    .option('--set <key=value>', 'a setting of learning, repeatable, e.g. lr=3e-4', setting)
    .option('--no-latency', 'leave out the wall-clock run for secondsOutcomeToServed')
    .option('--report <file>', 'write the HTML report')
    .option('--export <file>', 'write the stream to a file and end')
    .action(async (repository: string | undefined, flags: ReplayFlags) => {
      const stream = await streamFrom(repository, flags);
      if (flags.export !== undefined) {
        await writeStream(flags.export, stream);
        say(`${stream.commits.length} commits of ${stream.name} are in ${flags.export}.`);
        return;
      }
      const bar = progress('Replaying');
      const { maxLines, seeds, model: modelDir, latency } = flags;
      const settings = { ...DEFAULT_SETTINGS, ...flags.set };
      const result = await benchmark({ stream, modelDir, methods: flags.method, seeds, maxLines, settings, latency, onProgress: (done, of, what) => bar.at(done, of, what) }).finally(() => bar.end());
      if (flags.report !== undefined) writeReport(flags.report, result);
      print(result, `${result.stream}, last ${result.compared} of ${result.commits} commits:\n${table(resultTable(result))}\n${verdict(result)}`, flags);
    });
}

async function streamFrom(repository: string | undefined, { stream, commits }: ReplayFlags): Promise<Stream> {
  if (stream !== undefined) return lastCommits(await readStream(stream), commits);
  if (repository === undefined) throw new HindsightError('badRequest', { problem: 'There is nothing to replay', remedy: 'Name a git repository, or a stream with --stream.' });
  return streamOf(repository, commits);
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}

function methods(text: string): MethodName[] {
  return text.split(',').map((name) => {
    const method = name.trim() === 'default' ? DEFAULT_METHOD : name.trim();
    if (!isMethod(method)) throw new InvalidArgumentError(`there is no method ${name}; there are ${Object.keys(METHODS).join(', ')}`);
    return method;
  });
}

function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}

function setting(text: string, earlier: Partial<LearnSettings> = {}): Partial<LearnSettings> {
  const [key = '', value = ''] = text.split('=');
  const known = Object.entries(DEFAULT_SETTINGS).filter(([, standard]) => typeof standard !== 'string').map(([name]) => name);
  if (!known.includes(key)) throw new InvalidArgumentError(`there is no setting ${key}; there are ${known.join(', ')}`);
  if (value === '' || !Number.isFinite(Number(value))) throw new InvalidArgumentError(`${key} needs a number`);
  return { ...earlier, [key]: Number(value) };
}
