/** What the gate decides on, measured by engine passes. Scores of versions that do not change are
 *  kept, so that a gate run is one pass of the candidate over the held-out edits and the golden set. */
import { PRIORITY } from '../../protocol/engine.ts';
import type { Engine } from '../engine/engine.ts';
import type { Journal } from '../journal/journal.ts';
import { ExposureMeasurer } from './exposure.ts';
import type { CanaryAnswer, GateMeasures, ScoredEdit } from './gate.ts';
import { GOLDEN_TEXTS, goldenBase, scoreGolden } from './golden.ts';
import type { GoldenText } from './golden.ts';
import type { HeldOutEdit } from './holdout.ts';

/** Prompt tokens before a held-out edit that are scored with it; the same for all versions. */
const CONTEXT_TOKENS = 256;
const MAX_TOKENS = 48;
/** Canaries continue the first lines of these golden texts. */
const CANARIES = [0, 8, 19];
const CANARY_TOKENS = 24;

export interface MeasureRequest {
  /** Engine names; null = base. */
  candidate: string;
  serving: string | null;
  best: string | null;
  edits: readonly HeldOutEdit[];
}

export class GateMeasurer {
  /** Log-likelihood of an edit under a version, by `<adapter or ''>\n<turn>`; versions never change. */
  readonly #scores = new Map<string, number>();
  readonly #ids = new Map<string, number[]>();
  readonly #canaries = new Map<number, { text: string; ids: number[]; prompt: number[] }>();

  readonly #exposure: ExposureMeasurer;

  constructor(
    private readonly engine: Engine,
    private readonly journal: Pick<Journal, 'get' | 'set'>,
    private readonly golden: readonly GoldenText[] = GOLDEN_TEXTS,
  ) {
    this.#exposure = new ExposureMeasurer(engine);
  }

  async measure(request: MeasureRequest, onProgress: (done: number, of: number) => void = () => undefined): Promise<GateMeasures> {
    const { candidate, serving, best, edits } = request;
    onProgress(0, 4);
    await this.#scoreEdits(edits, [null, serving, best, candidate]);
    onProgress(1, 4);
    const base = await goldenBase(this.engine, this.journal, this.golden);
    const golden = await scoreGolden(this.engine, candidate, base);
    onProgress(2, 4);
    const canaries = await this.#answers(candidate);
    onProgress(3, 4);
    const exposure = await this.#exposure.of(candidate);
    onProgress(4, 4);
    return {
      edits: edits.flatMap((edit) => this.#scored(edit, request)),
      golden: { base: base.nats / base.bytes, candidate: golden.nats / golden.bytes, kl: golden.kl, entropyRatio: golden.entropy / base.entropy },
      canaries,
      exposure,
    };
  }

  /** Scores of a version that will not be asked for again. */
  forget(adapter: string): void {
    for (const key of this.#scores.keys()) if (key.startsWith(`${adapter}\n`)) this.#scores.delete(key);
  }

  #scored(edit: HeldOutEdit, { candidate, serving, best }: MeasureRequest): ScoredEdit[] {
    const under = (adapter: string | null): number => this.#scores.get(key(adapter, edit.turn)) ?? NaN;
    const scored = { candidate: under(candidate), serving: under(serving), base: under(null), best: best === null ? null : under(best) };
    // An edit that cannot be scored (a token unknown to the model) says nothing; it is left out for all.
    if (![scored.candidate, scored.serving, scored.base, scored.best ?? 0].every(Number.isFinite)) return [];
    return [{ block: edit.block, bytes: Buffer.byteLength(edit.text, 'utf8'), ...scored }];
  }

  async #scoreEdits(edits: readonly HeldOutEdit[], adapters: readonly (string | null)[]): Promise<void> {
    const fresh = edits.filter((edit) => !this.#ids.has(edit.turn));
    const { ids } = fresh.length === 0 ? { ids: [] } : await this.engine.tokenize({ texts: fresh.map((edit) => edit.text) });
    fresh.forEach((edit, index) => this.#ids.set(edit.turn, (ids[index] ?? []).slice(0, MAX_TOKENS)));
    for (const adapter of new Set(adapters)) {
      const missing = edits.filter((edit) => !this.#scores.has(key(adapter, edit.turn)) && (this.#ids.get(edit.turn) ?? []).length > 0);
      if (missing.length === 0) continue;
      const { sequences } = await this.engine.score({ sequences: missing.map((edit) => this.#sequence(edit)), adapter, topK: 0 });
      missing.forEach((edit, index) => this.#scores.set(key(adapter, edit.turn), sum(sequences[index]?.logprobs ?? [null])));
    }
  }

  #sequence(edit: HeldOutEdit): { ids: number[]; positions: number[] } {
    const context = edit.promptIds.slice(-CONTEXT_TOKENS);
    const own = this.#ids.get(edit.turn) ?? [];
    return { ids: [...context, ...own], positions: own.map((_, index) => context.length + index) };
  }

  async #answers(candidate: string): Promise<CanaryAnswer[]> {
    const answers: CanaryAnswer[] = [];
    for (const index of CANARIES) {
      const text = this.golden[index]?.text;
      if (text === undefined) continue;
      const base = this.#canaries.get(index) ?? (await this.#baseAnswer(index, text));
      const { ids, text: answer } = await this.#generate(base.prompt, candidate);
      answers.push({ base: base.text, baseIds: base.ids, candidate: answer, candidateIds: ids });
    }
    return answers;
  }

  async #baseAnswer(index: number, text: string): Promise<{ text: string; ids: number[]; prompt: number[] }> {
    const { ids } = await this.engine.tokenize({ texts: [text.split('\n').slice(0, 2).join('\n')] });
    const bos = this.engine.model.bos;
    const prompt = [...(bos === null ? [] : [bos]), ...(ids[0] ?? [])];
    const answer = { ...(await this.#generate(prompt, null)), prompt };
    this.#canaries.set(index, answer);
    return answer;
  }

  async #generate(prompt: number[], adapter: string | null): Promise<{ text: string; ids: number[] }> {
    const { text, ids } = await this.engine.generate({ prompt, sampling: { maxTokens: CANARY_TOKENS, temperature: 0 }, adapter, priority: PRIORITY.training });
    return { text, ids };
  }
}

function key(adapter: string | null, turn: string): string {
  return `${adapter ?? ''}\n${turn}`;
}

function sum(logprobs: readonly (number | null)[]): number {
  return logprobs.reduce<number>((total, logprob) => total + (logprob ?? NaN), 0);
}
