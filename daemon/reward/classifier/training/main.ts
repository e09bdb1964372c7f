/**
 * Makes the classifier. One command (docs/classifier.md):
 *   npx esbuild daemon/reward/classifier/training/main.ts --bundle --platform=node --external:onnxruntime-node --outfile=dist/classifier.cjs && node dist/classifier.cjs train
 * `collect` runs the tools again and writes the corpus, `train` writes the model, `evaluate` prints
 * the card's table, `outside DIR` reads people's sessions in DIR that nothing was trained on.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeMessages } from '../corpus/messages/messages.ts';
import { readCorpus, writeCorpus } from '../corpus/file.ts';
import { collectTerminal } from '../corpus/terminal/collect.ts';
import { buildModel } from './build.ts';
import { readOutside } from './outside.ts';
import { crossValidate, FOLDS, ofKind, summarize, type Judged } from './validate.ts';
import { DEFAULT_TRAINING } from './regression.ts';
import { measureLatency } from './latency.ts';

const DIR = join('testdata', 'classifier');
const CORPUS = join(DIR, 'corpus.jsonl.gz');
const MODEL = join(DIR, 'polarity.onnx');
const SEED = 1;
const PER_FAMILY = 90;

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, null, 1)}\n`);

async function main([command, argument]: string[]): Promise<void> {
  switch (command) {
    case 'collect': {
      const terminal = collectTerminal(SEED, resolve('node_modules'), Number(argument ?? 1), (text) => process.stderr.write(`${text}\n`));
      return writeCorpus(CORPUS, [...terminal, ...writeMessages(SEED, PER_FAMILY)]);
    }
    case 'train': {
      const { onnx, temperatures } = buildModel(readCorpus(CORPUS));
      writeFileSync(MODEL, onnx);
      return say({ temperatures, bytes: onnx.length, sha256: createHash('sha256').update(onnx).digest('hex') });
    }
    case 'evaluate': {
      const judged = crossValidate(readCorpus(CORPUS), DEFAULT_TRAINING, FOLDS);
      return say({ corpus: statSync(CORPUS).size, sets: table(judged), latency: await measureLatency(MODEL, judged.map(({ record }) => record)) });
    }
    case 'outside':
      return say(await readOutside(MODEL, argument ?? '.', (path) => readFileSync(path)));
    default:
      throw new Error('say one of: collect, train, evaluate, outside DIR');
  }
}

function table(judged: readonly Judged[]): Record<string, ReturnType<typeof summarize>> {
  const messages = ofKind(judged, 'message', 'whole');
  const sets: Record<string, Judged[]> = {
    'terminal, with command and exit code': ofKind(judged, 'terminal', 'whole'),
    'terminal, output alone': ofKind(judged, 'terminal', 'output'),
    messages,
    'messages of families': messages.filter(({ record }) => !/^(written|language)-/.test(record.family)),
    'messages written one by one': messages.filter(({ record }) => record.family.startsWith('written-')),
    'messages in other languages': messages.filter(({ record }) => record.family.startsWith('language-')),
  };
  return Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, summarize(set)]));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
