/** `hindsight model`: which models there are, and taking one in. */
import { Option } from 'commander';
import type { Command } from 'commander';
import path from 'node:path';
import { loadNative } from '../../native/index.ts';
import { startEngine } from '../engine/client.ts';
import { nativeError } from '../engine/native.ts';
import { inspectModel } from '../models/inspect.ts';
import type { ModelFacts } from '../models/inspect.ts';
import { importModel, listModels, resolveModel } from '../models/models.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { getModel } from '../models/get.ts';
import { makeHome } from '../server/home.ts';
import { progress } from './progress.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

export function registerModel(program: Command): void {
  const model = program.command('model').description('models on this machine');
  withJson(model.command('list').description('the bundled model and the imported ones')).action(async (flags: JsonOption) => {
    const models = await listModels(hindsightHome());
    const rows = models.map(({ name, dir, facts, problem }) => (facts ? [name, ...columns(facts), dir] : [name, '-', '-', '-', problem ?? '']));
    print({ models }, table([['name', 'architecture', 'parameters', 'stored as', 'folder'], ...rows]), flags);
  });
  withJson(model.command('info').argument('[model]', 'name or folder; default: the bundled model').description('loads a model and says what it is')).action(
    async (name: string | undefined, flags: JsonOption) => {
      const dir = resolveModel(name, hindsightHome());
      const facts = await inspectModel(dir);
      const engine = await startEngine({ modelDir: dir });
      const { model: loaded } = engine;
      await engine.close();
      const { fim, chat, fingerprint, eos, bos } = loaded;
      const lines = table([
        ['name', facts.name], ['folder', facts.dir], ['architecture', facts.architecture], ['parameters', millions(facts.parameters)], ['stored as', facts.dtype],
        ['vocabulary', String(facts.vocabSize)], ['layers', String(facts.layers)], ['longest text', `${facts.maxPositions} tokens`],
        ['fill-in-the-middle tokens', fim ? 'yes' : 'no'], ['chat template', chat ? 'yes' : 'no'], ['fingerprint', fingerprint],
      ]);
      print({ ...facts, fingerprint, fim, chat, eos, bos }, lines, flags);
    },
  );
  withJson(
    model
      .command('import')
      .argument('<folder>', 'model in Hugging Face layout')
      .option('--name <name>', 'name to give it; default: the folder’s')
      .addOption(new Option('--quantize <type>', 'also stores the weights in this type, for a faster start of `serve --dtype int8`').choices(['int8']))
      .description('copies a model into HINDSIGHT_HOME/models'),
  ).action(async (folder: string, flags: JsonOption & { name?: string; quantize?: 'int8' }) => {
    const home = hindsightHome();
    makeHome(home);
    const facts = await importModel(folder, flags.name ?? path.basename(path.resolve(folder)), home, flags.quantize && quantize);
    print(facts, `${facts.name} is in ${facts.dir}. Use it with \`hindsight serve --model ${facts.name}\`.`, flags);
  });
  withJson(
    model
      .command('get')
      .argument('<repository>', 'OWNER/NAME on the hub')
      .option('--name <name>', 'name to give it; default: the repository’s')
      .option('--revision <revision>', 'branch, tag or commit', 'main')
      .option('--endpoint <url>', 'address of a mirror; default: HF_ENDPOINT, or the Hugging Face hub')
      .description('downloads a model into HINDSIGHT_HOME/models; goes on where it stopped (HF_TOKEN opens private and gated ones)'),
  ).action(async (repository: string, flags: JsonOption & { name?: string; revision: string; endpoint?: string }) => {
    const home = hindsightHome();
    makeHome(home);
    const shown = progress(repository);
    const facts = await getModel(repository, home, {
      name: flags.name, revision: flags.revision, endpoint: flags.endpoint ?? fromEnvironment('HF_ENDPOINT'), token: fromEnvironment('HF_TOKEN'),
      onProgress: (done, of, file) => shown.at(done, of, file),
    }).finally(() => shown.end());
    print(facts, `${facts.name} is in ${facts.dir}. Use it with \`hindsight serve --model ${facts.name}\`.`, flags);
  });
}

async function quantize(dir: string): Promise<void> {
  await loadNative().quantize(dir).catch((thrown: unknown) => Promise.reject(nativeError(thrown, { dir })));
}

/** An empty variable is none. */
const fromEnvironment = (name: string): string | undefined => process.env[name] || undefined;

function columns({ architecture, parameters, dtype }: ModelFacts): string[] {
  return [architecture, millions(parameters), dtype];
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(1)} M`;
}
