/**
 * Editor ⇄ daemon, beside standard LSP (text synchronisation and `textDocument/inlineCompletion`).
 * An inline completion item carries the command `hindsight.accepted` with the turn's id.
 */
import { z } from 'zod';
import { signalClass } from './consent.ts';
import { notification, request } from './message.ts';
import { exampleRemote, remoteStatus } from './remote.ts';
import { signalPublish } from './signals.ts';

/** Command of every inline completion item; its one argument is the turn's id. */
export const ACCEPTED_COMMAND = 'hindsight.accepted';

const workspace = z.string().min(1);
const empty = z.object({});

export const consentState = z.enum(['unknown', 'granted', 'refused']);
export type ConsentState = z.output<typeof consentState>;

/** `classes` is empty unless the state is `granted`. */
export const consentChoice = z.object({ state: consentState, classes: z.array(signalClass) });
export type ConsentChoice = z.output<typeof consentChoice>;

export const consentGet = request(
  'hindsight/consent/get',
  'editor→daemon',
  'Whether this workspace may be learned from, and from which classes of signals. `unknown` = the owner has not chosen; nothing is captured.',
  z.object({ workspace }),
  consentChoice,
  { params: { workspace: 'file:///p' }, result: { state: 'unknown', classes: [] } },
);

export const consentSet = request(
  'hindsight/consent/set',
  'editor→daemon',
  'Records the choice of the workspace owner. A yes without `classes` is the choice made before, or else the usual one: the work in files, without terminals, conversations and pages.',
  z.object({ workspace, state: z.enum(['granted', 'refused']), classes: z.array(signalClass).optional() }),
  consentChoice,
  { params: { workspace: 'file:///p', state: 'granted', classes: ['suggestions', 'edits'] }, result: { state: 'granted', classes: ['suggestions', 'edits'] } },
);

/** Counts of turns and samples by where they are in the pipe. */
export const pipeCounts = z.object({
  turnsOpen: z.int(),
  turnsClosed: z.int(),
  verdicts: z.int(),
  samplesReady: z.int(),
  samplesLeased: z.int(),
  samplesConsumed: z.int(),
  samplesDropped: z.int(),
  steps: z.int(),
});

/** Where turns are in the pipe, in its order; a turn is counted where it waits, totals where it passed. */
export const pipeStage = z.object({
  stage: z.enum(['offered', 'nextState', 'judging', 'verdict', 'hint', 'watched', 'ready', 'leased', 'step', 'candidate', 'rejected', 'served']),
  count: z.int(),
  /** Of the oldest one that waits there; null = nothing waits. */
  oldestSeconds: z.number().nullable(),
});

/** Verdicts by models since the daemon started. */
export const prmMetrics = z.object({
  waiting: z.int(), judged: z.int(), votes: z.int(), invalidVotes: z.int(),
  /** Share of valid votes that agree with their majority. */
  agreement: z.number().nullable(),
  abstained: z.int(), outages: z.int(), givenUp: z.int(),
});

export const status = z.object({
  state: z.enum(['starting', 'serving', 'learning', 'paused', 'offline']),
  /** Version that serves this workspace; null = the base model alone. */
  adapter: z.int().positive().nullable(),
  model: z.object({ name: z.string(), fingerprint: z.string(), device: z.string() }).nullable(),
  /** The engine on another machine that this workspace is attached to. */
  remote: remoteStatus.nullable(),
  pipe: pipeCounts,
  /** One sentence when something needs the user's eye, e.g. trainable requests that leave no turns. */
  warning: z.string().nullable(),
  /** Suggestions come only when they are asked for until then, milliseconds since the Unix epoch: many in a
   *  row were turned down. null = they come by themselves. */
  quietUntil: z.number().nullable().default(null),
  /** In the answer to `status/get` only: ages change with every second. */
  stages: z.array(pipeStage).optional(),
  prm: prmMetrics.optional(),
  /** Whether suggestions are held back, and what is known for it, in one sentence. */
  holdBack: z.string().optional(),
});
export type Status = z.output<typeof status>;

const exampleStatus: Status = {
  state: 'serving',
  adapter: 3,
  model: { name: 'seed', fingerprint: '5a…', device: 'cpu' },
  remote: exampleRemote,
  pipe: { turnsOpen: 1, turnsClosed: 40, verdicts: 31, samplesReady: 7, samplesLeased: 0, samplesConsumed: 16, samplesDropped: 0, steps: 1 },
  warning: null,
  quietUntil: null,
};

