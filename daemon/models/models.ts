/** The models of this machine: the bundled seed, and what was imported into HINDSIGHT_HOME/models. */
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import { bundledModel } from './bundled.ts';
import { inspectModel } from './inspect.ts';
import type { ModelFacts } from './inspect.ts';

export const modelsPath = (home: string): string => path.join(home, 'models');

/** The folder of a model by its name or path; without one, the bundled seed.
 *  @throws modelMissing */
export function resolveModel(model: string | undefined, home: string): string {
  if (model === undefined) return bundledModel();
  const places = [...(/^[\w.-]+$/.test(model) ? [path.join(modelsPath(home), model)] : []), path.resolve(model)];
  const found = places.find((place) => existsSync(path.join(place, 'config.json')));
  if (found !== undefined) return found;
  if (model === path.basename(bundledModel())) return bundledModel();
  throw new HindsightError('modelMissing', { path: model, problem: 'it is neither the name of an imported model nor a folder with config.json' });
}

export interface ListedModel {
  name: string;
  dir: string;
  bundled: boolean;
  /** null where the folder cannot be used. */
  facts: ModelFacts | null;
  problem: string | null;
}

export async function listModels(home: string): Promise<ListedModel[]> {
  const root = modelsPath(home);
  const imported = existsSync(root) ? readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')) : [];
  const dirs = [bundledModel(), ...imported.map((entry) => path.join(root, entry.name)).sort()];
  return Promise.all(
    dirs.map(async (dir, index) => {
      const about = { name: path.basename(dir), dir, bundled: index === 0 };
      try {
        return { ...about, facts: await inspectModel(dir), problem: null };
      } catch (thrown) {
        return { ...about, facts: null, problem: thrown instanceof Error ? thrown.message : String(thrown) };
      }
    }),
  );
}

/** @returns the name, where a model may get it
 *  @throws badRequest */
export function freeName(name: string, home: string): string {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) throw new HindsightError('badRequest', { problem: `${name} is not a name for a model`, remedy: 'Use letters, digits, dots and dashes.' });
  if (existsSync(path.join(modelsPath(home), name))) throw new HindsightError('badRequest', { problem: `There is a model ${name} already`, remedy: 'Give another name with --name.' });
  return name;
}

/** Copies the files of a model into the home, under a temporary name until all are there.
 *  @param prepare called with the folder before it gets its name
 *  @throws badRequest where the name is taken, and what inspectModel throws */
export async function importModel(source: string, name: string, home: string, prepare: (folder: string) => Promise<void> = () => Promise.resolve()): Promise<ModelFacts> {
  const root = modelsPath(home);
  const target = path.join(root, freeName(name, home));
  const { files } = await inspectModel(source);
  await mkdir(root, { recursive: true });
  const temporary = await mkdtemp(path.join(root, '.import-'));
  try {
    for (const file of files) {
      await copyFile(path.join(source, file), path.join(temporary, file));
      const copy = await open(path.join(temporary, file), 'r+');
      await copy.sync().finally(() => copy.close());
    }
    await prepare(temporary);
    await rename(temporary, target);
  } catch (thrown) {
    await rm(temporary, { recursive: true, force: true });
    throw thrown;
  }
  return inspectModel(target);
}
