/**
 * An engine on another machine, behind the same calls as a local one. Texts are tokenized here, with
 * the tokenizer that the engine hands over: token ids travel, text and paths do not. Folders are sent
 * and fetched file by file.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import * as wire from '../../../protocol/engine.ts';
import { HindsightError } from '../../../protocol/errors.ts';
import type { RequestMessage, Result } from '../../../protocol/message.ts';
import { addressOf } from '../../../protocol/pairing.ts';
import type { Pairing } from '../../../protocol/pairing.ts';
import { call, on } from '../../../protocol/transport.ts';
import type { CallOptions } from '../../../protocol/transport.ts';
import type { TokenEvent } from '../client.ts';
import type { Engine } from '../engine.ts';
import { ModelTokenizer } from '../tokenizer.ts';
import { RemoteLink } from './link.ts';
import type { Hello } from './link.ts';
import { fetchFile, sendFile } from './transfer.ts';

export interface RemoteOptions {
  pairing: Pairing;
  client: string;
  /** One of the engine's models; its first where none is named. */
  model?: string;
  /** Folder that keeps tokenizers, by fingerprint. */
  cache: string;
  heartbeatSeconds?: number;
  log?: (line: string) => void;
}

/** Seconds, where the caller names none. Calls that may wait for the link to come back have more. */
const DEADLINES = { load: 600, typing: 4, serve: 60, compute: 300, train: 900 } as const;
const TOKENIZER_FILE = /^[a-z_]+\.(json|jinja)$/;

/** @throws engineUnreachable, certificateChanged, tokenRefused, protocolMismatch, modelMissing, … */
export async function attachEngine(options: RemoteOptions, signal?: AbortSignal): Promise<RemoteEngine> {
  let name = options.model;
  let model: wire.ModelInfo | null = null;
  const listeners = new Map<string, (token: TokenEvent) => void>();
  const { link, hello } = await RemoteLink.open(
    {
      ...options,
      listen: (connection) => on(connection, wire.generateToken, (token) => listeners.get(token.stream)?.(token)),
      prepare: async (connection, { models }) => {
        name ??= models[0];
        if (name === undefined) throw new HindsightError('modelMissing', { path: addressOf(options.pairing), problem: 'the engine offers none' });
        const loaded = await call(connection, wire.modelLoad, { dir: name }, { deadline: DEADLINES.load });
        if (model !== null && model.fingerprint !== loaded.fingerprint) throw new HindsightError('modelCorrupt', { path: name, problem: 'the engine has another model under this name than before' });
        model = loaded;
      },
    },
    signal,
  );
  try {
    if (model === null) throw new HindsightError('internal', { message: 'no model was loaded' });
    return new RemoteEngine(options, link, hello, model, await tokenizerOf(link, model, options.cache), listeners);
  } catch (thrown) {
    link.close();
    throw thrown;
  }
}

export class RemoteEngine implements Engine {
  readonly score = this.insisting(wire.score, DEADLINES.compute, 'pure');
  readonly forwardBackward = this.insisting(wire.forwardBackward, DEADLINES.train, 'once');
  readonly optimStep = this.insisting(wire.optimStep, DEADLINES.train, 'once');
  readonly adapterCreate = this.insisting(wire.adapterCreate, DEADLINES.compute, 'once');
  readonly adapterDelete = this.insisting(wire.adapterDelete, DEADLINES.compute, 'once');
  readonly metrics = this.insisting(wire.engineMetrics, DEADLINES.serve, 'pure');

  constructor(
    private readonly options: RemoteOptions,
    private readonly link: RemoteLink,
    readonly hello: Hello,
    readonly model: wire.ModelInfo,
    private readonly tokenizer: ModelTokenizer,
    private readonly listeners: Map<string, (token: TokenEvent) => void>,
  ) {}

  get address(): string {
    return addressOf(this.options.pairing);
  }

  get down(): boolean {
    return !this.link.up;
  }

  get reason(): string {
    return this.link.reason;
  }

  get latencyMs(): number | null {
    return this.link.latencyMs;
  }

  onRestart(listener: () => void): () => void {
    return this.link.onRestart(listener);
  }

  /** The link went up or down, or its latency is known now. */
  onChange(listener: () => void): () => void {
    return this.link.onChange(listener);
  }

  onToken(stream: string, listener: (token: TokenEvent) => void): () => void {
    this.listeners.set(stream, listener);
    return () => this.listeners.delete(stream);
  }

