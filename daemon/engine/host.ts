/**
 * The engine process: answers protocol/engine.ts on one link with the native addon and the model's
 * tokenizer. It knows tokens and adapters, nothing of editors, turns or rewards.
 *
 * Invariants: whatever computes runs on the addon's threads, so this loop stays free to cancel; a
 * request ends on the adapter it began with; every failure crosses the link as a catalogue error.
 */
import { availableParallelism } from 'node:os';
import type { z } from 'zod';
import * as wire from '../../protocol/engine.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { agree, PROTOCOL } from '../../protocol/handshake.ts';
import type { Params, RequestMessage } from '../../protocol/message.ts';
import { handle, notify } from '../../protocol/transport.ts';
import type { Link } from '../../protocol/transport.ts';
import * as convert from './convert.ts';
import { nativeError } from './native.ts';
import type { Subject } from './native.ts';
import type { EnginePlace, Loaded, Transfer, Work } from './place.ts';
import { VERSION } from '../version.ts';

/** Requests are numbered over all links: the addon knows them by their number. */
let lastRequest = 0;

export class EngineHost {
  private greeted = false;
  /** Aborted when the link is gone: nobody reads what would still be generated. */
  private readonly gone = new AbortController();

  constructor(
    private readonly link: Link,
    private readonly place: EnginePlace,
  ) {
    link.onClose?.(() => this.gone.abort());
    link.onDispose?.(() => this.gone.abort());
  }

  get hasGreeted(): boolean {
    return this.greeted;
  }

  /** Answers every engine message on the link from now on. */
  listen(): void {
    const { place } = this;
    handle(this.link, wire.engineHello, (params) => this.hello(params));
    this.answer(wire.modelLoad, (params) => named(place.load(params), { dir: params.dir }));
    this.answer(wire.tokenize, ({ texts, special }) => ({ ids: texts.map((text) => this.model.tokenizer.encode(text, special ? 'special' : 'plain')) }));
    this.answer(wire.detokenize, ({ ids }) => this.model.tokenizer.decode(ids));
    this.answer(wire.render, ({ messages, addGenerationPrompt }) => this.model.tokenizer.render(messages, addGenerationPrompt));
    this.answer(wire.generate, (params, signal) => this.compute(serving(params.priority, params.prompt.length + params.sampling.maxTokens), {}, signal, (either) => this.generate(params, either)));
    this.answer(wire.score, (params, signal) => this.compute(serving(params.priority, lengths(params.sequences)), {}, signal, () => this.score(params)));
    this.answer(wire.forwardBackward, ({ once, ...params }) => this.train(once, params.adapter, 3 * lengths(params.sequences), () => this.forwardBackward(params)));
    this.answer(wire.optimStep, ({ once, adapter, ...settings }) => this.train(once, adapter, 1, () => this.model.adapters.use(adapter, 'weights', (id) => this.model.native.optimStep(id, settings))));
    this.answer(wire.adapterCreate, ({ once, name, ...config }) => this.change(once, { adapter: name }, () => this.model.adapters.create(name, config)));
    this.answer(wire.adapterLoad, ({ once, name, dir, files, training }) => this.change(once, { adapter: name, ...(dir !== undefined && { dir }) }, () => this.model.adapters.load(name, { dir, files }, training ?? false)));
    this.answer(wire.adapterWrite, ({ once, name, dir, optimizer }) => named(place.once(once, async () => ({ files: await this.model.adapters.write(name, dir, optimizer ?? false) })), { adapter: name, ...(dir !== undefined && { dir }) }));
    this.answer(wire.adapterDelete, ({ once, name }) => this.change(once, { adapter: name }, () => this.model.adapters.delete(name)));
    this.answer(wire.modelFiles, async () => ({ files: await this.transfer.modelFiles() }));
    this.answer(wire.fileOpen, async ({ sha256, bytes }) => ({ offset: await this.transfer.open(sha256, bytes) }));
    this.answer(wire.fileWrite, async ({ sha256, offset, data }) => ({ offset: await this.transfer.write(sha256, offset, Buffer.from(data, 'base64')) }));
    this.answer(wire.fileRead, async ({ sha256, offset }) => ({ data: (await this.transfer.read(sha256, offset)).toString('base64') }));
    this.answer(wire.engineMetrics, () => ({ adapters: this.model.adapters.names, ...place.metrics() }));
  }

