/** The native addon behind the catalogue of errors: what it throws, in the words of the product. */
import { loadNative } from '../../native/index.ts';
import type { Device, Dtype, Isa, NativeModel } from '../../native/index.ts';
import { HindsightError } from '../../protocol/errors.ts';
import type { ErrorName } from '../../protocol/errors.ts';

const ISAS: readonly Isa[] = ['reference', 'portable', 'avx2', 'avx512', 'avx512vnni', 'avx512bf16', 'avx512amx'];

export interface OpenOptions {
  dir: string;
  dtype?: Dtype | 'nf4';
  /** Default cpu. */
  device?: Device;
  threads?: number;
  isa?: string;
  /** What the process may have resident while it trains on the CPU. */
  memoryBytes?: number;
}

/** @throws badRequest, and the addon's own errors: see nativeError */
export async function openNative({ isa, ...options }: OpenOptions): Promise<NativeModel> {
  const known = ISAS.find((name) => name === isa);
  if (isa !== undefined && known === undefined) {
    throw new HindsightError('badRequest', { problem: `There are no kernels named ${isa}`, remedy: `Use one of ${ISAS.join(', ')}.` });
  }
  return loadNative().load({ ...options, ...(known && { isa: known }) });
}

/** What a request was about, for the error's sentence. */
export interface Subject {
  /** Folder that was read. */
  dir?: string;
  /** Adapter by its name. */
  adapter?: string;
}

const CODES: Record<string, ErrorName> = {
  MODEL_MISSING: 'modelMissing', CONFIG_MISSING: 'modelMissing', WEIGHTS_MISSING: 'modelMissing',
  CONFIG_INVALID: 'modelCorrupt', INDEX_INVALID: 'modelCorrupt', TENSOR_MISSING: 'modelCorrupt', SHAPE_MISMATCH: 'modelCorrupt',
  CONFIG_UNSUPPORTED: 'modelUnsupported', ARCHITECTURE_UNSUPPORTED: 'modelUnsupported', DTYPE_UNSUPPORTED: 'modelUnsupported',
  ADAPTER_MISSING: 'adapterMissing', ADAPTER_UNKNOWN: 'adapterMissing', ADAPTER_OTHER_BASE: 'adapterUnfit',
  ADAPTER_INVALID: 'adapterCorrupt', OPTIMIZER_INVALID: 'adapterCorrupt',
  ENGINE_NOT_BUILT: 'nativeMissing', ENGINE_UNLOADABLE: 'nativeMissing', CANCELLED: 'cancelled',
};
/** Files of a model and of an adapter are read by the same code. */
const FILE_CODES = ['SAFETENSORS_CORRUPT', 'FILE_TRUNCATED', 'FILE_MISSING', 'FILE_TOO_LARGE'];

/** The catalogue error for what a handler threw: the addon's codes are its own. */
export function nativeError(thrown: unknown, subject: Subject): HindsightError {
  if (thrown instanceof HindsightError) return thrown;
  const code = typeof thrown === 'object' && thrown !== null ? (thrown as { code?: unknown }).code : undefined;
  const message = sentence(thrown);
  if (typeof code !== 'string' || !/^[A-Z_]+$/.test(code) || code === 'INTERNAL') return new HindsightError('internal', { message });
  const { problem, remedy } = parts(message);
  const name = CODES[code] ?? (FILE_CODES.includes(code) ? (subject.adapter === undefined ? 'modelCorrupt' : 'adapterCorrupt') : 'badRequest');
  return new HindsightError(name, { problem, remedy, reason: problem, path: subject.dir ?? 'the model', adapter: subject.adapter ?? subject.dir ?? '(unnamed)' });
}

/** The addon writes "what is wrong: what to do." */
function parts(message: string): { problem: string; remedy: string } {
  const found = /^(.+)(?:: |, so )([a-z][^:]*)$/s.exec(message);
  const remedy = found?.[2] ?? 'correct the request.';
  return { problem: found?.[1] ?? message, remedy: remedy.charAt(0).toUpperCase() + remedy.slice(1) };
}

function sentence(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
