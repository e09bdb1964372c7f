/** Who votes for the judge: the loaded model itself with the adapter off, or an OpenAI-compatible server. */
import { z } from 'zod';
import type { Endpoint } from '../../protocol/agent.ts';
import { PRIORITY } from '../../protocol/engine.ts';
import { HindsightError } from '../../protocol/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { voteSchema, VOTE_TEMPERATURE, VOTE_TOKENS } from './judge.ts';
import type { JudgePrompt, Voter } from './judge.ts';

const DEADLINE_SECONDS = 120;
const schema = z.toJSONSchema(voteSchema);
/** A model that is smaller is no judge of anything. */
const LEAST_PARAMETERS = 1_000_000_000;

/** @returns the sentence for status; null = the loaded model can judge */
export function cannotJudge({ model }: Pick<Engine, 'model'>): string | null {
  if (!model.chat) return `${model.name} has no chat template`;
  return model.parameters < LEAST_PARAMETERS ? `${model.name} is too small to judge` : null;
}

/**
 * Votes by the engine, held to the vote's schema token by token. Priority under typing and chat, and
 * the votes one after another: the first fills the prefix cache, the others share its prompt, and a
 * request of the user waits for one token at most.
 */
export class EngineVoter implements Voter {
  constructor(private readonly engine: Engine) {}

  get name(): string {
    return this.engine.model.name;
  }

  async vote({ system, user }: JudgePrompt, count: number, signal: AbortSignal): Promise<string[]> {
    const { engine } = this;
    const { ids } = await engine.render({ messages: [{ role: 'system', content: system }, { role: 'user', content: user }], addGenerationPrompt: true }, { signal });
    if (ids.length + VOTE_TOKENS > engine.model.maxPositions) return Array.from({ length: count }, () => '');
    const votes: string[] = [];
    for (let seed = 1; seed <= count; seed++) {
      const sampling = { maxTokens: VOTE_TOKENS, temperature: VOTE_TEMPERATURE, seed };
      const { text, finishReason } = await engine.generate({ prompt: ids, sampling, adapter: null, priority: PRIORITY.judge, schema }, { signal, deadline: DEADLINE_SECONDS });
      votes.push(finishReason === 'cancelled' ? '' : text);
    }
    return votes;
  }
}

const answer = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string().nullable() }) })).min(1) });

export class EndpointVoter implements Voter {
  constructor(private readonly endpoint: Endpoint) {}

  get name(): string {
    return this.endpoint.model;
  }

  async vote(prompt: JudgePrompt, count: number, signal: AbortSignal): Promise<string[]> {
    return Promise.all(Array.from({ length: count }, (_, seed) => this.#one(prompt, seed + 1, signal)));
  }

  /** @throws endpointFailed: nobody answers, or not with a chat completion */
  async #one({ system, user }: JudgePrompt, seed: number, signal: AbortSignal): Promise<string> {
    const { url, model, key } = this.endpoint;
    const body = {
      model, seed,
      messages: [{ role: 'system', content: system }, { role: 'user', content: user }],
      temperature: VOTE_TEMPERATURE,
      max_tokens: VOTE_TOKENS,
      response_format: { type: 'json_schema', json_schema: { name: 'vote', strict: true, schema } },
    };
    const headers = { 'content-type': 'application/json', ...(key !== undefined && key !== '' && { authorization: `Bearer ${key}` }) };
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST', headers, body: JSON.stringify(body), redirect: 'error', signal: AbortSignal.any([signal, AbortSignal.timeout(1000 * DEADLINE_SECONDS)]),
      });
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      return answer.parse(await response.json()).choices[0]?.message.content ?? '';
    } catch (thrown) {
      const problem = thrown instanceof z.ZodError ? 'it answers something else than chat completions' : thrown instanceof Error ? thrown.message : String(thrown);
      throw new HindsightError('endpointFailed', { url, problem });
    }
  }
}