  /** Nothing is answered before a hello. */
  private answer<M extends RequestMessage>(message: M, handler: (params: Params<M>, signal: AbortSignal) => Promise<z.input<M['result']>> | z.input<M['result']>): void {
    handle(this.link, message, (params, signal) => {
      if (!this.greeted) throw new HindsightError('invalidParams', { method: message.method, problem: '`hello` was not sent first' });
      return handler(params, signal);
    });
  }

  private get model(): Loaded {
    if (!this.place.loaded) throw new HindsightError('badRequest', { problem: 'No model is loaded', remedy: 'Send `model/load` first.' });
    return this.place.loaded;
  }

  private get transfer(): Transfer {
    if (!this.place.transfer) throw new HindsightError('unsupported', { what: 'Sending files', problem: 'this engine reads folders of its own machine', remedy: 'Name a folder as `dir`.' });
    return this.place.transfer;
  }

  private hello({ protocol, client }: Params<typeof wire.engineHello>): z.input<typeof wire.engineHello.result> {
    const version = agree(PROTOCOL, protocol, { ours: 'the engine', theirs: 'the daemon' });
    if (this.greeted) throw new HindsightError('handshakeRepeated');
    const { place } = this;
    place.enter(client);
    this.greeted = true;
    const info = place.loaded?.native.info;
    return {
      protocol: version,
      engine: { version: VERSION, pid: process.pid, device: place.device, isa: info?.isa ?? 'unknown', threads: info?.threads ?? availableParallelism() },
      boot: place.boot,
      models: place.models,
      limits: { messageBytes: place.messageBytes, chunkBytes: wire.CHUNK_BYTES },
    };
  }

  /** In its turn; ends when it is cancelled or the link is gone. */
  private compute<T>(work: Work, subject: Subject, signal: AbortSignal, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const either = AbortSignal.any([signal, this.gone.signal]);
    return named(this.place.run(work, either, () => task(either)), subject);
  }

  /** Goes on without its link: the daemon asks again, and gets the answer of the one time it was done. */
  private train<T>(once: string | undefined, adapter: string, tokens: number, task: () => Promise<T>): Promise<T> {
    const forever = new AbortController().signal;
    return named(this.place.once(once, () => this.place.run({ kind: 'train', tokens, priority: wire.PRIORITY.training }, forever, task)), { adapter });
  }

  private change(once: string | undefined, subject: Subject, task: () => Promise<void>): Promise<Record<string, never>> {
    return named(this.place.once(once, () => task().then(() => ({}))), subject);
  }

  private async generate(params: Params<typeof wire.generate>, signal: AbortSignal): Promise<wire.GenerateResult> {
    const { info, native, tokenizer, adapters } = this.model;
    const { sampling, adapter, priority, stream, schema } = params;
    const id = ++lastRequest;
    const streamed = new TextDecoder();
    const onToken = stream === undefined ? undefined : (token: number, logprob: number): void => {
      const text = info.eos.includes(token) ? '' : streamed.decode(tokenizer.bytesOf(token), { stream: true });
      void notify(this.link, wire.generateToken, { stream, id: token, logprob: convert.known(logprob), text });
    };
    const stopIds = [...new Set([...info.eos, ...(sampling.stopIds ?? [])])];
    const result = await adapters.use(adapter, 'nothing', (handleOfAdapter) => {
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
    return adapters.use(params.adapter, 'nothing', async (adapter) => ({
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

  private async forwardBackward({ adapter, sequences, settings }: Omit<Params<typeof wire.forwardBackward>, 'once'>): Promise<z.input<typeof wire.forwardBackward.result>> {
    const { native, adapters } = this.model;
    return adapters.use(adapter, 'gradients', async (id) => {
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
}

function serving(priority: number | undefined, tokens: number): Work {
  return { kind: 'serve', tokens, priority: priority ?? 0 };
}

function lengths(sequences: readonly { ids: readonly number[] }[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** What the addon rejects with, as an error of the catalogue. */
function named<T>(work: Promise<T>, subject: Subject): Promise<T> {
  return work.catch((thrown: unknown) => Promise.reject(nativeError(thrown, subject)));
}
