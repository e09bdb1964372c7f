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

/** Seconds, each the median over the verdicts that were learned from. */
export interface Latency {
  /** From a verdict to the first answer of a version that learned from it. */
  total: number;
  /** Until its step began: other samples were waited for, or another step was running. */
  waiting: number;
  /** Until the candidate was written. */
  training: number;
  /** The gate, and the time until the developer asked again. */
  gateAndNextRequest: number;
}

/** @returns null = no version got to serve */
export async function outcomeToServed(options: Pick<RunOptions, 'stream' | 'modelDir' | 'settings' | 'maxLines'>): Promise<Latency | null> {
  const home = mkdtempSync(join(tmpdir(), 'hindsight-latency-'));
  const { stream, modelDir, settings, maxLines } = options;
  const engine = await startEngine({ modelDir });
  const daemon = await Daemon.start({ home, modelDir, settings, engine, blockOf: ({ uri }) => uri, typist: 'replay' });
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
      const latency = latencyOf(servedAfter(daemon.journal));
      if (latency !== null) return latency;
      if (systemClock.now() > until) return null;
    }
    return null;
  } finally {
    await daemon.stop();
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** Each verdict that a served version learned from: seconds until its step, its candidate, and the first answer by that version. */
function servedAfter(journal: Journal): Omit<Latency, 'total'>[] {
  const turns = journal.turnsOf({ workspace: WORKSPACE });
  const madeAt = new Map(journal.adapters(WORKSPACE).map(({ version, createdAt }) => [version, createdAt]));
  return journal.steps({ workspace: WORKSPACE, state: 'gated' }).flatMap(({ id, candidate, startedAt }) => {
    const answers = turns.filter(({ adapter }) => candidate !== null && adapter !== null && adapter >= candidate).map(({ offeredAt }) => offeredAt);
    const written = candidate === null ? undefined : madeAt.get(candidate);
    if (answers.length === 0 || written === undefined) return [];
    const taught = journal.samples({ workspace: WORKSPACE, state: 'consumed' }).filter(({ step }) => step === id);
    return taught.flatMap(({ turn }) => journal.verdicts(turn).slice(0, 1).map(({ at }) => ({ waiting: (startedAt - at) / 1000, training: (written - startedAt) / 1000, gateAndNextRequest: (Math.min(...answers) - written) / 1000 })));
  });
}

function latencyOf(parts: readonly Omit<Latency, 'total'>[]): Latency | null {
  if (parts.length === 0) return null;
  const of = (value: (part: Omit<Latency, 'total'>) => number): number => median(parts.map(value));
  return { total: of((part) => part.waiting + part.training + part.gateAndNextRequest), waiting: of((part) => part.waiting), training: of((part) => part.training), gateAndNextRequest: of((part) => part.gateAndNextRequest) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
