import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCorpus } from '../corpus/file.ts';
import { writeMessages } from '../corpus/messages/messages.ts';
import { POLARITIES } from '../corpus/record.ts';
import { DEFAULT_TRAINING, logitsOf, train } from './regression.ts';
import { buildModel } from './build.ts';
import { examplesOf, FeatureCache, inputOf } from './examples.ts';
import { PolarityClassifier } from '../polarity.ts';
import { assignFolds, crossValidate, FOLDS, ofKind, summarize } from './validate.ts';

const FOLDER = join('testdata', 'classifier');
const CORPUS = join(FOLDER, 'corpus.jsonl.gz');
const corpus = readCorpus(CORPUS);
const model = readFileSync(join(FOLDER, 'polarity.onnx'));

describe('the corpus', () => {
  it('is small, has every class of both kinds, and names no machine', () => {
    expect(statSync(CORPUS).size).toBeLessThanOrEqual(2 * 1024 * 1024);
    for (const kind of ['terminal', 'message'] as const) {
      for (const label of POLARITIES) expect(corpus.filter((record) => record.kind === kind && record.label === label).length).toBeGreaterThan(200);
    }
    for (const { text } of corpus) expect(text).not.toMatch(/\/root\/|\/tmp\/hs-/);
  });

  it('has the messages that its grammars and lists give', () => {
    expect(corpus.filter(({ kind }) => kind === 'message')).toEqual(writeMessages(1, 90));
  });

  it('says of an empty output with exit code 0 that it says nothing', () => {
    for (const record of corpus) if (record.text.trim() === '' && record.exitCode === 0) expect(record.label).toBe('neutral');
  });
});

describe('the model file', () => {
  it('is what the training script makes of the corpus, weight for weight', async () => {
    const trained = train(examplesOf(corpus, new FeatureCache()), DEFAULT_TRAINING);
    expect(model.includes(Buffer.from(trained.table.buffer))).toBe(true);
    const classifier = new PolarityClassifier();
    const cache = new FeatureCache();
    for (const kind of ['terminal', 'message'] as const) {
      const temperatures: number[] = [];
      for (const record of corpus.filter((each, i) => each.kind === kind && i % 40 === 0)) {
        const { probabilities } = await classifier.read(inputOf(record, 'whole'));
        const [worked = NaN, failed = NaN] = logitsOf(trained, cache.get(record, 'whole'));
        if (Math.abs(worked - failed) > 0.5) temperatures.push((worked - failed) / Math.log(probabilities.worked / probabilities.failed));
      }
      expect(temperatures.length).toBeGreaterThan(20);
      expect(Math.max(...temperatures) - Math.min(...temperatures)).toBeLessThan(0.01);
    }
    await classifier.close();
  });

  it('is the same to the byte, temperatures included', { timeout: 180_000 }, () => {
    expect(Buffer.from(buildModel(corpus).onnx).equals(model)).toBe(true);
  });
});

describe('held-out validation', () => {
  it('never has a family on both sides, and every class in every fold', () => {
    const folds = assignFolds(corpus, FOLDS);
    for (let fold = 0; fold < FOLDS; fold++) {
      const held = corpus.filter((record) => folds.get(`${record.kind} ${record.family}`) === fold);
      for (const kind of ['terminal', 'message']) expect(new Set(held.filter((record) => record.kind === kind).map(({ label }) => label)).size).toBe(3);
    }
    expect(new Set(corpus.map((record) => `${record.kind} ${record.family}`)).size).toBe(folds.size);
  });

  it('ranks the polarity of unseen tools and phrasings as its card says', () => {
    const judged = crossValidate(corpus, { ...DEFAULT_TRAINING, epochs: 4 }, FOLDS);
    const floors = { terminal: { worked: 0.95, failed: 0.95, neutral: 0.9 }, message: { worked: 0.91, failed: 0.88, neutral: 0.88 } };
    for (const kind of ['terminal', 'message'] as const) {
      const { auc, ece } = summarize(ofKind(judged, kind, 'whole'));
      for (const label of POLARITIES) expect(auc[label]).toBeGreaterThanOrEqual(floors[kind][label]);
      expect(ece).toBeLessThanOrEqual(0.05);
    }
  });
});
