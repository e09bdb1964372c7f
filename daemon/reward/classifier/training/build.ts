/** From the corpus to the model file: train on everything, calibrate on what each fold left out. */
import type { CorpusRecord, Kind } from '../corpus/record.ts';
import { examplesOf, FeatureCache } from './examples.ts';
import { exportModel } from './export.ts';
import { DEFAULT_TRAINING, train } from './regression.ts';
import { crossValidate, FOLDS, fitTemperature } from './validate.ts';

/** The same corpus gives the same bytes. */
export function buildModel(records: readonly CorpusRecord[]): { onnx: Uint8Array; temperatures: Record<Kind, number> } {
  const judged = crossValidate(records, DEFAULT_TRAINING, FOLDS);
  const temperature = (kind: Kind): number => fitTemperature(judged.filter(({ record }) => record.kind === kind));
  const temperatures = { terminal: temperature('terminal'), message: temperature('message') };
  const model = train(examplesOf(records, new FeatureCache()), DEFAULT_TRAINING);
  return { onnx: exportModel(model, temperatures), temperatures };
}
