import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../engine/client.ts';
import type { EngineClient } from '../../engine/client.ts';
import type { Turn } from '../../journal/records.ts';
import { bundledModel } from '../../models/bundled.ts';
import { afterHealed, complete } from './complete.ts';
import type { CompletionRequest } from './complete.ts';
import { measureFim, promptMode } from './fim.ts';

let engine: EngineClient;
beforeAll(async () => {
  engine = await startEngine({ modelDir: bundledModel() });
});
afterAll(() => engine.close());

/** A completion at the `|` of a document. */
function at(document: string, more: Partial<CompletionRequest> = {}, mode: Turn['promptMode'] = 'prefix'): Promise<Turn | null> {
  const offset = document.indexOf('|');
  const text = document.replace('|', '');
  const request = { workspace: 'file:///w', session: 's', uri: 'file:///w/src/a.ts', path: 'src/a.ts', languageId: 'typescript', version: 3, text, offset, openFiles: [], memory: [], adapter: null, split: 'train', block: 'b', now: 5 } as const;
  return complete({ ...request, ...more }, { engine, promptMode: mode });
}

const DOCUMENT = 'export class Queue {\n  private items: string[] = [];\n\n  push(item: string): void {\n    this.|\n  }\n}\n';

describe('a completion', () => {
  it('is a turn with the exact tokens that made it', async () => {
    const turn = await at(DOCUMENT);
    if (!turn) throw new Error('no turn');
    expect(turn).toMatchObject({ role: 'main', promptMode: 'prefix', adapter: null, offset: DOCUMENT.indexOf('|'), version: 3, fingerprint: engine.model.fingerprint, offeredAt: 5 });
    expect(turn.rawText.startsWith(turn.shownText)).toBe(true);
    expect(turn.offsets).toHaveLength(turn.responseIds.length + 1);
    expect(turn.logprobs).toHaveLength(turn.responseIds.length);
    const { sequences } = await engine.score({ sequences: [{ ids: [...turn.promptIds, ...turn.responseIds], positions: turn.responseIds.map((_, i) => turn.promptIds.length + i) }], adapter: null });
    sequences[0]?.logprobs.forEach((value, i) => expect(Math.abs((value ?? NaN) - (turn.logprobs[i] ?? NaN))).toBeLessThan(1e-3));
    expect(turn.before.endsWith('    this.')).toBe(true);
    expect(turn.after).toBe('\n  }\n}\n');
  });

  it('says the same again', async () => {
    const [first, second] = [await at(DOCUMENT), await at(DOCUMENT)];
    expect({ ...second, id: '' }).toEqual({ ...first, id: '' });
    expect(second?.id).not.toBe(first?.id);
  });

  it('starts at the cursor although the response’s first token holds the space before it', async () => {
    const turn = await at('export function add(a: number, b: number): number {\n  return |\n}\n');
    expect(turn?.healed).toBe(' ');
    const raw = (await engine.detokenize({ ids: turn?.responseIds ?? [] })).text;
    expect(raw).toBe(` ${turn?.rawText}`);
    expect(turn?.shownText.startsWith(' ')).toBe(false);
    expect(turn?.offsets[0]).toBe(0);
    expect(turn?.offsets.at(-1)).toBe(Buffer.byteLength(turn?.rawText ?? ''));
  });

  it('is not shown where the response does not continue the line', () => {
    expect(afterHealed({ text: ' foo', offsets: [0, 4] }, ' ')).toEqual({ rawText: 'foo', offsets: [0, 3], follows: true });
    expect(afterHealed({ text: '\nfoo', offsets: [0, 4] }, ' ')).toEqual({ rawText: '\nfoo', offsets: [0, 4], follows: false });
  });

  it('is null when it was cancelled, before or meanwhile', async () => {
    expect(await at(DOCUMENT, { signal: AbortSignal.abort() })).toBeNull();
    const abort = new AbortController();
    const pending = at(`${DOCUMENT}// never seen before ${Math.random()}`, { signal: abort.signal });
    abort.abort();
    expect(await pending).toBeNull();
  });

  it('has neither suffix nor file in a prefix prompt, and both sides under fill-in-the-middle', async () => {
    const marked = DOCUMENT.replace('  }\n}', '  } // zebra\n}');
    const text = async (turn: Turn | null): Promise<string> => (await engine.detokenize({ ids: turn?.promptIds ?? [] })).text;
    expect(await text(await at(marked))).not.toContain('zebra');
    expect(await text(await at(marked, {}, 'fim'))).toContain('zebra');
  });
});

describe('fim: auto', () => {
  it('measures that the seed is better off without', async () => {
    const measured = await measureFim(engine);
    expect(measured?.lines).toBeGreaterThan(10);
    expect(measured?.prefix).toBeGreaterThan(measured?.fim ?? 0);
    expect(promptMode('auto', engine.model, measured)).toBe('prefix');
    expect(promptMode('on', engine.model, measured)).toBe('fim');
    expect(promptMode('auto', engine.model, { fim: -0.4, prefix: -0.5, lines: 14 })).toBe('fim');
    expect(promptMode('on', { fim: null }, null)).toBe('prefix');
  });
});
