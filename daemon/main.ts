/** `hindsight`: the command line. Each command is one file of daemon/commands/ that registers itself. */
import { Command } from 'commander';
import { registerBench } from './commands/bench.ts';
import { registerEngine } from './commands/engine.ts';
import { registerModel } from './commands/model.ts';
import { toHindsightError } from '../protocol/errors.ts';

const hindsight = new Command('hindsight')
  .description('A coding agent trained on your machine by what you do next.')
  .showHelpAfterError()
  .enablePositionalOptions();

registerModel(hindsight);
registerEngine(hindsight);
registerBench(hindsight);

hindsight.parseAsync(process.argv).catch((thrown: unknown) => {
  process.stderr.write(`hindsight: ${toHindsightError(thrown).message}\n`);
  process.exitCode = 1;
});
