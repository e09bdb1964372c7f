/**
 * The EMA teacher's weights: θ_T ← (1 - rate) θ_T + rate θ, once per promoted version, in the space of
 * A and B (SDFT, arXiv 2601.19897; SDPO, 2601.20802). It lies in its version's folder, so a rollback has
 * the teacher of its time.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';
import { CONFIG, WEIGHTS, writeFolder } from './files.ts';

export const TEACHER = 'teacher';
const HEADER_BYTES = 8;

const header = z.object({ __metadata__: z.record(z.string(), z.string()).optional() }).catchall(z.object({ dtype: z.string(), shape: z.array(z.int().nonnegative()), data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]) }));

interface Weights {
  /** The file's bytes; tensors are views into them. */
  bytes: Buffer;
  tensors: Map<string, Float32Array>;
}

/** Writes `dir`/teacher unless it is there. @param dir  of a version. @param parent  of the one it was
 *  trained from; null = the base, whose B is zero. @returns the teacher's folder
 *  @throws adapterCorrupt where the files have not the same fp32 tensors */
export async function averageTeacher(dir: string, parent: string | null, rate: number): Promise<string> {
  const teacher = join(dir, TEACHER);
  if (existsSync(join(teacher, WEIGHTS))) return teacher;
  const own = readWeights(join(dir, WEIGHTS));
  const before = parent === null ? null : readWeights([join(parent, TEACHER, WEIGHTS), join(parent, WEIGHTS)].find((path) => existsSync(path)) ?? join(parent, WEIGHTS));
  for (const [name, values] of own.tensors) {
    const old = before?.tensors.get(name);
    if (before !== null && old?.length !== values.length) throw new HindsightError('adapterCorrupt', { adapter: dir, problem: `its ${name} does not fit the version before` });
    // Without a version before, A is this one's: only the product counts, and the base's is zero.
    if (before === null && name.includes('lora_A')) continue;
    for (let index = 0; index < values.length; index++) values[index] = (1 - rate) * (old?.[index] ?? 0) + rate * (values[index] ?? 0);
  }
  await writeFolder(teacher, async (temporary) => {
    writeFileSync(join(temporary, WEIGHTS), own.bytes);
    await copyFile(join(dir, CONFIG), join(temporary, CONFIG));
  });
  return teacher;
}

/** A safetensors file of fp32 tensors, as the engine writes adapters. @throws adapterMissing, adapterCorrupt */
function readWeights(path: string): Weights {
  if (!existsSync(path)) throw new HindsightError('adapterMissing', { adapter: path });
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const parsed = header.safeParse(JSON.parse(file.toString('utf8', HEADER_BYTES, HEADER_BYTES + length)));
  if (!parsed.success) throw new HindsightError('adapterCorrupt', { adapter: path, problem: 'its header is not that of safetensors' });
  // A copy whose data begin at a multiple of four bytes, wherever the header ends.
  const padding = (4 - ((HEADER_BYTES + length) % 4)) % 4;
  const room = new ArrayBuffer(file.length + padding);
  const bytes = Buffer.from(room, padding);
  file.copy(bytes);
  const { __metadata__: _, ...entries } = parsed.data;
  const tensors = new Map<string, Float32Array>();
  for (const [name, { dtype, data_offsets: [from, to] }] of Object.entries(entries)) {
    if (dtype !== 'F32') throw new HindsightError('adapterCorrupt', { adapter: path, problem: `its ${name} is ${dtype}, and an average needs F32` });
    tensors.set(name, new Float32Array(room, padding + HEADER_BYTES + length + from, (to - from) / 4));
  }
  return { bytes, tensors };
}
