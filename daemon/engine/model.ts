/** A model folder as an engine has it: the frozen weights in the addon, and the tokenizer. */
import path from 'node:path';
import type { NativeModel } from '../../native/index.ts';
import type { ModelInfo } from '../../protocol/engine.ts';
import { openNative } from './native.ts';
import type { OpenOptions } from './native.ts';
import { ModelTokenizer } from './tokenizer.ts';

export interface OpenModel {
  info: ModelInfo;
  native: NativeModel;
  tokenizer: ModelTokenizer;
}

type Undefinable<T> = { [K in keyof T]: T[K] | undefined };

/** @throws modelMissing, modelCorrupt, modelUnsupported, tokenizerMissing */
export async function openModel({ dir, dtype, device, threads, isa, memoryBytes }: Pick<OpenOptions, 'dir'> & Undefinable<Omit<OpenOptions, 'dir'>>): Promise<OpenModel> {
  const native = await openNative({ dir, ...(dtype && { dtype }), ...(device && { device }), ...(threads && { threads }), ...(isa && { isa }), ...(memoryBytes && { memoryBytes }) });
  const tokenizer = await ModelTokenizer.open(dir).catch((thrown: unknown) => {
    native.close();
    throw thrown;
  });
  native.setVocabulary(tokenizer.vocabulary(native.info.vocabSize), tokenizer.addedIds);
  const { architecture, fingerprint, vocabSize, maxPositions, parameters, eosIds } = native.info;
  const info: ModelInfo = {
    name: path.basename(path.resolve(dir)), fingerprint, architecture, vocabSize, maxPositions, parameters,
    dtype: native.info.dtype, device: native.info.device,
    eos: [...new Set([...eosIds, ...tokenizer.eos])].filter((id) => id < vocabSize),
    bos: tokenizer.bos, fim: tokenizer.fim, chat: tokenizer.chat,
  };
  return { info, native, tokenizer };
}
