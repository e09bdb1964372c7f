import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../engine/client.ts';
import type { EngineClient } from '../../engine/client.ts';
import { bundledModel } from '../../models/bundled.ts';
import { generateInTime } from './inTime.ts';

let engine: EngineClient;
let prompt: number[];
beforeAll(async () => {
  engine = await startEngine({ modelDir: bundledModel() });
  prompt = (await engine.tokenize({ texts: ['export function add(a: number, b: number): number {\n'] })).ids[0] ?? [];
});
afterAll(() => engine.close());

const request = (): Parameters<typeof generateInTime>[1] => ({ prompt, sampling: { maxTokens: 200, temperature: 0 }, adapter: null, priority: 3 });

describe('lines that are late', () => {
  it('are not waited for: the first line comes with its exact tokens, and the engine is free again', async () => {
    const whole = await engine.generate(request());
    expect(whole.text.split('\n').length, 'this prompt has several lines to say').toBeGreaterThan(4);
    const first = await generateInTime(engine, request(), 0);
    expect(first.text).toMatch(/\S.*\n/);
    expect(first.ids.length).toBeLessThan(whole.ids.length / 2);
    expect(first.finishReason).toBe('length');
    expect(whole.text.startsWith(first.text)).toBe(true);
    expect(first.ids).toEqual(whole.ids.slice(0, first.ids.length));
    expect(first.logprobs).toEqual(whole.logprobs.slice(0, first.ids.length));
    expect(first.offsets).toEqual(whole.offsets.slice(0, first.ids.length + 1));
  });

  it('come with it where there is time', async () => {
    const { stream: _, ...whole } = { stream: '', ...(await engine.generate(request())) };
    expect({ ...(await generateInTime(engine, request(), 60_000)), cachedTokens: 0 }).toEqual({ ...whole, cachedTokens: 0 });
  });

  it('do not come to somebody who has gone', async () => {
    const gone = new AbortController();
    const pending = generateInTime(engine, request(), 0, gone.signal);
    gone.abort();
    await expect(pending).rejects.toMatchObject({ errorName: 'cancelled' });
  });
});
