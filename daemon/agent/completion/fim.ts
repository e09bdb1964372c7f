/**
 * Whether a model is asked with fill-in-the-middle prompts. `auto` measures once per model: real
 * lines, taken out of small files, are scored after both prompts, and fill-in-the-middle is used
 * where it makes them likelier. Having the tokens is not enough: every model of the Qwen family has
 * them, and the seed never learned what they mean.
 */
import type { Engine } from '../../engine/engine.ts';
import type { Turn } from '../../journal/records.ts';
import { buildPrompt, DEFAULT_BUDGET } from './prompt.ts';
import { FIM_SAMPLES } from './fimSamples.ts';

export type FimSetting = 'auto' | 'on' | 'off';

/** Mean log-prob per byte of the held lines under each kind of prompt. */
export interface FimMeasurement {
  fim: number;
  prefix: number;
  lines: number;
}

/** Where the caller keeps a measurement; the fingerprint names the model. */
export function fimKey(fingerprint: string): string {
  return `fim/${fingerprint}`;
}

/** @param measured null = not measured yet: `auto` is then prefix only */
export function promptMode(setting: FimSetting, model: Pick<Engine['model'], 'fim'>, measured: FimMeasurement | null): Turn['promptMode'] {
  if (model.fim === null || setting === 'off') return 'prefix';
  if (setting === 'on') return 'fim';
  return measured !== null && measured.fim > measured.prefix ? 'fim' : 'prefix';
}

/** @returns null for a model without fill-in-the-middle tokens */
export async function measureFim(engine: Pick<Engine, 'model' | 'tokenize' | 'score'>): Promise<FimMeasurement | null> {
  if (engine.model.fim === null) return null;
  const sums = { fim: 0, prefix: 0 };
  let bytes = 0;
  for (const { path, text } of FIM_SAMPLES) {
    const places = heldLines(text);
    bytes += places.reduce((sum, place) => sum + Buffer.byteLength(place.line), 0);
    for (const mode of ['fim', 'prefix'] as const) sums[mode] += await logLikelihood(engine, path, places, mode);
  }
  const lines = FIM_SAMPLES.reduce((sum, { text }) => sum + heldLines(text).length, 0);
  return { fim: sums.fim / bytes, prefix: sums.prefix / bytes, lines };
}

interface Place {
  before: string;
  line: string;
  after: string;
}

/** Every third line that has some text, from its first character to its end. */
function heldLines(text: string): Place[] {
  const lines = text.split('\n');
  return lines.flatMap((line, i) => {
    if (i < 3 || i % 3 !== 0 || line.trim().length < 4) return [];
    const indentation = line.slice(0, line.length - line.trimStart().length);
    const before = [...lines.slice(0, i), indentation].join('\n');
    return [{ before, line: `${line.trimStart()}\n`, after: `\n${lines.slice(i + 1).join('\n')}` }];
  });
}

async function logLikelihood(engine: Pick<Engine, 'model' | 'tokenize' | 'score'>, path: string, places: readonly Place[], mode: Turn['promptMode']): Promise<number> {
  const sequences = await Promise.all(
    places.map(async ({ before, line, after }) => {
      const prompt = await buildPrompt(engine, { path, prefix: before, suffix: after }, [], mode, DEFAULT_BUDGET);
      const { ids } = await engine.tokenize({ texts: [prompt.healed + line] });
      const own = ids[0] ?? [];
      return { ids: [...prompt.ids, ...own], positions: own.map((_, i) => prompt.ids.length + i) };
    }),
  );
  const scored = await engine.score({ sequences, adapter: null, topK: 0 });
  return scored.sequences.flatMap(({ logprobs }) => logprobs).reduce<number>((sum, value) => sum + (value ?? Number.NaN), 0);
}
