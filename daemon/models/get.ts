/** A model from a hub into HINDSIGHT_HOME/models: the files that are loaded and no other, each checked
 *  against its published hash, under a hidden name until all are there. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import { download, Final } from './download.ts';
import type { RemoteFile } from './download.ts';
import { checkConfig, inspectModel, OTHER_FILES, shardsOf } from './inspect.ts';
import type { ModelFacts } from './inspect.ts';
import { freeName, modelsPath } from './models.ts';

export interface GetOptions {
  /** Default: the last part of the repository's name. */
  name?: string | undefined;
  /** Branch, tag or commit; default main. */
  revision?: string | undefined;
  /** Address of a mirror that speaks as the hub does. */
  endpoint?: string | undefined;
  /** For private and gated models. */
  token?: string | undefined;
  onProgress?: (done: number, of: number, file: string) => void;
}

const API_MS = 60_000;
const INDEX = 'model.safetensors.index.json';

/** @param repository `owner/name`
 *  @throws badRequest, downloadFailed, downloadCorrupt, modelUnsupported */
export async function getModel(repository: string, home: string, options: GetOptions = {}): Promise<ModelFacts> {
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) throw new HindsightError('badRequest', { problem: `${repository} is not the name of a repository`, remedy: 'Give OWNER/NAME, such as Qwen/Qwen2.5-Coder-0.5B.' });
  const target = path.join(modelsPath(home), freeName(options.name ?? path.basename(repository), home));
  const hub = await openHub(repository, options);
  const folder = path.join(modelsPath(home), `.get-${repository.replace('/', '--')}`);
  await mkdir(folder, { recursive: true });

  const small = hub.files.filter((file) => OTHER_FILES.includes(file.path));
  let done = 0;
  const total = { bytes: 0 };
  const fetchAll = async (files: readonly RemoteFile[]): Promise<void> => {
    total.bytes += files.reduce((sum, file) => sum + file.size, 0);
    for (const file of files) {
      await download(repository, file, folder, () => hub.open(file.path), (bytes) => {
        done += bytes;
        options.onProgress?.(done, total.bytes, file.path);
      });
    }
  };
  await fetchAll(small);
  // Said before gigabytes are fetched for nothing.
  await checkConfig(folder);
  const weights = await weightsOf(repository, hub.files, folder);
  await checkSpace(folder, weights);
  await fetchAll(weights);
  const wanted = [...small, ...weights].map((file) => file.path);
  for (const name of readdirSync(folder)) if (!wanted.includes(name)) await rm(path.join(folder, name), { recursive: true });
  await inspectModel(folder);
  await rename(folder, target);
  return inspectModel(target);
}

interface Hub {
  readonly files: readonly RemoteFile[];
  open(file: string): Promise<Blob>;
}

/** The repository at one commit, whatever its branch does meanwhile. */
async function openHub(repository: string, { revision = 'main', endpoint, token }: GetOptions): Promise<Hub> {
  const { downloadFile, HubApiError, listFiles, modelInfo } = await import('@huggingface/hub');
  const access = { ...(endpoint === undefined ? {} : { hubUrl: address(endpoint) }), ...(token === undefined ? {} : { accessToken: token }) };
  const explain = (thrown: unknown): Error => {
    if (!(thrown instanceof HubApiError)) return thrown instanceof Error ? thrown : new Error(String(thrown));
    if (thrown.statusCode === 401 || thrown.statusCode === 403) return new Final(`the hub refuses it (${thrown.statusCode}); it is private, gated or not there, and HF_TOKEN ${token === undefined ? 'is not set' : 'does not open it'}`);
    if (thrown.statusCode === 404) return new Final(`the hub has no ${revision} of it`);
    return new Error(`the hub answers ${thrown.statusCode}`);
  };
  try {
    const ask: typeof fetch = (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(API_MS) });
    const { sha } = await modelInfo({ name: repository, revision, additionalFields: ['sha'], fetch: ask, ...access });
    const files: RemoteFile[] = [];
    for await (const { type, path: name, size, oid, lfs } of listFiles({ repo: repository, revision: sha, fetch: ask, ...access })) {
      if (type === 'file' && oid !== undefined) files.push({ path: name, size: lfs?.size ?? size, sha256: lfs?.oid ?? null, gitOid: oid });
    }
    return {
      files,
      async open(file) {
        const blob = await downloadFile({ repo: repository, path: file, revision: sha, xet: false, ...access }).catch((thrown: unknown) => Promise.reject(explain(thrown)));
        if (blob === null) throw new Final('the hub lists it and does not have it');
        return blob;
      },
    };
  } catch (thrown) {
    const problem = explain(thrown);
    throw new HindsightError('downloadFailed', { file: 'The list of files', repository, problem: causeOf(problem) });
  }
}

/** `fetch failed` says nothing; what it wraps does. */
function causeOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

function address(endpoint: string): string {
  if (!/^https?:\/\/./.test(endpoint) || !URL.canParse(endpoint)) throw new HindsightError('badRequest', { problem: `${endpoint} is not the address of a hub`, remedy: 'Give one such as https://hub.example.org with --endpoint or HF_ENDPOINT.' });
  return endpoint.replace(/\/+$/, '');
}

async function weightsOf(repository: string, files: readonly RemoteFile[], folder: string): Promise<RemoteFile[]> {
  const names = existsSync(path.join(folder, INDEX)) && !files.some((file) => file.path === 'model.safetensors') ? shardsOf(path.join(folder, INDEX), await readFile(path.join(folder, INDEX), 'utf8')) : ['model.safetensors'];
  return names.map((name) => {
    const file = files.find((each) => each.path === name);
    if (file === undefined) throw new HindsightError('modelUnsupported', { path: repository, problem: `it has no ${name}` });
    return file;
  });
}

async function checkSpace(folder: string, weights: readonly RemoteFile[]): Promise<void> {
  const needed = weights.reduce((sum, file) => sum + file.size, 0);
  const { bavail, bsize } = await statfs(folder);
  if (needed > bavail * bsize) throw new HindsightError('badRequest', { problem: `The model has ${gigabytes(needed)} GB and ${gigabytes(bavail * bsize)} GB are free in ${path.dirname(folder)}`, remedy: 'Free some space, or set HINDSIGHT_HOME to another disk.' });
}

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);
