/** The part of the daemon that needs the engine: what completes, what learns, and what it learned. */
import { fimKey, measureFim, promptMode } from '../agent/completion/fim.ts';
import type { FimMeasurement } from '../agent/completion/fim.ts';
import { snippetIds } from '../agent/completion/snippet.ts';
import { AdapterStore } from '../adapters/store.ts';
import { startEngine } from '../engine/client.ts';
import type { Engine } from '../engine/engine.ts';
import type { GoldenText } from '../gate/golden.ts';
import type { Journal } from '../journal/journal.ts';
import type { Turn } from '../journal/records.ts';
import { Trainer } from '../learn/trainer.ts';
import type { TrainerParts } from '../learn/trainer.ts';
import { adaptersPath } from './home.ts';

/** What passes: a request goes to another engine, and an engine that could not start for it is started again. */
export const PASSING: readonly string[] = ['engineUnavailable', 'deadline', 'engineBusy', 'linkClosed'];

export interface EngineChoice {
  modelDir: string;
  dtype?: 'fp32' | 'bf16' | 'int8' | 'nf4';
  device?: 'cpu' | 'cuda';
  threads?: number;
  memoryBytes?: number;
  /** One that runs already; whoever started it ends it. */
  engine?: Engine;
  golden?: readonly GoldenText[];
}

export interface Core {
  engine: Engine;
  adapters: AdapterStore;
  trainer: Trainer;
  promptMode: Turn['promptMode'];
}

type Listeners = Pick<TrainerParts, 'onProgress' | 'onPublished' | 'onError' | 'onWarning' | 'waits'>;

/** @throws what the engine cannot start for */
export async function startCore(choice: EngineChoice, own: Pick<TrainerParts, 'journal' | 'settings' | 'clock' | 'mine'> & { home: string; log: (line: string) => void }, listeners: Listeners): Promise<Core> {
  const { modelDir, dtype, device, threads, memoryBytes, golden } = choice;
  const { home, log, ...parts } = own;
  const engine = choice.engine ?? (await startEngine({ modelDir, log, ...(dtype && { dtype }), ...(device && { device }), ...(threads && { threads }), ...(memoryBytes && { memoryBytes }) }));
  try {
    const adapters = new AdapterStore({ journal: parts.journal, engine, root: adaptersPath(home) });
    const trainer = new Trainer({ ...parts, ...listeners, engine, adapters, snippetIds: (snippet) => snippetIds(engine, snippet), ...(golden && { golden }) });
    return { engine, adapters, trainer, promptMode: promptMode('auto', engine.model, await measured(parts.journal, engine)) };
  } catch (thrown) {
    if (choice.engine === undefined) await engine.close();
    throw thrown;
  }
}

/** Measured once per model, and kept. */
async function measured(journal: Journal, engine: Engine): Promise<FimMeasurement | null> {
  const key = fimKey(engine.model.fingerprint);
  const known = journal.get(key);
  if (known !== undefined) return known as FimMeasurement | null;
  const measurement = await measureFim(engine);
  journal.set(key, measurement);
  return measurement;
}
