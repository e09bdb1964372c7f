/**
 * The engine process: answers protocol/engine.ts on one link with the native addon and the model's
 * tokenizer. It knows tokens and adapters, nothing of editors, turns or rewards.
 *
 * Invariants: whatever computes runs on the addon's threads, so this loop stays free to cancel; a
 * request ends on the adapter it began with; every failure crosses the link as a catalogue error.
 */
import path from 'node:path';
import type { z } from 'zod';
import type { NativeModel } from '../../native/index.ts';
import * as wire from '../../protocol/engine.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { agree, PROTOCOL } from '../../protocol/handshake.ts';
import type { Params } from '../../protocol/message.ts';
import { handle, notify } from '../../protocol/transport.ts';
import type { Link } from '../../protocol/transport.ts';
import { AdapterTable } from './adapters.ts';
import * as convert from './convert.ts';
import { nativeError, openNative } from './native.ts';
import type { Subject } from './native.ts';
import { ModelTokenizer } from './tokenizer.ts';
import { VERSION } from '../version.ts';

/** A loaded model with everything that hangs on it. */
interface Loaded {
  info: wire.ModelInfo;
  native: NativeModel;
  tokenizer: ModelTokenizer;
  adapters: AdapterTable;
}

export class EngineHost {
  private loaded: Loaded | null = null;
  private lastRequest = 0;

  constructor(private readonly link: Link) {}

  /** Answers every engine message on the link from now on. */
  listen(): void {
    const { link } = this;
    handle(link, wire.engineHello, (params) => this.hello(params));
    handle(link, wire.modelLoad, (params) => named(this.load(params), { dir: params.dir }));
    handle(link, wire.tokenize, ({ texts, special }) => ({ ids: texts.map((text) => this.model.tokenizer.encode(text, special ? 'special' : 'plain')) }));
    handle(link, wire.detokenize, ({ ids }) => this.model.tokenizer.decode(ids));
    handle(link, wire.render, ({ messages, addGenerationPrompt }) => this.model.tokenizer.render(messages, addGenerationPrompt));
    handle(link, wire.generate, (params, signal) => named(this.generate(params, signal), {}));
    handle(link, wire.score, (params) => named(this.score(params), {}));
    handle(link, wire.forwardBackward, (params) => named(this.forwardBackward(params), { adapter: params.adapter }));
    handle(link, wire.optimStep, ({ adapter, ...settings }) => named(this.model.adapters.use(adapter, (id) => this.model.native.optimStep(id, settings)), { adapter }));
    handle(link, wire.adapterCreate, (params) => named(this.adapterCreate(params), {}));
    handle(link, wire.adapterLoad, (params) => named(this.adapterLoad(params), { adapter: params.name, dir: params.dir }));
    handle(link, wire.adapterWrite, (params) => named(this.adapterWrite(params), { adapter: params.name, dir: params.dir }));
    handle(link, wire.adapterDelete, ({ name }) => {
      this.model.adapters.delete(name);
      return {};
    });
    handle(link, wire.engineMetrics, () => ({ ...this.model.native.metrics(), adapters: this.model.adapters.names }));
  }

  close(): void {
    this.loaded?.native.close();
    this.loaded = null;
  }

  private get model(): Loaded {
    if (!this.loaded) throw new HindsightError('badRequest', { problem: 'No model is loaded', remedy: 'Send `model/load` first.' });
    return this.loaded;
  }

  private hello({ protocol }: Params<typeof wire.engineHello>): z.input<typeof wire.engineHello.result> {
    const version = agree(PROTOCOL, protocol, { ours: 'the engine', theirs: 'the daemon' });
    const info = this.loaded?.native.info;
    return { protocol: version, engine: { version: VERSION, pid: process.pid, device: 'cpu', isa: info?.isa ?? 'unknown', threads: info?.threads ?? 0 } };
  }

  private async load({ dir, dtype, threads, isa }: Params<typeof wire.modelLoad>): Promise<wire.ModelInfo> {
    const native = await openNative({ dir, ...(dtype && { dtype }), ...(threads && { threads }), ...(isa && { isa }) });
    const tokenizer = await ModelTokenizer.open(dir).catch((thrown: unknown) => {
      native.close();
      throw thrown;
    });
    native.setVocabulary(tokenizer.vocabulary(native.info.vocabSize), tokenizer.addedIds);
    this.close();
    const { architecture, fingerprint, vocabSize, maxPositions, parameters, eosIds } = native.info;
    const info: wire.ModelInfo = {
      name: path.basename(path.resolve(dir)), fingerprint, architecture, vocabSize, maxPositions, parameters,
      dtype: native.info.dtype, device: 'cpu',
      eos: [...new Set([...eosIds, ...tokenizer.eos])].filter((id) => id < vocabSize),
      bos: tokenizer.bos, fim: tokenizer.fim, chat: tokenizer.chat,
    };
    this.loaded = { info, native, tokenizer, adapters: new AdapterTable((id) => native.deleteAdapter(id)) };
    return info;
  }

