/** Generation that does not keep a person waiting for lines that are late. */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import type * as wire from '../../../protocol/engine.ts';
import { toHindsightError } from '../../../protocol/errors.ts';
import type { Engine } from '../../engine/engine.ts';

/** A line with something in it, to its end. */
const WHOLE_LINE = /\S.*\n/;

type Request = z.input<typeof wire.generate.params>;
type LineEngine = Pick<Engine, 'generate' | 'detokenize' | 'onToken'>;

/** The whole response where it is there in time; else it is cut, by `length`, as soon as its first line is
 *  complete: the rest can follow once that line is taken.
 *  @param ms  from now on
 *  @throws what the engine throws; `cancelled` when `signal` aborts */
export async function generateInTime(engine: LineEngine, request: Request, ms: number, signal?: AbortSignal): Promise<wire.GenerateResult> {
  const stream = `lines-${randomUUID()}`;
  const tokens: { id: number; logprob: number | null }[] = [];
  const enough = new AbortController();
  let text = '';
  let late = false;
  const endIfEnough = (): void => {
    if (late && WHOLE_LINE.test(text)) enough.abort();
  };
  const off = engine.onToken(stream, (token) => {
    if (enough.signal.aborted) return;
    tokens.push(token);
    text += token.text;
    endIfEnough();
  });
  const timer = setTimeout(() => {
    late = true;
    endIfEnough();
  }, ms);
  try {
    return await engine.generate({ ...request, stream }, { signal: signal ? AbortSignal.any([signal, enough.signal]) : enough.signal });
  } catch (thrown) {
    if (!enough.signal.aborted || signal?.aborted || toHindsightError(thrown).errorName !== 'cancelled') throw thrown;
    const ids = tokens.map(({ id }) => id);
    return { ids, logprobs: tokens.map(({ logprob }) => logprob), ...(await engine.detokenize({ ids })), finishReason: 'length', adapter: request.adapter ?? null, cachedTokens: 0 };
  } finally {
    clearTimeout(timer);
    off();
  }
}
