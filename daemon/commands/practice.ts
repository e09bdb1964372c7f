/** `hindsight practice`: tries again what the agent failed at. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { endpoint, practiceRun } from '../../protocol/agent.ts';
import type { Endpoint } from '../../protocol/agent.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { call } from '../../protocol/transport.ts';
import { withDaemon, workspaceUri } from './client.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

/** Two attempts with their tests take minutes each. */
const PRACTICE_SECONDS = 7200;

interface PracticeFlags extends JsonOption {
  workspace?: string;
  tasks: number;
  endpoint?: string;
  endpointModel: string;
}

export function registerPractice(program: Command): void {
  withJson(program.command('practice'))
    .description('try tasks again on which the agent gave up with red tests, in a throw-away git worktree without network and git, and learn from what turns them green (Linux)')
    .option('--workspace <folder>', 'folder or URI (default: the current folder)')
    .option('--tasks <n>', 'the newest so many', count, 1)
    .option('--endpoint <url>', 'OpenAI-compatible server that tries (default: the loaded model, if it can chat); key in HINDSIGHT_PRACTICE_KEY')
    .option('--endpoint-model <name>', 'its model', 'practice')
    .action(async (flags: PracticeFlags) => {
      const workspace = workspaceUri(flags.workspace);
      const server = flags.endpoint === undefined ? undefined : endpointOf(flags.endpoint, flags.endpointModel);
      await withDaemon(workspace, async ({ link }) => {
        const bar = progress('Practising');
        const { tasks } = await call(link, practiceRun, { workspace, limit: flags.tasks, ...(server && { endpoint: server }) }, { deadline: PRACTICE_SECONDS }).finally(() => bar.end());
        const rows = tasks.map(({ request, sentence, samples }) => [request.split('\n')[0]?.slice(0, 60) ?? '', sentence, `${samples} samples`]);
        print({ workspace, tasks }, tasks.length === 0 ? 'There is nothing to practise: no task of the agent ended with red tests, or all were practised.' : table(rows), flags);
      });
    });
}

/** @throws badRequest for what is no address */
function endpointOf(url: string, model: string): Endpoint {
  const key = process.env['HINDSIGHT_PRACTICE_KEY'];
  const parsed = endpoint.safeParse({ url, model, ...(key !== undefined && { key }) });
  if (!parsed.success) throw new HindsightError('badRequest', { problem: `--endpoint ${url} is no http address`, remedy: 'Give the server\'s base, e.g. http://127.0.0.1:8080/v1.' });
  return parsed.data;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}
