/** `hindsight`: the command line. Each command is one file of daemon/commands/ that registers itself. */
import { Command } from 'commander';
import { toHindsightError } from '../protocol/errors.ts';

const hindsight = new Command('hindsight')
  .description('A coding agent trained on your machine by what you do next.')
  .showHelpAfterError()
  .enablePositionalOptions();

// registerX(hindsight);

hindsight.parseAsync(process.argv).catch((thrown: unknown) => {
  process.stderr.write(`hindsight: ${toHindsightError(thrown).message}\n`);
  process.exitCode = 1;
});
