/** One completion: from a document and a cursor to a turn, with the exact tokens that made it. */
import { randomUUID } from 'node:crypto';
import { PRIORITY } from '../../../protocol/engine.ts';
import { toHindsightError } from '../../../protocol/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Turn } from '../../journal/records.ts';
import { choose, modelFeatures, recallFeatures } from './choice.ts';
import type { ChoiceModel, Proposal } from './choice.ts';
import { contextSnippets } from './context.ts';
import { generateInTime } from './inTime.ts';
import { BLOCK, shownPart, stopPolicy } from './postprocess.ts';
import { buildPrompt, DEFAULT_BUDGET } from './prompt.ts';
import type { Prompt, PromptBudget } from './prompt.ts';
import type { Recalled } from './recall.ts';
import type { Snippet } from './snippet.ts';

export interface CompletionRequest {
  workspace: string;
  session: string;
  uri: string;
  /** Within the workspace. */
  path: string;
  languageId: string;
  version: number;
  /** The whole document. */
  text: string;
  /** Cursor, UTF-16 units. */
  offset: number;
  openFiles: readonly { path: string; text: string }[];
  /** Retrieved from the workspace's memory, best first; empty where the method has none. */
  memory: readonly Snippet[];
  /** Of imported files and of recent changes, best first; absent = they are not looked for. */
  related?: readonly Snippet[];
  /** What the workspace has at a like place, and how to choose between it and the model's answer; null
   *  where the method has no recall. */
  recall?: { recalled: Recalled | null; choice: ChoiceModel } | null;
  /** Promoted version that serves, under the engine's name for it; null = base model. */
  adapter: { version: number; name: string } | null;
  split: Turn['split'];
  block: string;
  /** What was just taken was cut: several lines may follow it. */
  goesOn?: boolean;
  /** Absent = `typing`. */
  priority?: number;
  signal?: AbortSignal;
  /** Milliseconds since the Unix epoch. */
  now: number;
}

export interface CompletionDeps {
  engine: Engine;
  /** How prompts are built for this model, see fim.ts; prefix only where nothing was measured. */
  promptMode?: Turn['promptMode'];
  budget?: PromptBudget;
  maxTokens?: number;
  /** Several lines are waited for so long; then the first one is offered alone. Absent: however long it takes. */
  lateMs?: number;
}

const MAX_TOKENS = 32;
const LINES_BEFORE = 8;
const LINES_AFTER = 4;

/** @returns null where there is nothing to continue, or the request was cancelled meanwhile
 *  @throws engineUnavailable, adapterMissing, deadline */
export async function complete(request: CompletionRequest, deps: CompletionDeps): Promise<Turn | null> {
  const { engine, promptMode = 'prefix' } = deps;
  const prefix = request.text.slice(0, request.offset);
  const suffix = request.text.slice(request.offset);
  const policy = request.goesOn === true ? BLOCK : stopPolicy(prefix, suffix);
  const sampling: Turn['sampling'] = { maxTokens: deps.maxTokens ?? MAX_TOKENS, temperature: 0, stop: policy.stop, stopIds: roleTokens(engine) };
  try {
    const prompt = await promptOf(request, deps);
    if (prompt.ids.length === 0 || request.signal?.aborted) return null;
    const order = { prompt: prompt.ids, sampling, adapter: request.adapter?.name ?? null, priority: request.priority ?? PRIORITY.typing };
    const answer = policy.multiline && deps.lateMs !== undefined
      ? await generateInTime(engine, order, deps.lateMs, request.signal)
      : await engine.generate(order, request.signal ? { signal: request.signal } : {});
    const response = afterHealed(answer, prompt.healed);
    const shownText = response.follows ? shownPart(response.rawText, { prefix, suffix, multiline: policy.multiline, finishReason: answer.finishReason }) : '';
    const generated: Answer = { responseIds: answer.ids, logprobs: answer.logprobs, rawText: response.rawText, offsets: response.offsets, shownText, finishReason: answer.finishReason };
    const answered = await chosen(generated, request, prompt.healed, engine);
    return {
      id: `t-${randomUUID()}`,
      session: request.session,
      workspace: request.workspace,
      modality: 'completion',
      role: 'main',
      split: request.split,
      block: request.block,
      offeredAt: request.now,
      uri: request.uri,
      languageId: request.languageId,
      version: request.version,
      offset: request.offset,
      promptIds: prompt.ids,
      ...(prompt.healed !== '' && { healed: prompt.healed }),
      promptMode,
      ...answered,
      sampling,
      adapter: request.adapter?.version ?? null,
      fingerprint: engine.model.fingerprint,
      before: prefix.split('\n').slice(-LINES_BEFORE).join('\n'),
      after: suffix.split('\n').slice(0, LINES_AFTER + 1).join('\n'),
      ...besideOf(request, prompt.beside),
    };
  } catch (thrown) {
    if (toHindsightError(thrown).errorName === 'cancelled') return null;
    throw thrown;
  }
}

