/** What was learned, for a view to show: curves, lessons, versions with their reasons. */
import { z } from 'zod';
import { adapterSummary } from './editor.ts';
import { request } from './message.ts';

const workspace = z.string().min(1);
const version = z.int().positive().nullable();

/** A share of `of` cases, with its 95 % Wilson interval. All null where there was no case. */
export const share = z.object({ of: z.int(), value: z.number().nullable(), lower: z.number().nullable(), upper: z.number().nullable() });
export type Share = z.output<typeof share>;

/** How the suggestions of one version fared; `version` null = the base model alone. */
export const versionCurve = z.object({
  version,
  /** Of the answered suggestions: taken whole, in part, or typed just so. */
  accepted: share,
  /** Of the accepted ones: most of it still stood there at the last look (4-gram similarity of at least a half). */
  survived: share,
});
export type VersionCurve = z.output<typeof versionCurve>;

export const lesson = z.object({
  turn: z.string(),
  at: z.number(),
  uri: z.string(),
  /** What was suggested, and what stands there instead; null = nothing is known of it. */
  offered: z.string(),
  /** It was held back: nobody saw it. */
  held: z.boolean(),
  written: z.string().nullable(),
  outcome: z.string(),
  /** In [-1, 1]; null = no verdict. */
  score: z.number().nullable(),
  /** Why, in sentences. */
  evidence: z.array(z.string()),
  /** `heldOut`: it judges versions and is never learned from. `none`: there was nothing to learn. */
  state: z.enum(['heldOut', 'waiting', 'learned', 'dropped', 'none']),
  /** The version that learned it. */
  version,
  /** Why it was dropped. */
  reason: z.string().nullable(),
});
export type Lesson = z.output<typeof lesson>;

/** A version with everything that can be told of it in words. */
export const explainedVersion = adapterSummary.extend({ why: z.array(z.string()) });
export type ExplainedVersion = z.output<typeof explainedVersion>;

export const learningView = request(
  'hindsight/learning/view',
  'editor→daemon',
  'Curves by version (the base first, then in the order in which they were made), versions and lessons, newest first.',
  z.object({ workspace, lessons: z.int().nonnegative().max(500) }),
  z.object({ serving: version, curve: z.array(versionCurve), versions: z.array(explainedVersion), lessons: z.array(lesson) }),
  {
    params: { workspace: 'file:///p', lessons: 50 },
    result: {
      serving: null,
      curve: [{ version: null, accepted: { of: 20, value: 0.4, lower: 0.219, upper: 0.613 }, survived: { of: 8, value: 1, lower: 0.676, upper: 1 } }],
      versions: [{ version: 1, parent: null, state: 'rejected', createdAt: 1_790_000_000_000, samples: 4, reason: 'Held-out edits became no likelier.', why: ['Version 1 was refused and never served.'] }],
      lessons: [{ turn: 't-9', at: 1_790_000_000_000, uri: 'file:///p/a.ts', offered: 'return x;', held: false, written: 'return y;', outcome: 'diverged', score: -0.6, evidence: ['Something else was written.'], state: 'learned', version: 1, reason: null }],
    },
  },
);

export const adapterCompare = request(
  'hindsight/adapter/compare',
  'editor→daemon',
  'What two versions (null = the base model) would write at a cursor: the same prompt, greedy, by the model alone. Nothing is stored.',
  z.object({ workspace, uri: z.string(), text: z.string(), offset: z.int().nonnegative(), versions: z.tuple([version, version]) }),
  z.object({ answers: z.tuple([z.string(), z.string()]) }),
  { params: { workspace: 'file:///p', uri: 'file:///p/a.ts', text: 'return ', offset: 7, versions: [null, 1] }, result: { answers: ['x;', 'y;'] } },
);

export const adapterExport = request(
  'hindsight/adapter/export',
  'editor→daemon',
  'Copies a version in PEFT format into a new folder on the daemon’s machine.',
  z.object({ workspace, version: z.int().positive(), folder: z.string().min(1) }),
  z.object({ files: z.array(z.string()) }),
  { params: { workspace: 'file:///p', version: 1, folder: '/home/me/v1' }, result: { files: ['adapter_config.json', 'adapter_model.safetensors', 'receipt.json'] } },
);

export const learningMessages = [learningView, adapterCompare, adapterExport] as const;
