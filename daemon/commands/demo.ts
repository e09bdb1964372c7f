/** `hindsight demo`: the main job at a small size. A real history, typed again, teaches the bundled seed. */
import type { Command } from 'commander';
import { DEFAULT_METHOD, DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { benchmark, BUNDLED_STREAM, resultTable, verdict, writeReport } from '../replay/benchmark.ts';
import { lastCommits, readStream } from '../replay/stream.ts';
import { print, say, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

/** What fits into a few minutes on two cores. */
const COMMITS = 40;
const MAX_LINES = 10;
const REPORT = 'hindsight-report.html';

export function registerDemo(program: Command): void {
  withJson(program.command('demo'))
    .description('replays a real history with the bundled model, frozen against learning, and writes hindsight-report.html')
    .option('--report <file>', 'where the HTML report goes', REPORT)
    .action(async (flags: JsonOption & { report: string }) => {
      const stream = lastCommits(await readStream(BUNDLED_STREAM), COMMITS);
      say(`A simulated developer types the last ${COMMITS} commits of ${stream.name} again, once with the frozen seed model and once with it learning. This takes a few minutes.`);
      const bar = progress('Replaying');
      const result = await benchmark({
        stream, modelDir: bundledModel(), methods: ['frozen', DEFAULT_METHOD], seeds: 1, maxLines: MAX_LINES, settings: DEFAULT_SETTINGS, latency: true, store: null,
        onProgress: (done, of, what) => bar.at(done, of, what),
      }).finally(() => bar.end());
      writeReport(flags.report, result);
      print(result, `${result.stream}, last ${result.compared} of ${result.commits} commits:\n${table(resultTable(result))}\n${verdict(result)}\nThe report is in ${flags.report}.`, flags);
    });
}
