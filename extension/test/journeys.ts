// What `npm run test:editor` runs, in this order.
import type { Journey } from './journey.ts';

export const JOURNEYS: readonly Journey[] = [
  {
    name: 'harness',
    extension: 'extension/test/fixture',
    launches: [{ suite: 'harness', timeoutMs: 120_000 }],
  },
];
