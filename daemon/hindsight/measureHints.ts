/** First measurement of whether hints tell a model anything, before a developer left divergences:
 *  lines of the golden set play the developer, the model's own best guess plays the response. */
import type { Engine } from '../engine/engine.ts';
import type { GoldenText } from '../gate/golden.ts';
import type { Turn } from '../journal/records.ts';
import type { InformativenessRecord } from './informativeness.ts';
import { insertSnippet } from './inject.ts';
import type { HintSnippet } from './inject.ts';

/** Lines of each text, so that about a hundred divergences are measured. */
const LINES = 3;
const LINES_BEFORE = 8;
const LINES_AFTER = 4;

interface Probe {
  snippet: HintSnippet;
  prompt: string;
  line: string;
}

/** Measures once per fingerprint; only prefix prompts can be made without the agent, under any
 *  other mode OPD waits for the developer's own divergences. */
export async function measureHints(
  mode: Turn['promptMode'],
  record: InformativenessRecord,
  engine: Engine,
  snippetIds: (snippet: HintSnippet) => Promise<number[]>,
  golden: readonly GoldenText[],
): Promise<void> {
  if (mode !== 'prefix' || record.of(mode) !== null) return;
  const probes = golden.flatMap(probesOf);
  const { ids } = await engine.tokenize({ texts: probes.flatMap((probe) => [probe.prompt, probe.line]) });
  const bos = engine.model.bos;
  const cases = probes.map((probe, index) => ({ probe, prompt: [...(bos === null ? [] : [bos]), ...(ids[2 * index] ?? [])], line: ids[2 * index + 1] ?? [] }));
  const students = await engine.score({ sequences: cases.map(({ prompt, line }) => ({ ids: [...prompt, ...line], positions: places(prompt, line) })), adapter: null, topK: 1 });
  const parted = cases.flatMap((one, index) => {
    const scored = students.sequences[index];
    const at = one.line.findIndex((token, place) => scored?.topIds[place]?.[0] !== token);
    const student = scored?.logprobs[at] ?? null;
    return at < 0 || student === null ? [] : [{ ...one, at, student }];
  });
  const sequences = await Promise.all(
    parted.map(async ({ probe, prompt, line, at }) => {
      const hinted = insertSnippet(prompt, await snippetIds(probe.snippet), bos);
      return { ids: [...hinted, ...line.slice(0, at + 1)], positions: [hinted.length + at] };
    }),
  );
  const teachers = await engine.score({ sequences, adapter: null, topK: 0 });
  record.setGolden(mode, parted.flatMap(({ student }, index) => {
    const teacher = teachers.sequences[index]?.logprobs[0] ?? null;
    return teacher === null ? [] : [teacher - student];
  }));
}

/** The longest lines of a text that have enough before them to be a completion's place. */
function probesOf({ path, text }: GoldenText): Probe[] {
  const lines = text.split('\n');
  const places = lines.map((line, index) => ({ line, index })).filter(({ line, index }) => index >= 2 && line.trim().length >= 6);
  return places
    .sort((a, b) => b.line.length - a.line.length || a.index - b.index)
    .slice(0, LINES)
    .map(({ line, index }) => {
      const indent = /^\s*/.exec(line)?.[0] ?? '';
      // As the completion prompt does: the last space before the cursor belongs to the response.
      const healed = indent.slice(-1);
      const before = [...lines.slice(0, index), indent.slice(0, indent.length - healed.length)].join('\n');
      const near = lines.slice(Math.max(0, index - LINES_BEFORE + 1), index + 1 + LINES_AFTER).join('\n');
      return { snippet: { path, text: near }, prompt: before, line: `${healed}${line.slice(indent.length)}\n` };
    });
}

function places(prompt: readonly number[], line: readonly number[]): number[] {
  return line.map((_, index) => prompt.length + index);
}