type Answer = Pick<Turn, 'responseIds' | 'logprobs' | 'rawText' | 'offsets' | 'shownText' | 'finishReason' | 'source' | 'proposals'>;

/** The model's answer, or what was recalled where that is worth more. */
async function chosen(answer: Answer, request: CompletionRequest, healed: string, engine: Engine): Promise<Answer> {
  const recalled = request.recall?.recalled ?? null;
  if (!request.recall || answer.finishReason === 'cancelled') return answer;
  const [prefix, suffix] = [request.text.slice(0, request.offset), request.text.slice(request.offset)];
  const midLine = prefix.slice(prefix.lastIndexOf('\n') + 1).trim() !== '';
  const text = recalled === null ? '' : shownPart(recalled.text, { prefix, suffix, multiline: false, finishReason: 'stop' });
  const other = text === '' ? null : text;
  const proposals: Proposal[] = [
    { source: 'model', text: answer.shownText, features: modelFeatures(answer.logprobs, midLine, other, answer.shownText) },
    ...(recalled !== null && other !== null ? [{ source: 'recall' as const, text: other, features: recallFeatures(recalled, midLine, other, answer.shownText) }] : []),
  ];
  const best = choose(proposals, request.recall.choice);
  if (best?.source !== 'recall') return { ...answer, proposals };
  const { ids } = await engine.tokenize({ texts: [healed + best.text] });
  const responseIds = ids[0] ?? [];
  const { text: spelled, offsets } = await engine.detokenize({ ids: responseIds });
  const response = afterHealed({ text: spelled, offsets }, healed);
  return { responseIds, logprobs: responseIds.map(() => null), rawText: response.rawText, offsets: response.offsets, shownText: best.text, finishReason: 'stop', source: 'recall', proposals };
}

/** The prompt that a request has; the replay also asks it for lines that nobody requested. */
export async function promptOf({ path, text, offset, openFiles, memory, related = [] }: Pick<CompletionRequest, 'path' | 'text' | 'offset' | 'openFiles' | 'memory' | 'related'>, deps: CompletionDeps): Promise<Prompt & { beside: string[] }> {
  const { engine, promptMode = 'prefix', budget = DEFAULT_BUDGET } = deps;
  const prefix = text.slice(0, offset);
  const snippets = [...memory, ...related, ...contextSnippets(prefix, openFiles)];
  const prompt = await buildPrompt(engine, { path, prefix, suffix: text.slice(offset) }, snippets, promptMode, budget);
  return { ...prompt, beside: snippets.map((snippet) => snippet.path) };
}

/** Which other files a turn has text of. */
function besideOf({ path, recall }: CompletionRequest, snippets: readonly string[]): Pick<Turn, 'beside'> {
  const others = new Set([...snippets, ...(recall?.recalled ? [recall.recalled.path] : [])]);
  others.delete(path);
  return others.size === 0 ? {} : { beside: [...others] };
}

/** Tokens that end a piece of a file rather than stand in one. */
function roleTokens(engine: Engine): number[] {
  const { fim } = engine.model;
  return fim === null ? [] : [fim.prefix, fim.suffix, fim.middle, fim.fileSep, fim.repoName].filter((id) => id !== null);
}

/** The response from the cursor on: the white space left to it is in the document already. A
 *  response that does not start with it (`follows` false) continues another line than this one. */
export function afterHealed(answer: { text: string; offsets: readonly number[] }, healed: string): { rawText: string; offsets: number[]; follows: boolean } {
  if (!answer.text.startsWith(healed)) return { rawText: answer.text, offsets: [...answer.offsets], follows: false };
  return { rawText: answer.text.slice(healed.length), offsets: answer.offsets.map((byte) => Math.max(0, byte - healed.length)), follows: true };
}
