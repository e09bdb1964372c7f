/**
 * The error catalogue: one code, one sentence, one remedy for everything that can go wrong across
 * a process border or on the command line. Code that fails on purpose throws a `HindsightError`;
 * anything else that surfaces is a defect and is reported as `internal`.
 */
import { z } from 'zod';

/** [JSON-RPC code, what happened, what to do]. `{name}` is filled from the details. */
const CATALOGUE = {
  internal: [-32603, 'Something unexpected failed: {message}', 'Please report it with the log.'],
  invalidParams: [-32602, 'The message {method} does not fit the protocol: {problem}', 'Update the older of the two sides.'],
  cancelled: [-32800, 'The request was cancelled', 'Nothing to do.'],
  deadline: [-32001, '{what} took longer than {seconds} s', 'Try again, or look at `hindsight doctor`.'],
  linkClosed: [-32002, 'The link closed before {what} was answered', 'Try again; what was acknowledged is not lost.'],
  malformedMessage: [-32012, 'What arrived is not a message of the protocol: {problem}', 'Update the older of the two sides, or look at what else speaks on this address.'],
  protocolMismatch: [-32010, 'This side speaks protocol {ours} and the other side {theirs}', 'Update {side}.'],
  messageTooLarge: [-32011, 'A message of {bytes} bytes is over the limit of {limit}', 'Send less at once.'],
  consentMissing: [-32020, 'Nothing may be learned from {workspace} before its owner agrees', 'Run "Hindsight: Choose What May Be Learned…".'],
  socketOccupied: [-32030, 'The socket {path} is held by something that is not a Hindsight daemon', 'Stop that program, or set HINDSIGHT_HOME to another folder.'],
  daemonAbsent: [-32031, 'No Hindsight daemon is running', 'Start one with `hindsight serve`.'],
  engineUnavailable: [-32040, 'The engine is not running: {reason}', 'It is restarted by itself; `hindsight doctor` says what is wrong if it does not come back.'],
  nativeMissing: [-32041, 'The native engine could not be loaded: {reason}', 'Run `npm run build`, or reinstall the extension.'],
  modelMissing: [-32050, 'There is no model in {path}: {problem}', 'Give a folder in Hugging Face layout with config.json, tokenizer.json and safetensors files.'],
  modelCorrupt: [-32051, 'The model file {path} cannot be read: {problem}', 'Download or copy it again.'],
  modelUnsupported: [-32052, 'The model in {path} is not supported: {problem}', 'Use a llama, qwen2 or qwen3 model in fp32, fp16 or bf16.'],
  tokenizerMissing: [-32053, 'There is no usable tokenizer in {path}: {problem}', 'Copy tokenizer.json of the model into its folder.'],
  downloadFailed: [-32054, '{file} of {repository} could not be downloaded: {problem}', 'Run the command again: it goes on where it stopped.'],
  downloadCorrupt: [-32057, '{file} of {repository} did not arrive as it was published: {problem}', 'It was thrown away; run the command again, or name another hub with --endpoint.'],
  chatModelMissing: [-32055, '{model} cannot chat', 'Set "hindsight.chat.endpoint" to an OpenAI-compatible server, or load an instruct model with `hindsight serve --model FOLDER`.'],
  endpointFailed: [-32056, 'The chat endpoint {url} {problem}', 'Check "hindsight.chat.endpoint", "hindsight.chat.model" and the key.'],
  adapterMissing: [-32060, 'There is no adapter {adapter}', 'See `hindsight adapters list`.'],
  adapterUnfit: [-32061, 'The adapter {adapter} does not fit the loaded model: {problem}', 'Use an adapter trained on this base model.'],
  adapterCorrupt: [-32062, 'The adapter {adapter} cannot be read: {problem}', 'Roll back with `hindsight adapters rollback`, or export it again.'],
  pairingInvalid: [-32100, 'This is not a pairing line: {problem}', 'Copy the whole line that `hindsight engine --listen` or `hindsight engine tokens add` printed; it begins with hindsight://.'],
  tokenRefused: [-32101, 'The engine does not know this token, or it was revoked', 'Make a new one on its machine with `hindsight engine tokens add`.'],
  tooManyAttempts: [-32102, 'Too many refused tokens came from this address', 'Wait {seconds} s, and check the pairing line.'],
  certificateChanged: [-32103, 'The engine at {address} shows another certificate ({shown}) than the one it was paired with ({pinned}): it was set up anew, or somebody is in between', 'Nothing was sent. If it was set up anew, attach it again with its new pairing line.'],
  engineBusy: [-32104, 'The engine takes no more of this: {problem}', 'Wait for earlier requests to end, then try again.'],
  quotaExceeded: [-32105, 'The engine keeps no more for this token: {problem}', 'Delete adapters that are not needed, or raise the limit where the engine runs.'],
  transferBroken: [-32106, 'A file did not arrive whole: {problem}', 'It is sent again by itself; if this stays, look at the link.'],
  handshakeRepeated: [-32107, 'This link has said hello already', 'Open a new link.'],
  engineUnreachable: [-32108, 'No engine answers at {address}: {reason}', 'Check that `hindsight engine --listen` runs there and that this machine can reach it.'],
  badRequest: [-32070, '{problem}', '{remedy}'],
  unsupported: [-32071, '{what} is not supported: {problem}', '{remedy}'],
  journalNewer: [-32080, 'The journal {path} was written by a newer Hindsight (schema {theirs}, this one knows {ours})', 'Update Hindsight, or set HINDSIGHT_HOME to another folder.'],
  journalCorrupt: [-32081, 'The journal {path} cannot be opened: {problem}', 'Move it away, or restore a copy; a new one is made at the next start.'],
  repositoryUnusable: [-32090, '{path} cannot be replayed: {problem}', 'Give a git repository with at least two commits that add lines.'],
  recordingCorrupt: [-32092, 'The recording {path} cannot be read: {problem}', 'Give a folder of recorded sessions in the format workspaceRecording@1.0.'],
  streamCorrupt: [-32091, 'The stream {path} cannot be read: {problem}', 'Export it again with `hindsight replay REPO --export FILE`.'],
} as const satisfies Record<string, readonly [number, string, string]>;

