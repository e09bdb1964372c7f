/**
 * llama.cpp as a peer, through node-llama-cpp. It is no dependency: the first bench that asks for it installs it, with
 * npm, into a folder outside of the project's own packages.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { performance } from 'node:perf_hooks';
import type { ModelInfo } from '../index.ts';
import { writeGguf } from './gguf.ts';
import type { GgufType } from './gguf.ts';

const VERSION = '3.22.1';

export interface Peer {
  name: string;
  /** Seconds from a cold prompt to its last position. */
  prefill(prompt: readonly number[]): Promise<number>;
  /** Seconds of `count` tokens after the first one. */
  decode(prompt: readonly number[], count: number): Promise<number>;
  close(): Promise<void>;
}

/** The part of node-llama-cpp that is used. */
interface Llama {
  loadModel(options: { modelPath: string }): Promise<{ createContext(options: { contextSize: number; batchSize: number; threads: number }): Promise<LlamaContext>; dispose(): Promise<void> }>;
  dispose(): Promise<void>;
}
interface LlamaContext {
  getSequence(): LlamaSequence;
}
interface LlamaSequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncIterable<number>;
}

/** @param cache folder for the package and for the weights, which are removed again
 *  @throws where npm cannot install it */
export async function openLlama(info: ModelInfo, type: GgufType, threads: number, cache: string): Promise<Peer> {
  const home = join(cache, 'peers');
  const entry = join(home, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  mkdirSync(home, { recursive: true });
  if (!existsSync(entry)) execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-save', '--prefix', home, `node-llama-cpp@${VERSION}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  const { getLlama } = (await import(pathToFileURL(entry).href)) as { getLlama(options: object): Promise<Llama> };
  const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' });
  const file = join(home, `random-${type}-${process.pid}.gguf`);
  writeGguf(file, info, type);
  try {
    const model = await llama.loadModel({ modelPath: file });
    const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads });
    const sequence = context.getSequence();
    return {
      name: `llama.cpp ${type} (node-llama-cpp ${VERSION})`,
      prefill: async (prompt) => {
        await sequence.clearHistory();
        const start = performance.now();
        await sequence.evaluateWithoutGeneratingNewTokens(prompt);
        return (performance.now() - start) / 1000;
      },
      decode: async (prompt, count) => {
        await sequence.clearHistory();
        let made = -1;
        let start = 0;
        for await (const _ of sequence.evaluate(prompt, { temperature: 0 })) {
          if (++made === 0) start = performance.now();
          if (made === count) break;
        }
        return (performance.now() - start) / 1000;
      },
      close: async () => {
        await model.dispose();
        await llama.dispose();
      },
    };
  } finally {
    rmSync(file, { force: true });
  }
}
