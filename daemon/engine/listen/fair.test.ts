import { describe, expect, it } from 'vitest';
import { FairQueue } from './fair.ts';

const fresh = (): AbortSignal => new AbortController().signal;
const serve = (tokens: number, priority = 0) => ({ kind: 'serve', tokens, priority }) as const;

/** One place; each job ends when the loop comes round. */
async function order(jobs: readonly { tenant: string; tokens: number; priority?: number }[]): Promise<string[]> {
  const queue = new FairQueue({ serve: 1, train: 1, waiting: 1000 });
  const served: string[] = [];
  await Promise.all(jobs.map(({ tenant, tokens, priority }) => queue.run(tenant, serve(tokens, priority), fresh(), async () => {
    served.push(tenant);
    await new Promise((resolve) => setImmediate(resolve));
  })));
  return served;
}

describe('whose turn it is', () => {
  it('a backlog of one tenant is not in front of another’s first request', async () => {
    const jobs = [...Array.from({ length: 50 }, () => ({ tenant: 'a', tokens: 100 })), { tenant: 'b', tokens: 100 }];
    expect((await order(jobs)).indexOf('b')).toBeLessThanOrEqual(2);
  });

  it('is shared by tokens and not by requests', async () => {
    const jobs = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? { tenant: 'large', tokens: 300 } : { tenant: 'small', tokens: 100 }));
    const first = (await order(jobs)).slice(0, 24);
    const large = first.filter((one) => one === 'large').length;
    expect(large).toBeGreaterThanOrEqual(5);
    expect(large).toBeLessThanOrEqual(8);
  });

  it('within a tenant typing goes first', async () => {
    const queue = new FairQueue({ serve: 1, train: 1, waiting: 10 });
    const served: number[] = [];
    await Promise.all([0, 1, 3, 2].map((priority) => queue.run('a', serve(1, priority), fresh(), async () => {
      served.push(priority);
      await new Promise((resolve) => setImmediate(resolve));
    })));
    expect(served).toEqual([0, 3, 2, 1]);
  });

  it('more than may wait is refused, what is cancelled leaves its place', async () => {
    const queue = new FairQueue({ serve: 1, train: 1, waiting: 1 });
    let end: () => void = () => undefined;
    const running = queue.run('a', serve(1), fresh(), () => new Promise<void>((resolve) => (end = resolve)));
    const cancel = new AbortController();
    const waiting = expect(queue.run('a', serve(1), cancel.signal, () => Promise.resolve())).rejects.toMatchObject({ errorName: 'cancelled' });
    await expect(queue.run('a', serve(1), fresh(), () => Promise.resolve())).rejects.toMatchObject({ errorName: 'engineBusy' });
    cancel.abort();
    await waiting;
    const next = queue.run('a', serve(1), fresh(), () => Promise.resolve('served'));
    end();
    await running;
    expect(await next).toBe('served');
  });
});
