/** The owner's hand on what is recorded, while everything runs. */
import type { dataWouldStore, ForgetScope } from '../../protocol/data.ts';
import type { Result } from '../../protocol/message.ts';
import type { Clock } from '../clock.ts';
import type { Intake } from '../episodes/intake.ts';
import type { Journal } from '../journal/journal.ts';
import { forgetOnDisk } from '../privacy/forgetting.ts';
import type { ForgetReport } from '../privacy/forgetting.ts';
import { mask, secretsIn } from '../privacy/secrets.ts';
import type { Core } from './core.ts';
import { adaptersPath } from './home.ts';

export interface DataParts {
  journal: Journal;
  intake: Intake;
  clock: Clock;
  home: string;
  /** Whatever trains now. */
  cores: () => Promise<Core[]>;
  /** Texts in memory that are of the journal, or of files: they are read anew when they are needed. */
  dropMemory: () => void;
}

export class DataService {
  constructor(private readonly parts: DataParts) {}

  async wouldStore({ workspace, uri, text }: { workspace: string; uri: string; text: string }): Promise<Result<typeof dataWouldStore>> {
    const { admission } = this.parts.intake;
    const no = (stored: 'consent' | 'ignored' | 'outside'): Result<typeof dataWouldStore> => ({ stored, text: '', masked: 0 });
    if (!uri.startsWith(`${workspace}/`)) return no('outside');
    if (!admission.allows(workspace, 'suggestions')) return no('consent');
    if (admission.ignores(workspace, uri)) return no('ignored');
    const found = await secretsIn(text);
    return { stored: 'yes', text: mask(text, found), masked: found.length };
  }

  /** The step in progress is taken back first: it may be of what is forgotten. */
  async forget(scope: ForgetScope): Promise<ForgetReport> {
    const { journal, intake, clock, home, dropMemory } = this.parts;
    const cores = await this.parts.cores();
    const report = await whileNothingTrains(cores, () => {
      const workspaces = [...new Set(journal.adapters().map(({ workspace }) => workspace))];
      const forgotten = forgetOnDisk(journal, adaptersPath(home), scope, clock.now());
      intake.reread();
      dropMemory();
      for (const { trainer } of cores) trainer.startOver(scope.what === 'everything' ? workspaces : []);
      return forgotten;
    });
    if (scope.what === 'everything') for (const { adapters } of cores) await adapters.unloadAll();
    return report;
  }
}

async function whileNothingTrains<T>(cores: readonly Core[], work: () => T): Promise<T> {
  const [first, ...others] = cores;
  return first === undefined ? work() : first.trainer.whileIdle(() => whileNothingTrains(others, work));
}