export const statusGet = request(
  'hindsight/status/get',
  'editor→daemon',
  'State of serving and learning for a workspace.',
  z.object({ workspace }),
  status,
  { params: { workspace: 'file:///p' }, result: exampleStatus },
);

export const trainingPause = request(
  'hindsight/training/pause',
  'editor→daemon',
  'Stops training after the step in progress; capture and serving go on.',
  empty,
  empty,
  { params: {}, result: {} },
);

export const trainingResume = request(
  'hindsight/training/resume',
  'editor→daemon',
  'Lets training go on.',
  empty,
  empty,
  { params: {}, result: {} },
);

export const trainingNow = request(
  'hindsight/training/now',
  'editor→daemon',
  'Trains on every ready sample now, gates the candidates, and answers when nothing is left to do.',
  z.object({ workspace }),
  z.object({ steps: z.int(), promoted: z.int() }),
  { params: { workspace: 'file:///p' }, result: { steps: 2, promoted: 1 } },
);

export const adapterSummary = z.object({
  version: z.int().positive(),
  parent: z.int().positive().nullable(),
  state: z.enum(['candidate', 'serving', 'retired', 'rejected', 'rolledBack', 'quarantined']),
  createdAt: z.number(),
  samples: z.int(),
  /** Why it was promoted or not, in one sentence. */
  reason: z.string(),
});
export type AdapterSummary = z.output<typeof adapterSummary>;

export const adapterList = request(
  'hindsight/adapter/list',
  'editor→daemon',
  'Versions of a workspace, newest first.',
  z.object({ workspace }),
  z.object({ serving: z.int().positive().nullable(), adapters: z.array(adapterSummary) }),
  {
    params: { workspace: 'file:///p' },
    result: {
      serving: 3,
      adapters: [{ version: 3, parent: 2, state: 'serving', createdAt: 1_790_000_000_000, samples: 16, reason: 'Held-out edits became likelier by 0.031 nats/byte.' }],
    },
  },
);

export const adapterRollback = request(
  'hindsight/adapter/rollback',
  'editor→daemon',
  'Puts the previous promoted version (or the base model) back under the agent.',
  z.object({ workspace, to: z.int().positive().nullable().optional() }),
  z.object({ serving: z.int().positive().nullable() }),
  { params: { workspace: 'file:///p' }, result: { serving: 2 } },
);

export const learningShow = request(
  'hindsight/learning/show',
  'editor→daemon',
  'What was learned, as a document to read: state, versions with reasons, latest lessons.',
  z.object({ workspace }),
  z.object({ markdown: z.string() }),
  { params: { workspace: 'file:///p' }, result: { markdown: '# What Hindsight learned\n' } },
);

export const daemonStop = request(
  'hindsight/daemon/stop',
  'editor→daemon',
  'Ends the daemon after writing everything down.',
  empty,
  empty,
  { params: {}, result: {} },
);

export const adapterPublished = notification(
  'hindsight/adapter/published',
  'daemon→editor',
  'A new version passed the gate and serves from now on.',
  z.object({ workspace, version: z.int().positive(), reason: z.string() }),
  { params: { workspace: 'file:///p', version: 4, reason: 'Held-out edits became likelier by 0.02 nats/byte.' } },
);

export const statusChanged = notification(
  'hindsight/status/changed',
  'daemon→editor',
  'The state that the status bar shows changed.',
  z.object({ workspace, status }),
  { params: { workspace: 'file:///p', status: exampleStatus } },
);

export const learningProgress = notification(
  'hindsight/learning/progress',
  'daemon→editor',
  'Where the step in progress is.',
  z.object({ workspace, phase: z.enum(['score', 'train', 'gate']), done: z.int(), of: z.int() }),
  { params: { workspace: 'file:///p', phase: 'train', done: 3, of: 16 } },
);

export const nextEditOffered = notification(
  'hindsight/nextEdit/offered',
  'daemon→editor',
  'The change that was just made by hand could be made at another place of the document, too: what stands there, UTF-16 units of this version, would become `text`. Told to clients whose hello has `nextEdits`.',
  z.object({ uri: z.string().min(1), version: z.int(), offset: z.int().nonnegative(), length: z.int().positive(), text: z.string() }),
  { params: { uri: 'file:///p/a.ts', version: 7, offset: 120, length: 5, text: 'sum' } },
);

export const editorMessages = [
  signalPublish,
  consentGet,
  consentSet,
  statusGet,
  trainingPause,
  trainingResume,
  trainingNow,
  adapterList,
  adapterRollback,
  learningShow,
  daemonStop,
  adapterPublished,
  statusChanged,
  learningProgress,
  nextEditOffered,
] as const;