  private async generate(params: Params<typeof wire.generate>, signal: AbortSignal): Promise<wire.GenerateResult> {
    const { info, native, tokenizer, adapters } = this.model;
    const { sampling, adapter, priority, stream, schema } = params;
    const id = ++this.lastRequest;
    const streamed = new TextDecoder();
    const onToken = stream === undefined ? undefined : (token: number, logprob: number): void => {
      const text = info.eos.includes(token) ? '' : streamed.decode(tokenizer.bytesOf(token), { stream: true });
      void notify(this.link, wire.generateToken, { stream, id: token, logprob: convert.known(logprob), text });
    };
    const stopIds = [...new Set([...info.eos, ...(sampling.stopIds ?? [])])];
    const result = await adapters.use(adapter, (handleOfAdapter) => {
      if (signal.aborted) throw new HindsightError('cancelled');
      signal.addEventListener('abort', () => native.cancel(id), { once: true });
      return native.generate(
        {
          id,
          prompt: Int32Array.from(params.prompt),
          maxTokens: sampling.maxTokens,
          temperature: sampling.temperature,
          logprobTemperature: sampling.temperature || 1,
          stopIds: Int32Array.from(stopIds),
          adapter: handleOfAdapter,
          ...(priority !== undefined && { priority }),
          ...(sampling.topK !== undefined && { topK: sampling.topK }),
          ...(sampling.topP !== undefined && { topP: sampling.topP }),
          ...(sampling.seed !== undefined && { seed: sampling.seed }),
          ...(sampling.stop && { stop: sampling.stop }),
          ...(schema && { schema: JSON.stringify(schema) }),
        },
        onToken,
      );
    });
    const ids = Array.from(result.tokens);
    const last = ids.at(-1);
    const ended = last !== undefined && (result.finishReason === 'eos' || result.finishReason === 'stop') && stopIds.includes(last);
    return {
      ids,
      logprobs: convert.numbers(result.logprobs),
      ...this.responseText(ids, ended),
      finishReason: ended ? (info.eos.includes(last) ? 'eos' : 'stop') : result.finishReason,
      adapter,
      cachedTokens: result.cachedTokens,
    };
  }

  /** An end token says "no more"; it has an offset but no text. */
  private responseText(ids: readonly number[], ended: boolean): { text: string; offsets: number[] } {
    const { text, offsets } = this.model.tokenizer.decode(ended ? ids.slice(0, -1) : ids);
    return { text, offsets: ended ? [...offsets, offsets.at(-1) ?? 0] : offsets };
  }

  private async score(params: Params<typeof wire.score>): Promise<wire.ScoreResult> {
    const { native, adapters } = this.model;
    const { sequences, temperature, topK, priority } = params;
    return adapters.use(params.adapter, async (adapter) => ({
      sequences: await Promise.all(
        sequences.map(async ({ ids, positions, candidates }) => {
          if (candidates && candidates.length !== positions.length) {
            throw new HindsightError('invalidParams', { method: 'score', problem: 'candidates: one list per position is needed' });
          }
          const result = await native.score({
            ids: Int32Array.from(ids),
            positions: Int32Array.from(positions),
            adapter,
            ...(temperature !== undefined && { temperature }),
            ...(topK !== undefined && { topK }),
            ...(priority !== undefined && { priority }),
            ...(candidates && { candidates: convert.idTable(candidates).tokens }),
          });
          return convert.scored(result, positions.length, candidates);
        }),
      ),
    }));
  }

  private async forwardBackward({ adapter, sequences, settings }: Params<typeof wire.forwardBackward>): Promise<z.input<typeof wire.forwardBackward.result>> {
    const { native, adapters } = this.model;
    return adapters.use(adapter, async (id) => {
      const { loss, positions, effectiveSampleSize, tokens } = await native.forwardBackward(id, sequences.map(convert.trainSequence), settings);
      const { pg, opd, splice, kl, ce } = loss;
      return {
        loss: { pg: convert.known(pg), opd: convert.known(opd), splice: convert.known(splice), kl: convert.known(kl), ce: convert.known(ce) },
        positions,
        effectiveSampleSize: convert.known(effectiveSampleSize),
        tokens,
      };
    });
  }

  private async adapterCreate({ name, ...config }: Params<typeof wire.adapterCreate>): Promise<Record<string, never>> {
    const { native, adapters } = this.model;
    adapters.set(name, await native.createAdapter(config));
    return {};
  }

  private async adapterLoad({ name, dir, training }: Params<typeof wire.adapterLoad>): Promise<Record<string, never>> {
    const { native, adapters } = this.model;
    adapters.set(name, await native.loadAdapter(dir, training));
    return {};
  }

  private async adapterWrite({ name, dir, optimizer }: Params<typeof wire.adapterWrite>): Promise<Record<string, never>> {
    const { native, adapters } = this.model;
    await adapters.use(name, (id) => native.writeAdapter(id, dir, optimizer));
    return {};
  }
}

/** What the addon rejects with, as an error of the catalogue. */
function named<T>(work: Promise<T>, subject: Subject): Promise<T> {
  return work.catch((thrown: unknown) => Promise.reject(nativeError(thrown, subject)));
}
