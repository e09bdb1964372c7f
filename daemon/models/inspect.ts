/** What a model folder holds, read from its headers alone: whether it can be loaded is known, and
 *  said in a sentence, before an engine spends seconds and memory on it. */
import { existsSync, statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';

export const ARCHITECTURES = ['llama', 'qwen2', 'qwen3'] as const;
const DTYPES = ['F32', 'F16', 'BF16'];
/** A safetensors header larger than this is none. */
const MAX_HEADER_BYTES = 100 * 1024 * 1024;

export interface ModelFacts {
  name: string;
  dir: string;
  architecture: string;
  parameters: number;
  /** As stored. */
  dtype: string;
  bytes: number;
  vocabSize: number;
  layers: number;
  maxPositions: number;
  /** Files that make up the model, relative to its folder. */
  files: string[];
}

const configJson = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  max_position_embeddings: z.int().positive(),
});
const indexJson = z.object({ weight_map: z.record(z.string(), z.string()) });
const header = z.record(z.string(), z.object({ dtype: z.string(), shape: z.array(z.int().nonnegative()), data_offsets: z.tuple([z.int(), z.int()]) }));

/** @throws modelMissing, modelCorrupt, modelUnsupported, tokenizerMissing */
export async function inspectModel(dir: string): Promise<ModelFacts> {
  const missing = (problem: string): HindsightError => new HindsightError('modelMissing', { path: dir, problem });
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) throw missing('the folder does not exist');
  const config = await checkConfig(dir);
  const weights = await weightFiles(dir);
  let parameters = 0;
  let bytes = 0;
  const dtypes = new Set<string>();
  for (const file of weights) {
    const tensors = Object.values(await readHeader(path.join(dir, file)));
    for (const { dtype, shape } of tensors) {
      parameters += shape.reduce((product, size) => product * size, 1);
      dtypes.add(dtype);
    }
    bytes += statSync(path.join(dir, file)).size;
  }
  const wrong = [...dtypes].find((dtype) => !DTYPES.includes(dtype));
  if (wrong !== undefined) throw new HindsightError('modelUnsupported', { path: dir, problem: `its weights are stored as ${wrong}` });
  if (!existsSync(path.join(dir, 'tokenizer.json'))) throw new HindsightError('tokenizerMissing', { path: dir, problem: 'tokenizer.json is not there' });
  return {
    name: path.basename(path.resolve(dir)), dir: path.resolve(dir), architecture: config.model_type, parameters,
    dtype: [...dtypes].join('+'), bytes, vocabSize: config.vocab_size, layers: config.num_hidden_layers, maxPositions: config.max_position_embeddings,
    files: [...weights, ...OTHER_FILES.filter((file) => existsSync(path.join(dir, file)))],
  };
}

/** config.json of a folder, of an architecture that the engine has.
 *  @throws modelMissing, modelCorrupt, modelUnsupported */
export async function checkConfig(dir: string): Promise<z.output<typeof configJson>> {
  const file = path.join(dir, 'config.json');
  if (!existsSync(file)) throw new HindsightError('modelMissing', { path: dir, problem: 'config.json is not there' });
  const config = await readJson(file, configJson);
  if (ARCHITECTURES.some((known) => known === config.model_type)) return config;
  throw new HindsightError('modelUnsupported', { path: dir, problem: `its architecture is ${config.model_type}` });
}

/** What belongs to a model beside its weights. */
export const OTHER_FILES = ['config.json', 'generation_config.json', 'model.safetensors.index.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja', 'README.md', 'LICENSE'];

async function weightFiles(dir: string): Promise<string[]> {
  if (existsSync(path.join(dir, 'model.safetensors'))) return ['model.safetensors'];
  const index = path.join(dir, 'model.safetensors.index.json');
  if (!existsSync(index)) throw new HindsightError('modelMissing', { path: dir, problem: 'neither model.safetensors nor model.safetensors.index.json is there' });
  const files = shardsOf(index, await readFile(index, 'utf8'));
  for (const file of files) {
    if (!existsSync(path.join(dir, file))) throw new HindsightError('modelMissing', { path: dir, problem: `${file} is not there` });
  }
  return files;
}

/** Names, shapes and places of a file's tensors; the places are checked against the file's size. */
async function readHeader(file: string): Promise<z.output<typeof header>> {
  const corrupt = (problem: string): HindsightError => new HindsightError('modelCorrupt', { path: file, problem });
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const length = Buffer.alloc(8);
    if ((await handle.read(length, 0, 8, 0)).bytesRead < 8) throw corrupt('it ends within its first 8 bytes');
    const headerBytes = Number(length.readBigUInt64LE());
    if (headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > size) throw corrupt('its header is longer than the file');
    const text = Buffer.alloc(headerBytes);
    await handle.read(text, 0, headerBytes, 8);
    const parsed = parse(text.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null) delete (parsed as Record<string, unknown>)['__metadata__'];
    const tensors = header.safeParse(parsed);
    if (!tensors.success) throw corrupt('its header is not that of a safetensors file');
    const end = Object.values(tensors.data).reduce((most, tensor) => Math.max(most, tensor.data_offsets[1]), 0);
    if (8 + headerBytes + end > size) throw corrupt(`it is ${8 + headerBytes + end - size} bytes too short`);
    return tensors.data;
  } finally {
    await handle.close();
  }
}

/** The weight files that model.safetensors.index.json names, each in the index's own folder.
 *  @throws modelCorrupt */
export function shardsOf(index: string, text: string): string[] {
  const files = [...new Set(Object.values(checked(index, text, indexJson).weight_map))].sort();
  const outside = files.find((file) => path.basename(file) !== file);
  if (outside !== undefined) throw new HindsightError('modelCorrupt', { path: index, problem: `it names ${outside}, outside its folder` });
  return files;
}

async function readJson<S extends z.ZodType>(file: string, schema: S): Promise<z.output<S>> {
  return checked(file, await readFile(file, 'utf8'), schema);
}

function checked<S extends z.ZodType>(file: string, text: string, schema: S): z.output<S> {
  const parsed = schema.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new HindsightError('modelCorrupt', { path: file, problem: issue && issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : 'it is not valid JSON' });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
