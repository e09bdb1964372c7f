// What `npm run test:editor` runs, in this order.
import path from 'node:path';
import type { Journey, JourneyPlace } from './journey.ts';

/** A daemon of the journey's own: its journal, its adapters, its socket. */
const ownDaemon = (place: JourneyPlace): Record<string, string> => ({ HINDSIGHT_HOME: path.join(place.folder, 'home') });

export const JOURNEYS: readonly Journey[] = [
  {
    name: 'harness',
    extension: 'extension/test/fixture',
    launches: [
      { suite: 'harness', timeoutMs: 120_000 },
      { suite: 'cost', timeoutMs: 120_000 },
    ],
  },
  {
    name: 'untrusted',
    extension: '.',
    trust: 'withheld',
    env: ownDaemon,
    launches: [{ suite: 'untrusted', timeoutMs: 120_000 }],
  },
];