export type ErrorName = keyof typeof CATALOGUE;
export type ErrorDetails = Record<string, string | number>;

/** An error of the catalogue. `message` is one sentence that ends with the remedy. */
export class HindsightError extends Error {
  readonly code: number;
  constructor(
    readonly errorName: ErrorName,
    readonly details: ErrorDetails = {},
  ) {
    super(sentence(errorName, details));
    this.name = 'HindsightError';
    this.code = CATALOGUE[errorName][0];
  }
}

function sentence(name: ErrorName, details: ErrorDetails): string {
  const [, what, remedy] = CATALOGUE[name];
  const fill = (text: string): string => text.replace(/\{(\w+)\}/g, (_, key: string) => String(details[key] ?? `(${key})`));
  return `${fill(what).replace(/\.+$/, '')}. ${fill(remedy)}`;
}

/** What travels in a JSON-RPC error's `data`, so that the other side rebuilds the same error. */
export const errorData = z.object({ name: z.string(), details: z.record(z.string(), z.union([z.string(), z.number()])) });

/** The catalogue error behind whatever was thrown, wherever it was thrown. */
export function toHindsightError(thrown: unknown): HindsightError {
  if (thrown instanceof HindsightError) return thrown;
  const data = errorData.safeParse(isObject(thrown) ? thrown['data'] : undefined);
  if (data.success && isErrorName(data.data.name)) return new HindsightError(data.data.name, data.data.details);
  return new HindsightError('internal', { message: thrown instanceof Error ? thrown.message : String(thrown) });
}

/** For the reference page and its tests. */
export function catalogue(): { name: ErrorName; code: number; what: string; remedy: string }[] {
  return Object.entries(CATALOGUE).map(([name, [code, what, remedy]]) => ({ name: name as ErrorName, code, what, remedy }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isErrorName(name: string): name is ErrorName {
  return Object.hasOwn(CATALOGUE, name);
}
