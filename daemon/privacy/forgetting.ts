/** Forgetting on disk: the journal's rows, and the files of versions that may not serve any more. What runs
 *  must not have any of it in memory: the daemon sees to that (server/data.ts). */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '../../protocol/message.ts';
import type { dataForget, ForgetScope as WireScope } from '../../protocol/data.ts';
import { OPTIMIZER, WEIGHTS } from '../adapters/files.ts';
import type { ForgetScope, Forgotten } from '../journal/forget.ts';
import type { Journal } from '../journal/journal.ts';

export type ForgetReport = Result<typeof dataForget>;

/** @param adapters  the folder of all versions
 *  @throws badRequest while another program reads the journal */
export function forgetOnDisk(journal: Journal, adapters: string, wire: WireScope, now: number): ForgetReport {
  const scope = scopeOf(wire);
  const candidates = journal.adapters().filter(({ state }) => state === 'candidate');
  const forgotten = journal.forget(scope, now);
  if (scope.everything) rmSync(adapters, { recursive: true, force: true });
  const refused = candidates.filter(({ workspace, version }) => forgotten.adapters.some((one) => one.workspace === workspace && one.version === version));
  for (const { dir } of refused) for (const file of [WEIGHTS, OPTIMIZER]) rmSync(join(dir, file), { force: true });
  return { ...forgotten, serving: servingOf(journal, forgotten) };
}

function scopeOf(wire: WireScope): ForgetScope {
  switch (wire.what) {
    case 'file':
      return { uri: wire.uri };
    case 'folder':
      return { folder: wire.uri.replace(/\/+$/, '') };
    case 'session':
      return { session: wire.session };
    case 'workspace':
      return { workspace: wire.workspace };
    case 'everything':
      return { everything: true };
  }
}

/** The newest promoted version before the first that may have learned from it; the base model otherwise. */
function servingOf(journal: Journal, { adapters }: Forgotten): ForgetReport['serving'] {
  return [...new Set(adapters.map(({ workspace }) => workspace))].flatMap((workspace) => {
    const version = journal.serving(workspace);
    const first = Math.min(...adapters.filter((one) => one.workspace === workspace).map((one) => one.version));
    if (version === null || version < first) return [];
    const before = journal.adapters(workspace).find((one) => one.version < first && one.state === 'retired');
    return [{ workspace, version, instead: before?.version ?? null }];
  });
}
