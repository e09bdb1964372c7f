/**
 * `secondsOutcomeToServed`: by the wall clock, from a completion's provisional verdict to the first
 * completion that is answered by an adapter trained on it. A run of its own: the developer types
 * without pauses, learning goes on in the background as it does in an editor, the gate included.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock.ts';
import { startEngine } from '../engine/client.ts';
import type { Journal } from '../journal/journal.ts';
import { serveConnection } from '../server/connection.ts';
import { Daemon } from '../server/daemon.ts';
import { Developer } from './developer.ts';
import { ReplayEditor } from './editor.ts';
import { memoryLink } from './link.ts';
import { planCommit } from './plan.ts';
import type { RunOptions } from './run.ts';
import { applyCommit } from './stream.ts';
import type { Texts } from './stream.ts';

/** Given up after so long; the figure is then unknown. */
const LIMIT_MS = 90_000;
const WORKSPACE = 'file:///replay/latency';

/** @returns seconds, the median over the verdicts that were learned from; null = no version got to serve */
export async function outcomeToServed(options: Pick<RunOptions, 'stream' | 'modelDir' | 'settings' | 'maxLines'>): Promise<number | null> {
  const home = mkdtempSync(join(tmpdir(), 'hindsight-latency-'));
  const { stream, modelDir, settings, maxLines } = options;
  const engine = await startEngine({ modelDir });
  const daemon = await Daemon.start({ home, modelDir, settings, engine, blockOf: ({ uri }) => uri, debounceMs: 0 });
  try {
    await daemon.ready;
    const { client, server } = memoryLink();
    serveConnection(daemon, server);
    client.listen();
    const editor = new ReplayEditor(client, { session: 'latency', workspace: WORKSPACE, clock: systemClock });
    await editor.start('in background');
    // Time passes by itself; nothing is scored, so no prompt is asked for.
    const pace = { now: () => systemClock.now(), advance: () => undefined };
    const developer = new Developer(editor, pace, () => Promise.resolve({ promptIds: [], healed: '' }));
    const until = systemClock.now() + LIMIT_MS;
    const texts: Texts = new Map();
    for (const commit of stream.commits) {
      await developer.commit(planCommit(commit, texts, maxLines));
      applyCommit(texts, commit);
      const seconds = servedAfter(daemon.journal);
      if (seconds.length > 0) return median(seconds);
      if (systemClock.now() > until) return null;
    }
    return null;
  } finally {
    await daemon.stop();
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** For each verdict that a served version learned from: seconds until that version's first answer. */
function servedAfter(journal: Journal): number[] {
  const turns = journal.turnsOf({ workspace: WORKSPACE });
  return journal.steps({ workspace: WORKSPACE, state: 'gated' }).flatMap(({ id, candidate }) => {
    const answers = turns.filter(({ adapter }) => candidate !== null && adapter !== null && adapter >= candidate).map(({ offeredAt }) => offeredAt);
    if (answers.length === 0) return [];
    const taught = journal.samples({ workspace: WORKSPACE, state: 'consumed' }).filter(({ step }) => step === id);
    return taught.flatMap(({ turn }) => journal.verdicts(turn).slice(0, 1).map(({ at }) => (Math.min(...answers) - at) / 1000));
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
