/** What the status bar shows, worked out from plain facts. */
import type { Status } from '../../protocol/editor.ts';
import type { ModelInfo } from '../../protocol/engine.ts';
import type { RemoteStatus } from '../../protocol/remote.ts';
import type { HindsightError } from '../../protocol/errors.ts';
import type { PipeCounts } from '../journal/stats.ts';

/** Offers that may all come to nothing by chance. */
const ENOUGH_OFFERS = 20;

export interface Facts {
  engine: 'starting' | 'up' | 'down' | HindsightError;
  model: ModelInfo | null;
  adapter: number | null;
  remote: RemoteStatus | null;
  pipe: PipeCounts;
  paused: boolean;
  /** Why background training waits for the machine; null = it does not. */
  waiting: string | null;
  /** A step of this workspace is being taken or judged. */
  stepping: boolean;
  /** Since this daemon started: trainable requests answered, and verdicts or hints that came of them. */
  offers: number;
  lessons: number;
  /** Nothing comes by itself until then; null = it does. */
  quietUntil: number | null;
  /** Latest remark of the trainer. */
  remark: string | null;
}

export function statusOf(facts: Facts): Status {
  const { engine, model, adapter, pipe } = facts;
  return {
    state: stateOf(facts),
    adapter,
    model: model === null ? null : { name: model.name, fingerprint: model.fingerprint, device: model.device },
    remote: facts.remote,
    pipe,
    quietUntil: facts.quietUntil,
    warning: typeof engine === 'object' ? engine.message : (nothingLearned(facts) ?? facts.waiting ?? facts.remark),
  };
}

function stateOf({ engine, paused, stepping }: Facts): Status['state'] {
  if (engine === 'starting') return 'starting';
  if (engine !== 'up') return 'offline';
  if (paused) return 'paused';
  return stepping ? 'learning' : 'serving';
}

/** "N trainable requests, 0 trainable turns" (conformance 24): capture is broken, and without this
 *  sentence it would look like a model that does not learn. */
function nothingLearned({ offers, lessons }: Facts): string | null {
  if (offers < ENOUGH_OFFERS || lessons > 0) return null;
  return `${offers} suggestions were offered and nothing could be learned from any of them: what becomes of them does not reach the daemon. Run \`hindsight doctor\`, and see the log of the extension.`;
}
