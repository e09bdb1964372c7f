/** What learning is allowed to do and with which numbers: learning.md's defaults in one place. */
import { HindsightError } from '../../protocol/errors.ts';

/** What a method learns from; the replay compares them on one stream. */
export interface Method {
  /** Earlier accepted and typed text of the workspace is retrieved into the prompt. */
  memory: boolean;
  /** What stands elsewhere in the workspace is proposed word for word; see agent/completion/recall.ts. */
  recall: boolean;
  /** Which proposal is shown is learned from outcomes. */
  choice: boolean;
  /** Policy gradient on verdicts. */
  policyGradient: boolean;
  /** Hinted self-distillation at the divergence. */
  distillation: boolean;
  /** The developer's own text by forward KL from the hinted teacher. */
  splice: boolean;
  /** Plain cross-entropy on the developer's text. */
  supervised: boolean;
  /** Verdict and hinted teacher as one advantage per token, in place of a term each: OpenClaw-RL's first
   *  generation (firstGeneration.ts). */
  tokenAdvantages: boolean;
}

const none: Method = { memory: false, recall: false, choice: false, policyGradient: false, distillation: false, splice: false, supervised: false, tokenAdvantages: false };

export const METHODS = {
  frozen: none,
  memory: { ...none, memory: true },
  sft: { ...none, supervised: true },
  binary: { ...none, policyGradient: true },
  opd: { ...none, distillation: true },
  combined: { ...none, policyGradient: true, distillation: true, splice: true },
  'combined-gen1': { ...none, policyGradient: true, distillation: true, tokenAdvantages: true },
  'memory+combined': { ...none, memory: true, policyGradient: true, distillation: true, splice: true },
  recall: { ...none, memory: true, recall: true },
  'recall+combined': { ...none, memory: true, recall: true, choice: true, policyGradient: true, distillation: true, splice: true },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof METHODS;
/** The shipped setting; docs/learning.md says why. */
export const DEFAULT_METHOD: MethodName = 'recall+combined';

export const TEACHERS = ['serving', 'base', 'ema'] as const;
export type Teacher = (typeof TEACHERS)[number];

export const HINT_MODES = ['overlap', 'longest'] as const;
export type HintMode = (typeof HINT_MODES)[number];

/** What the settings that are words may say. */
const WORDS: Partial<Record<string, { of: readonly string[]; called: string }>> = {
  teacher: { of: TEACHERS, called: 'teacher' },
  hintMode: { of: HINT_MODES, called: 'hint mode' },
};

export interface LearnSettings {
  method: MethodName;
  seed: number;
  rank: number;
  alpha: number;
  /** AdamW's learning rate; null = by the model's size, see `learningRate`. */
  lr: number | null;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  clipNorm: number;
  clipLow: number;
  clipHigh: number;
  klBeta: number;
  /** Of the cross-entropy on what commands and tests printed (ECHO); 0 = off. */
  ceLambda: number;
  spliceWeight: number;
  pgWeight: number;
  opdWeight: number;
  /** Effective samples of one AdamW step, and of one after `quietSeconds` without a new one. */
  stepSamples: number;
  quietSamples: number;
  quietSeconds: number;
  /** Earlier samples that a step rehearses beside its new ones, and texts of the base's own that hold
   *  it to its general skill, with the weight of their kl term (rehearsal.ts). */
  rehearsedSamples: number;
  skillTexts: number;
  skillBeta: number;
  /** Samples older than this many versions are dropped. */
  maxStaleness: number;
  /** Size of the student's own top-K in the distillation support. */
  topK: number;
  /** Least weight of the developer's token at the divergence. */
  developerWeight: number;
  /** |D| is clipped here. */
  deltaClip: number;
  /** Whose weights read the hint: the serving adapter's, the base's, or an average over versions. */
  teacher: Teacher;
  /** Weight of a promoted version in that average. */
  emaRate: number;
  /** Of several corrections and judges' hints: the one that the student could almost have followed, or the longest. */
  hintMode: HintMode;
  /** Whether the movement that an unrelated hint causes is subtracted (hindsight/contrast.ts). */
  contrast: boolean;
  /** Longest stretch of the developer's text that is spliced, tokens. */
  spliceTokens: number;
  /** Least probability of the developer's token in a splice target. A weak teacher's own distribution
   *  teaches little: on the seed high floors (0.8 to 1) gained more than 0.5. One run each, on code of
   *  this repository; what lies between 0.8 and 1 was not told apart. */
  spliceFloor: number;
  /** Share of blocks that is held out. */
  holdoutShare: number;
  /** Suggestions that would hardly be taken are held back, once enough outcomes tell which those are. */
  holdBack: boolean;
  /** Declarations of imported files and the latest changes of others stand in the prompt, too. */
  relatedFiles: boolean;
  /** Failed tasks that have tests are tried again while nobody works (practice/). */
  practice: boolean;
  /** p of the completion reward r = (1-p)s - p(1-s). */
  completionPrior: number;
}

export const DEFAULT_SETTINGS: LearnSettings = {
  method: DEFAULT_METHOD,
  seed: 1,
  rank: 16,
  alpha: 32,
  lr: null,
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-8,
  weightDecay: 0.1,
  clipNorm: 1,
  clipLow: 0.2,
  clipHigh: 0.28,
  klBeta: 0.02,
  ceLambda: 0,
  spliceWeight: 1,
  pgWeight: 1,
  opdWeight: 0.25,
  stepSamples: 16,
  quietSamples: 4,
  quietSeconds: 60,
  rehearsedSamples: 16,
  skillTexts: 8,
  skillBeta: 10,
  maxStaleness: 8,
  topK: 20,
  developerWeight: 0.05,
  deltaClip: 1,
  teacher: 'serving',
  emaRate: 0.05,
  hintMode: 'overlap',
  contrast: false,
  spliceTokens: 64,
  spliceFloor: 0.9,
  holdoutShare: 0.2,
  holdBack: false,
  relatedFiles: false,
  practice: false,
  completionPrior: 0.25,
};

/** Settings as `key=value`. @throws badRequest */
export function settingsOf(changes: readonly string[]): Partial<LearnSettings> {
  return Object.fromEntries(changes.map(settingOf));
}

function settingOf(change: string): [string, unknown] {
  const [key = '', text = ''] = change.split('=');
  const shipped: unknown = (DEFAULT_SETTINGS as unknown as Record<string, unknown>)[key];
  const refuse = (problem: string, remedy: string): HindsightError => new HindsightError('badRequest', { problem, remedy });
  if (!Object.hasOwn(DEFAULT_SETTINGS, key) || key === 'method') {
    throw refuse(`There is no setting ${key}`, `Settings are ${Object.keys(DEFAULT_SETTINGS).filter((name) => name !== 'method').join(', ')}.`);
  }
  if (typeof shipped === 'string') {
    const known = WORDS[key];
    if (known !== undefined && !known.of.includes(text)) throw refuse(`There is no ${known.called} ${text}`, `Choose of ${known.of.join(', ')}.`);
    return [key, text];
  }
  if (typeof shipped === 'boolean') {
    if (text !== 'true' && text !== 'false') throw refuse(`The setting ${key} is ${text === '' ? 'nothing' : text}`, 'Say true or false.');
    return [key, text === 'true'];
  }
  if (text === 'null' && shipped === null) return [key, null];
  if (text === '' || !Number.isFinite(Number(text))) throw refuse(`The setting ${key} is ${text === '' ? 'nothing' : text}`, 'It needs a number.');
  return [key, Number(text)];
}

/** LoRA's best rate falls with a model's width, and width grows as about the square root of the
 *  parameters. The exponent is a choice, not a fit: 3e-4 at 1 B stays within learning.md's 1e-4 … 5e-4
 *  for what developers run, and gives the seed 6e-3, of which a quarter is taken while the golden set
 *  decides (pace.ts). Measured on the seed with the hold on the base: docs/learning.md. */
export function learningRate(settings: Pick<LearnSettings, 'lr'>, parameters: number): number {
  return settings.lr ?? 3e-4 * (1e9 / parameters) ** 0.547;
}