  /** Somebody waits at the keyboard: it is not repeated, who asked goes elsewhere. */
  generate(params: z.input<typeof wire.generate.params>, options: CallOptions = {}): Promise<wire.GenerateResult> {
    const deadline = params.priority === wire.PRIORITY.typing ? DEADLINES.typing : DEADLINES.serve;
    return this.link.ask(wire.generate, params, { deadline, ...options });
  }

  tokenize({ texts, special }: z.input<typeof wire.tokenize.params>): Promise<Result<typeof wire.tokenize>> {
    return settled(() => ({ ids: texts.map((text) => this.tokenizer.encode(text, special ? 'special' : 'plain')) }));
  }

  detokenize({ ids }: z.input<typeof wire.detokenize.params>): Promise<Result<typeof wire.detokenize>> {
    return settled(() => this.tokenizer.decode(ids));
  }

  render({ messages, addGenerationPrompt }: z.input<typeof wire.render.params>): Promise<Result<typeof wire.render>> {
    return settled(() => this.tokenizer.render(messages, addGenerationPrompt));
  }

  async adapterLoad({ name, dir, training }: z.input<typeof wire.adapterLoad.params>, options: CallOptions = {}): Promise<Result<typeof wire.adapterLoad>> {
    const folder = ownFolder(dir);
    if (!existsSync(join(folder, 'adapter_config.json'))) throw new HindsightError('adapterMissing', { adapter: name });
    const files: Partial<Record<wire.AdapterFile, string>> = {};
    for (const file of wire.adapterFile.options) {
      const wanted = file !== 'optimizer.safetensors' || training === true;
      if (wanted && existsSync(join(folder, file))) files[file] = await sendFile(this.link, join(folder, file));
    }
    return this.link.insist(wire.adapterLoad, { name, files, ...(training !== undefined && { training }) }, { deadline: DEADLINES.compute, ...options }, 'once');
  }

  async adapterWrite({ name, dir, optimizer }: z.input<typeof wire.adapterWrite.params>, options: CallOptions = {}): Promise<Result<typeof wire.adapterWrite>> {
    const folder = ownFolder(dir);
    const { files } = await this.link.insist(wire.adapterWrite, { name, ...(optimizer !== undefined && { optimizer }) }, { deadline: DEADLINES.compute, ...options }, 'once');
    for (const file of files) {
      const known = wire.adapterFile.safeParse(file.name);
      if (!known.success) throw new HindsightError('transferBroken', { problem: 'the engine names a file that is none of an adapter' });
      await fetchFile(this.link, file, join(folder, known.data));
    }
    return { files: [] };
  }

  close(): Promise<void> {
    this.link.close();
    return Promise.resolve();
  }

  private insisting<M extends RequestMessage>(message: M, deadline: number, change: 'once' | 'pure') {
    return (params: z.input<M['params']>, options: CallOptions = {}): Promise<Result<M>> => this.link.insist(message, params, { deadline, ...options }, change);
  }
}

async function tokenizerOf(link: RemoteLink, { fingerprint }: wire.ModelInfo, cache: string): Promise<ModelTokenizer> {
  if (!/^[\w-]{8,128}$/.test(fingerprint)) throw new HindsightError('modelCorrupt', { path: 'the engine', problem: 'its fingerprint is none' });
  const dir = join(cache, fingerprint);
  if (!existsSync(dir)) {
    const { files } = await link.insist(wire.modelFiles, {}, { deadline: 60 }, 'pure');
    mkdirSync(cache, { recursive: true });
    // Several links may fetch the same one at a time.
    const temporary = mkdtempSync(`${dir}.`);
    for (const file of files) {
      if (!TOKENIZER_FILE.test(file.name)) throw new HindsightError('transferBroken', { problem: 'the engine names a file that is none of a tokenizer' });
      await fetchFile(link, file, join(temporary, file.name));
    }
    try {
      renameSync(temporary, dir);
    } catch (thrown) {
      rmSync(temporary, { recursive: true });
      if (!existsSync(dir)) throw thrown;
    }
  }
  return ModelTokenizer.open(dir);
}

function ownFolder(dir: string | undefined): string {
  if (dir === undefined) throw new HindsightError('internal', { message: 'an adapter needs a folder of this machine' });
  return dir;
}

/** What a library throws is a rejection, as it would be from afar. */
function settled<T>(work: () => T): Promise<T> {
  return Promise.resolve().then(work);
}
