/** `hindsight`: the command line. Each command is one file of daemon/commands/ that registers itself. */
import { Command } from 'commander';
import { toHindsightError } from '../protocol/errors.ts';
import { registerAdapters } from './commands/adapters.ts';
import { registerAttach } from './commands/attach.ts';
import { registerBench } from './commands/bench.ts';
import { registerDemo } from './commands/demo.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerEngine } from './commands/engine.ts';
import { registerJournal } from './commands/journal.ts';
import { registerLearn } from './commands/learn.ts';
import { registerLsp } from './commands/lsp.ts';
import { registerModel } from './commands/model.ts';
import { registerPractice } from './commands/practice.ts';
import { registerReplay } from './commands/replay.ts';
import { registerServe } from './commands/serve.ts';
import { registerSimulate } from './commands/simulate.ts';
import { registerStatus } from './commands/status.ts';
import { registerStop } from './commands/stop.ts';
import { registerVerdicts } from './commands/verdicts.ts';
import { VERSION } from './version.ts';

const hindsight = new Command('hindsight')
  .description('A coding agent trained on your machine by what you do next.')
  .version(VERSION, '-V, --version', 'say which version this is')
  .configureOutput({ outputError: (text, write) => write(`hindsight: ${text.replace(/^error: /, '').trim().replaceAll('\n', ' ').replace(/\.?$/, '.')} See --help.\n`) })
  .enablePositionalOptions();

registerDemo(hindsight);
registerReplay(hindsight);
registerSimulate(hindsight);
registerServe(hindsight);
registerStop(hindsight);
registerStatus(hindsight);
registerLearn(hindsight);
registerLsp(hindsight);
registerPractice(hindsight);
registerModel(hindsight);
registerAdapters(hindsight);
registerJournal(hindsight);
registerDoctor(hindsight);
registerEngine(hindsight);
registerAttach(hindsight);
registerBench(hindsight);
registerVerdicts(hindsight);

hindsight.parseAsync(process.argv).catch((thrown: unknown) => {
  process.stderr.write(`hindsight: ${toHindsightError(thrown).message}\n`);
  process.exitCode = 1;
});
