/**
 * Finished runs of a replay on disk, so that a replay which was killed goes on with what is missing.
 * A run is kept under the hash of everything its figures depend on: the stream, the model's files,
 * the settings, what is measured, and the program itself. Runs do not depend on the machine's speed
 * or on the number of threads (run.test.ts), so these are not part of it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { engineEntry } from '../engine/entry.ts';
import type { RunRecord } from './result.ts';

/** What a run measured; how it is called is the caller's. */
export type KeptRun = Omit<RunRecord, 'method'>;

/** Raised when the shape of `KeptRun` changes. */
const FORMAT = 3;

export class RunStore {
  /** @param use  `write`: what is there is not looked at, but made anew and written over */
  constructor(readonly dir: string, private readonly use: 'read and write' | 'write' = 'read and write') {}

  /** @returns null where there is none, or none that can be read */
  get(key: string): KeptRun | null {
    const path = this.#path(key);
    if (this.use === 'write' || !existsSync(path)) return null;
    try {
      const { format, run } = JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as { format: number; run: KeptRun };
      return format === FORMAT ? run : null;
    } catch {
      // Cut off or damaged: the run is made again.
      return null;
    }
  }

  /** Written under another name and renamed: a reader finds all of it or nothing. */
  put(key: string, run: KeptRun): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const path = this.#path(key);
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, gzipSync(JSON.stringify({ format: FORMAT, run })), { mode: 0o600 });
    renameSync(temporary, path);
  }

  #path(key: string): string {
    return join(this.dir, `${key}.json.gz`);
  }
}

/** Name of a run by what it depends on; `facts` may hold anything that JSON holds, in any order of keys. */
export function runKey(facts: Record<string, unknown>): string {
  return createHash('sha256').update(JSON.stringify(facts, sorted)).digest('hex').slice(0, 32);
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Hash of the programs and models that make a run: the daemon's bundle, the engine's, the native addons, the classifier. */
export function codeVersion(): string {
  const dist = dirname(engineEntry());
  const classifier = resolve(dist, '..', 'testdata', 'classifier');
  const of = (dir: string, names: RegExp): string[] => (existsSync(dir) ? readdirSync(dir).filter((name) => names.test(name)).sort().map((name) => join(dir, name)) : []);
  return hashOf([...of(dist, /^(hindsight|engine)\.js$|\.node$/), ...of(classifier, /\.onnx$/)]);
}

/** Hash of a model folder's files. */
export function modelVersion(dir: string): string {
  return hashOf(readdirSync(dir).filter((name) => /\.(json|safetensors|jinja|model)$/.test(name)).sort().map((name) => join(dir, name)));
}

function hashOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(createHash('sha256').update(readFileSync(path)).digest());
  return hash.digest('hex').slice(0, 32);
}
