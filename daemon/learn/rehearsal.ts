/**
 * What a step trains beside its new samples, so that neither the developer's earlier lessons nor the
 * model's general skill are forgotten.
 *
 * Lessons: some samples of earlier steps, drawn evenly over files, so that one long day in one file
 * does not crowd out the rest. They are read, not leased: the exactly-once accounting is of new
 * samples. Only what the developer wrote is rehearsed; a policy gradient on an answer of an old
 * version would be off its policy.
 *
 * Skill: texts that the base model wrote itself (pseudo-rehearsal; Robins 1995), held to the base by
 * the kl term. Nothing of the golden set is in them, or the gate would be trained on.
 */
import type { TrainSequence } from '../../protocol/engine.ts';
import { PRIORITY } from '../../protocol/engine.ts';
import type { Engine } from '../engine/engine.ts';
import type { Journal } from '../journal/journal.ts';
import type { Sample } from '../journal/records.ts';

/** Consumed samples that are looked at, the newest. */
const WINDOW = 1024;
/** Texts that are made once per base, and their tokens. */
const TEXTS = 16;
const TOKENS = 64;
const OPENINGS = ['src/index.ts', 'lib/util.js', 'test/main.test.ts', 'app/models.py'];

/** What earlier steps trained, so that rehearsing it takes no engine pass: the developer's text with the
 *  targets that the hinted teacher gave then. A restart forgets it; it is then built again. */
export class LessonCache {
  readonly #sequences = new Map<number, TrainSequence>();

  get(sample: number): TrainSequence | null {
    return this.#sequences.get(sample) ?? null;
  }

  clear(): void {
    this.#sequences.clear();
  }

  /** Keeps the terms on the developer's text alone. */
  add(sample: number, { ids, temperature, splice, ce }: TrainSequence): void {
    if (splice === undefined && ce === undefined) return;
    this.#sequences.set(sample, { ids, temperature, ...(splice && { splice }), ...(ce && { ce }) });
    const oldest = this.#sequences.keys().next();
    if (this.#sequences.size > WINDOW && !oldest.done) this.#sequences.delete(oldest.value);
  }
}

/** @param random  uniform in [0, 1)
 *  @returns at most `count`, each file's samples alike often */
export function drawRehearsed(consumed: readonly { sample: Sample; uri: string }[], count: number, random: () => number): Sample[] {
  const files = new Map<string, Sample[]>();
  for (const { sample, uri } of consumed) {
    if (sample.route === 'policyGradient') continue;
    files.set(uri, [...(files.get(uri) ?? []), sample]);
  }
  const drawn: Sample[] = [];
  const open = [...files.values()];
  while (drawn.length < count && open.length > 0) {
    const file = Math.floor(random() * open.length);
    const samples = open[file] ?? [];
    const [one] = samples.splice(Math.floor(random() * samples.length), 1);
    if (one !== undefined) drawn.push(one);
    if (samples.length === 0) open.splice(file, 1);
  }
  return drawn;
}

export function consumedSamples(journal: Pick<Journal, 'samples' | 'turn'>, workspace: string): { sample: Sample; uri: string }[] {
  return journal
    .samples({ workspace, state: 'consumed' })
    .slice(-WINDOW)
    .flatMap((sample) => {
      const uri = journal.turn(sample.turn)?.uri;
      return uri === undefined ? [] : [{ sample, uri }];
    });
}

/** The base's own texts, made once and kept with its fingerprint. [TEXTS][about TOKENS] */
export async function skillTexts(engine: Engine, journal: Pick<Journal, 'get' | 'set'>): Promise<number[][]> {
  const key = `skill/${engine.model.fingerprint}`;
  const known = journal.get(key) as number[][] | undefined;
  if (known !== undefined) return known;
  const { bos, fim } = engine.model;
  const { ids } = await engine.tokenize({ texts: OPENINGS.map((path) => `${path}\n`) });
  const texts: number[][] = [];
  for (let index = 0; index < TEXTS; index++) {
    const prompt = [...(bos === null ? [] : [bos]), ...(fim?.fileSep == null ? [] : [fim.fileSep]), ...(ids[index % OPENINGS.length] ?? [])];
    const answer = await engine.generate({ prompt, sampling: { maxTokens: TOKENS, temperature: 1, seed: index + 1 }, adapter: null, priority: PRIORITY.training });
    texts.push([...prompt, ...answer.ids]);
  }
  journal.set(key, texts);
  return texts;
}

/** A sequence that is held to the base at every token. */
export function skillSequence(ids: number[]): TrainSequence {
  return { ids, temperature: 1, kl: { positions: ids.slice(1).map((_, index) => index + 1) } };
}
