import { describe, expect, it } from 'vitest';
import { AdapterTable } from './adapters.ts';

function table(): { adapters: AdapterTable; freed: number[] } {
  const freed: number[] = [];
  return { adapters: new AdapterTable(async (handle) => void freed.push(handle)), freed };
}

/** A request that runs until it is told to end. */
function request(adapters: AdapterTable, name: string | null): { ranOn: Promise<number>; end: () => void } {
  let end = (): void => undefined;
  const open = new Promise<void>((resolve) => (end = resolve));
  return { ranOn: adapters.use(name, (handle) => open.then(() => handle)), end };
}

describe('names of adapters', () => {
  it('a request ends on the adapter it began with, which is freed after the last of them', async () => {
    const { adapters, freed } = table();
    adapters.set('w/1', 11);
    const [first, second] = [request(adapters, 'w/1'), request(adapters, 'w/1')];
    adapters.set('w/1', 12);
    const third = request(adapters, 'w/1');
    first.end();
    expect(await first.ranOn).toBe(11);
    expect(freed).toEqual([]);
    second.end();
    expect(await second.ranOn).toBe(11);
    expect(freed).toEqual([11]);
    third.end();
    expect(await third.ranOn).toBe(12);
    expect(freed).toEqual([11]);
  });

  it('a forgotten name is missing at once, its requests end, and its handle is freed once', async () => {
    const { adapters, freed } = table();
    adapters.set('w/1', 11);
    const running = request(adapters, 'w/1');
    adapters.delete('w/1');
    await expect(adapters.use('w/1', async () => 0)).rejects.toMatchObject({ errorName: 'adapterMissing' });
    running.end();
    expect(await running.ranOn).toBe(11);
    expect(freed).toEqual([11]);
    expect(adapters.names).toEqual([]);
  });

  it('a request that fails gives its adapter back too', async () => {
    const { adapters, freed } = table();
    adapters.set('a', 1);
    await expect(adapters.use('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    adapters.delete('a');
    expect(freed).toEqual([1]);
  });

  it('no adapter is the base model', async () => {
    expect(await table().adapters.use(null, async (handle) => handle)).toBe(0);
  });
});
