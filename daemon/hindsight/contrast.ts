/**
 * The wrong-hint contrast: any text in the hint's place moves the teacher (it reads one snippet more),
 * and that movement teaches nothing about what the developer wanted. What an unrelated hint of the same
 * length causes is measured in the same place and subtracted: D = (l_T - l_S) - (l_W - l_S) = l_T - l_W
 * (learning.md, "hindsight").
 */
import { createHash } from 'node:crypto';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import type { GoldenText } from '../gate/golden.ts';
import type { Turn } from '../journal/records.ts';

/** Text of nobody's project, as long as the hint, with as many line ends at its end; the same one for
 *  the same turn, so that a step can be repeated. */
export function unrelatedHint(turn: Pick<Turn, 'id'>, hint: string, texts: readonly GoldenText[] = GOLDEN_TEXTS): string {
  const drawn = createHash('sha256').update(turn.id).digest();
  const text = texts[drawn.readUInt32LE(0) % Math.max(1, texts.length)]?.text ?? '';
  const end = /\n*$/.exec(hint)?.[0] ?? '';
  const length = hint.length - end.length;
  const starts = [...text.matchAll(/(?<=^|\n)[ \t]*(?=\S)/g)].map((match) => match.index + match[0].length).filter((at) => at + length <= text.length);
  const at = starts[drawn.readUInt32LE(4) % Math.max(1, starts.length)] ?? 0;
  return text.slice(at, at + length).padEnd(length, text || ' ') + end;
}
