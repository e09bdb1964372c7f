/**
 * The records of the journal, in the order in which the data flows:
 * turn → next state → verdict, hint → sample → step → adapter.
 * Plain data; arrays of numbers keep null for "unknown". Field names are those of learning.md.
 */
import type { Sampling } from '../../protocol/engine.ts';
import type { Proposal, ProposalSource } from '../agent/completion/choice.ts';

export type Modality = 'completion' | 'edit' | 'terminal' | 'tool' | 'chat' | 'browser';

/** A tool call as the model wrote it. */
export interface ToolCall {
  id: string;
  tool: string;
  /** null = what the model wrote is no call of a known tool; the result says why. */
  arguments: Record<string, unknown> | null;
}

/** What an agent's turn did. Each response of the model is one turn; those that answer one request of
 *  the user are one task, whose outcome is its last test run (`Observation` of kind `tests`). */
export interface AgentAction {
  task: string;
  /** Within the task, from 0. */
  step: number;
  /** What the user asked for. */
  request: string;
  /** Empty: a reply. */
  calls: ToolCall[];
  /** What the model read, from which the hinted teacher's prompt is made; absent where the turn has no
   *  token ids, and so never trains. */
  messages?: { role: string; content: string }[];
  /** In practice, after a failure: the tests turned green, so the whole response is an example. */
  practised?: true;
}

/** One action of the agent, with the exact tokens that produced it (invariant 2 of design.md). */
export interface Turn {
  id: string;
  session: string;
  workspace: string;
  modality: Modality;
  /** Only main turns train; no role stated means side. */
  role: 'main' | 'side';
  /** Hash-chosen, before anything is known of the outcome; held-out turns never train. */
  split: 'train' | 'holdout';
  /** What `split` was drawn on: a (file, 30-minute) block, or a commit in a replay. */
  block: string;
  offeredAt: number;
  uri: string;
  languageId: string;
  /** Document version and UTF-16 offset at which the suggestion was offered. */
  version: number;
  offset: number;
  /** Prompt as served: BOS, context snippets, prefix (and suffix under fill-in-the-middle). */
  promptIds: number[];
  /** White space right before the cursor that the prompt leaves out and the response starts with:
   *  byte-level vocabularies join it with the next word, so a prompt that ends with it is text the
   *  model never saw (measured on the seed: 8 to 10 nats a line). rawText, offsets and shownText
   *  begin after it, at the cursor; what is encoded to follow promptIds begins with it. */
  healed?: string;
  /** How the prompt was built; the hint snippet is put before the untouched prompt. */
  promptMode: 'prefix' | 'fim';
  responseIds: number[];
  logprobs: (number | null)[];
  /** Raw response, and the byte at which each of its tokens starts (one more entry, the end). */
  rawText: string;
  offsets: number[];
  /** What post-processing left to show; a prefix of rawText, maybe empty (then nothing was offered). */
  shownText: string;
  /** Of a suggestion that was held back (agent/completion/filter.ts): what would have been shown;
   *  `shownText` is '' then. What the developer writes in its place closes the turn all the same. */
  held?: string;
  finishReason: 'stop' | 'eos' | 'length' | 'cancelled';
  sampling: Sampling;
  /** Promoted version that answered; null = base model. */
  adapter: number | null;
  fingerprint: string;
  /** Absent = `model`: the response was generated. A recalled one stood elsewhere in the workspace; its
   *  tokens are exact, their log-probs are not known. */
  source?: ProposalSource;
  /** What could have been shown, the shown one among them; absent where there was no choice. */
  proposals?: Proposal[];
  /** Up to 8 lines before the cursor with the partial line, and 4 after: the hint snippet's frame. */
  before: string;
  after: string;
  /** Other files of the workspace, by their paths in it, whose text may be in the prompt or the response:
   *  who forgets one of them forgets this turn. */
  beside?: string[];
  /** Of every turn but completions. Their uri is '' where no one file is meant, and version, offset,
   *  before and after say nothing. A turn of an outside endpoint has no token ids, and never trains. */
  action?: AgentAction;
}

/** Completions have the first six; an agent's action is `observed` (its results came), `answered` (the
 *  user spoke next), or its hunks were kept, changed or reverted. */
export type Outcome = 'accepted' | 'partial' | 'typedThrough' | 'diverged' | 'superseded' | 'abandoned' | 'observed' | 'answered' | 'kept' | 'changed' | 'reverted';

