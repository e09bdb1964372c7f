/** `hindsight learn …`: holds learning, lets it go on, or learns at once what is ready. */
import type { Command } from 'commander';
import { trainingNow, trainingPause, trainingResume } from '../../protocol/editor.ts';
import { call } from '../../protocol/transport.ts';
import { withDaemon, workspaceUri } from './client.ts';
import { print, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

/** A step with its gate takes minutes on a slow machine. */
const TRAINING_SECONDS = 3600;

interface LearnFlags extends JsonOption {
  workspace?: string;
}

export function registerLearn(program: Command): void {
  const learn = program.command('learn').description('hold learning, let it go on, or learn now');
  withJson(learn.command('pause'))
    .description('hold training after the piece in progress, in all workspaces; suggestions and recording go on')
    .action((flags: JsonOption) => withDaemon(workspaceUri(), async ({ link }) => {
      await call(link, trainingPause, {});
      print({ paused: true }, 'Learning is paused. `hindsight learn resume` lets it go on.', flags);
    }));
  withJson(learn.command('resume'))
    .description('let training go on')
    .action((flags: JsonOption) => withDaemon(workspaceUri(), async ({ link }) => {
      await call(link, trainingResume, {});
      print({ paused: false }, 'Learning goes on.', flags);
    }));
  withJson(learn.command('now'))
    .description('train all that is ready, gate included, also while paused, on battery or on a busy machine')
    .option('--workspace <folder>', 'folder or URI (default: the current folder)')
    .action(async (flags: LearnFlags) => {
      const workspace = workspaceUri(flags.workspace);
      await withDaemon(workspace, async ({ link }) => {
        const bar = progress('Learning');
        const done = await call(link, trainingNow, { workspace }, { deadline: TRAINING_SECONDS }).finally(() => bar.end());
        print({ workspace, ...done }, sentence(done), flags);
      });
    });
}

function sentence({ steps, promoted }: { steps: number; promoted: number }): string {
  if (steps === 0) return 'There is too little to learn from yet.';
  return `${steps} ${steps === 1 ? 'step' : 'steps'} taken, ${promoted} of ${steps === 1 ? 'it' : 'them'} promoted. \`hindsight adapters list\` says why.`;
}
