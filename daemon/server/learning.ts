/** What was learned, for whoever looks at it: curves, lessons, versions with their reasons, two versions side by side. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import type { adapterCompare, learningView } from '../../protocol/learning.ts';
import type { Params, Result } from '../../protocol/message.ts';
import { RECEIPT } from '../adapters/files.ts';
import { exportVersion } from '../adapters/export.ts';
import { complete } from '../agent/completion/complete.ts';
import type { CompletionRequest } from '../agent/completion/complete.ts';
import { explainVersion } from '../gate/explain.ts';
import type { Journal } from '../journal/journal.ts';
import type { AdapterRecord } from '../journal/records.ts';
import type { Core } from './core.ts';
import { latestLessons } from './lessons.ts';

export interface LearningParts {
  journal: Journal;
  core: () => Promise<Core>;
  /** A prompt's makings, without the secrets in them. */
  surroundings: (workspace: string, place: { uri: string; text: string; offset: number }) => Promise<Pick<CompletionRequest, 'path' | 'text' | 'offset' | 'openFiles' | 'memory'>>;
}

export class LearningService {
  constructor(private readonly parts: LearningParts) {}

  view(workspace: string, lessons: number): Result<typeof learningView> {
    const { journal } = this.parts;
    const versions = journal.adapters(workspace).map((record) => {
      const { version, parent, state, createdAt, samples, reason } = record;
      return { version, parent, state, createdAt, samples, reason, why: explainVersion(record, receiptOf(record)) };
    });
    return { serving: journal.serving(workspace), curve: journal.versionCurves(workspace), versions, lessons: latestLessons(journal, workspace, lessons) };
  }

  /** @throws adapterMissing, adapterUnfit, adapterCorrupt, engineUnavailable */
  async compare({ workspace, uri, text, offset, versions }: Params<typeof adapterCompare>): Promise<Result<typeof adapterCompare>> {
    const core = await this.parts.core();
    const around = await this.parts.surroundings(workspace, { uri, text, offset });
    const answer = async (version: number | null): Promise<string> => {
      const adapter = version === null ? null : { version, name: await core.adapters.ensureLoaded(workspace, version) };
      const turn = await complete({ ...around, recall: null, workspace, uri, adapter, session: '', languageId: '', version: 0, now: 0, block: '', split: 'holdout' }, core);
      return turn?.shownText ?? '';
    };
    const [one, other] = versions;
    return { answers: [await answer(one), await answer(other)] };
  }

  export(workspace: string, version: number, folder: string): string[] {
    const record = this.parts.journal.adapters(workspace).find((one) => one.version === version);
    if (record === undefined) throw new HindsightError('adapterMissing', { adapter: `version ${version} of ${workspace}` });
    return exportVersion(record, folder);
  }
}

function receiptOf({ dir }: AdapterRecord): unknown {
  const path = join(dir, RECEIPT);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}