/** What followed an agent's action, in the order in which it came. */
export type Observation =
  /** Of any tool; `failed`: it gave an error, or the call was none. */
  | { kind: 'result'; tool: string; text: string; failed: boolean }
  /** `exitCode` null: ended from outside; `refused`: the user did not let it run. By the user: a command that a reply had named. */
  | { kind: 'terminal'; command: string; exitCode: number | null; ended: 'itself' | 'deadline' | 'stopped' | 'refused'; output: string; durationMs: number; by?: 'user' }
  /** `fixed` and `broken` against the last run of the task; `testsEdited`: files of tests that the task itself changed;
   *  `failures`: what some of those that fail say. */
  | { kind: 'tests'; command: string; passed: number; failed: number; errors: number; fixed: string[]; broken: string[]; testsEdited: string[]; failures?: string[] }
  /** How the tests of a task ended, on each step that led there (episodes/outcome.ts). */
  | { kind: 'outcome'; score: 1 | -1; fixed: string[]; broken: string[]; failures: string[] }
  /** A reviewed hunk: what stood there, what was proposed, what stands there now. */
  | { kind: 'hunk'; uri: string; before: string; proposed: string; now: string; state: 'kept' | 'changed' | 'reverted' }
  | { kind: 'message'; text: string }
  | { kind: 'rating'; rating: 'helpful' | 'wrong'; correction: string | null }
  /** A page's accessibility tree and console, before and after. */
  | { kind: 'page'; url: string; added: string[]; removed: string[]; console: string[] }
  /** What the editor's checkers said before and after, once settled; `remaining`: all that were said
   *  before, and are now of lines that the action wrote. */
  | { kind: 'diagnostics'; added: string[]; resolved: string[]; remaining?: string[] }
  /** The user's own runs that turned: commands, tasks, debug sessions, cells. */
  | { kind: 'checks'; fixed: string[]; broken: string[] }
  /** A commit that contains the action's text. */
  | { kind: 'commit'; hash: string; subject: string }
  /** The user took the action back as a whole: an undo command, a checkpoint restored, a revert. */
  | { kind: 'undone'; how: string }
  /** The user took text of the reply with them. */
  | { kind: 'copied'; text: string };

/** Everything attributable that happened after a turn. */
export interface NextState {
  turn: string;
  outcome: Outcome;
  /** Characters of shownText, from its start, that stood there after the last acceptance; 0 = none was. */
  acceptedChars: number;
  /** What the developer wrote at the turn's place, from the offer's offset on; null = unknown. */
  developerText: string | null;
  /** [seconds after acceptance, 4-gram similarity in [0, 1]]; null similarity = void. */
  survival: [number, number | null][];
  decidedAt: number;
  /** Of an agent's action; a completion has none. */
  observations?: Observation[];
}

/** What became known of a turn after its next state; never changes it, see `Journal.known`. */
export type LateEvidence =
  /** A later survival mark. `written` is what stands at the offer's place; null = unknown. */
  | { kind: 'survival'; turn: string; seconds: number; similarity: number | null; written: string | null; at: number }
  /** It went into a commit. */
  | { kind: 'commit'; turn: string; hash: string; subject: string; at: number }
  /** Seen beside it, in the user's own work. */
  | { kind: 'observed'; turn: string; observation: Observation; at: number }
  /** It was taken back: a revert commit, an undo, maybe days later. */
  | { kind: 'takenBack'; turn: string; how: string; at: number };

export interface Verdict {
  turn: string;
  /** [-1, 1] */
  score: number;
  /** [0, 1] */
  confidence: number;
  source: 'verifier' | 'explicit' | 'classifier' | 'judge';
  /** Sentences a person can read. */
  evidence: string[];
  /** A correction (late evidence) is an additional verdict, history is never rewritten. */
  kind: 'provisional' | 'correction';
  at: number;
}

export interface Hint {
  turn: string;
  source: 'developer' | 'diagnostic' | 'correction' | 'judge' | 'reflection';
  text: string;
  at: number;
}

export type SampleState = 'ready' | 'leased' | 'consumed' | 'dropped';
export type Route = 'policyGradient' | 'distillation' | 'sft';

/** A turn routed to training. What is trained is worked out from turn, next state and hint at lease. */
export interface Sample {
  id: number;
  turn: string;
  workspace: string;
  route: Route;
  /** A of the policy-gradient term; null where the route has none. */
  advantage: number | null;
  /** Multiplies the policy-gradient term. */
  weight: number;
  /** Adapter version of the turn (0 = base): staleness is counted from it. */
  version: number;
  state: SampleState;
  /** Why it was dropped. */
  reason: string | null;
  /** Step that leased or consumed it. */
  step: number | null;
  createdAt: number;
}

export interface Step {
  id: number;
  workspace: string;
  seed: number;
  startedAt: number;
  /** running → trained (candidate on disk) → gated; a step found `running` at start is taken back. */
  state: 'running' | 'trained' | 'gated' | 'failed';
  /** Candidate adapter version. */
  candidate: number | null;
  metrics: Record<string, number | null>;
}

export type AdapterState = 'candidate' | 'serving' | 'retired' | 'rejected' | 'rolledBack' | 'quarantined';

export interface AdapterRecord {
  workspace: string;
  version: number;
  parent: number | null;
  fingerprint: string;
  dir: string;
  sha256: string;
  state: AdapterState;
  createdAt: number;
  samples: number;
  /** In one sentence why it was promoted or not. */
  reason: string;
}
