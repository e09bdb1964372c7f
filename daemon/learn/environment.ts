/** ECHO (arXiv 2605.24517): what a command or a test printed, in the context of the turn that read it, is
 *  a text that the model may learn to foresee. Only commands and tests: a file that was read is not an
 *  effect of anything. Pure. */
import { CALL_CLOSES, CALL_OPENS, parseCall } from '../agent/chat/toolText.ts';

const ACTING = ['run_command', 'run_tests'];
/** Of one output, its end: that is where a run says how it went. */
const MOST_TOKENS = 256;
const CALL = new RegExp(`${CALL_OPENS}\\n([\\s\\S]*?)\\n${CALL_CLOSES}`, 'g');
const RESULT = /<tool_response>\n([\s\S]*?)\n<\/tool_response>/g;

/** Tokens of the newest outputs in a prompt: earlier ones were those of an earlier turn.
 *  @param text     the prompt, and `offsets` the byte at which each of its tokens starts, with the end
 *  @returns        indices of tokens that lie wholly within */
export function environmentTokens(text: string, offsets: readonly number[]): number[] {
  const calls = [...text.matchAll(CALL)];
  const last = calls.at(-1);
  if (last === undefined) return [];
  const results = [...text.matchAll(RESULT)].filter(({ index }) => index > last.index);
  const called = calls.slice(-results.length);
  const tokens = results.flatMap((result, at) => {
    if (!ACTING.includes(parseCall(called[at]?.[1] ?? '').tool)) return [];
    const from = Buffer.byteLength(text.slice(0, result.index + '<tool_response>\n'.length));
    const to = from + Buffer.byteLength(result[1] ?? '');
    return within(offsets, from, to).slice(-MOST_TOKENS);
  });
  // The first token follows nothing.
  return tokens.filter((token) => token > 0);
}

function within(offsets: readonly number[], from: number, to: number): number[] {
  const tokens: number[] = [];
  for (let token = 0; token + 1 < offsets.length; token++) {
    const [start, end] = [offsets[token] ?? 0, offsets[token + 1] ?? 0];
    if (start >= from && end <= to && end > start) tokens.push(token);
  }
  return tokens;
}
