/** Damaged model and adapter files are refused or read, and never end the process. */
import { expect, test } from 'vitest';
import { mutateReaders } from './mutate.ts';

const seconds = process.env.HINDSIGHT_FULL ? 600 : 3;

test('readers survive damaged files', async () => {
  const { tried, refused } = await mutateReaders({ seed: 20, seconds });
  expect(tried).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(tried / 4);
}, (seconds + 60) * 1000);
