/** `hindsight engine`: an engine that answers protocol/engine.ts on stdin and stdout. */
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { runEngine } from '../engine/channel.ts';

interface EngineFlags {
  listen?: string;
  device: string;
}

export function registerEngine(program: Command): void {
  program
    .command('engine')
    .description('an engine on stdin and stdout, for a program that speaks the engine protocol')
    .option('--listen <host:port>', 'for editors on other machines (not yet)')
    .option('--device <name>', 'auto, cpu or cuda', 'auto')
    .action((flags: EngineFlags) => {
      if (flags.listen !== undefined) throw new HindsightError('unsupported', { what: '--listen', problem: 'remote engines are not built yet', remedy: 'Leave it out for an engine on stdin and stdout.' });
      if (!['auto', 'cpu'].includes(flags.device)) throw new HindsightError('unsupported', { what: `--device ${flags.device}`, problem: 'this engine computes on the CPU', remedy: 'Use --device auto or cpu.' });
      runEngine();
    });
}
