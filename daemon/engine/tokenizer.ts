/**
 * The tokenizer of a loaded model, on the engine's side. Ids stand for exactly the bytes they were
 * made from: texts are encoded in pieces that follow one another, so nothing is put before a text
 * (no BOS, no dummy space), and the spelling of a special token inside a text is plain text unless
 * the caller says otherwise. One exception is the model's own Unicode normalisation (NFC for
 * Qwen), which its training data had too.
 */
import { Template } from '@huggingface/jinja';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';
import { decodeTokens } from './utf8.ts';
import type { DecodedTokens } from './utf8.ts';
import { alphabetOf, fimOf, templateBos, tokenBytes, withoutDummyPrefix } from './vocabulary.ts';
import type { FimTokens, TokenizerJson } from './vocabulary.ts';

export interface Message {
  role: string;
  content: string;
}

/** tokenizer_config.json as far as it is read here. */
interface TokenizerConfig {
  add_bos_token?: boolean;
  bos_token?: unknown;
  eos_token?: unknown;
  chat_template?: unknown;
}

interface Splitter {
  pattern: RegExp;
  ids: Map<string, number>;
}

const NOTHING = new Uint8Array(0);

export class ModelTokenizer {
  /** Prepended to every prompt by models whose tokenizer says so. */
  readonly bos: number | null;
  /** End tokens that the tokenizer and generation_config.json name; config.json may name more. */
  readonly eos: number[];
  readonly fim: FimTokens | null;
  private readonly bytes: Uint8Array[] = [];
  private readonly added = new Map<string, number>();
  /** Added tokens that are ordinary text: runs of white space. */
  private readonly plain: Splitter | null;
  private readonly special: Splitter | null;
  private readonly template: Template | null;

  private constructor(
    private readonly tokenizer: HuggingFaceTokenizer,
    json: TokenizerJson,
    private readonly config: TokenizerConfig,
    template: string | null,
    generationEos: readonly number[],
  ) {
    const alphabet = alphabetOf(json);
    for (const [spelling, id] of tokenizer.get_vocab()) this.bytes[id] = tokenBytes(spelling, alphabet);
    const addedTokens = json.added_tokens ?? [];
    for (const token of addedTokens) {
      this.bytes[token.id] = Buffer.from(token.content);
      this.added.set(token.content, token.id);
    }
    this.plain = splitter(addedTokens.filter((token) => token.content.trim() === ''));
    this.special = splitter(addedTokens);
    this.fim = fimOf((spelling) => this.idOf(spelling));
    const eos = this.idOf(spellingOf(config.eos_token));
    this.eos = [...(eos === undefined ? [] : [eos]), ...generationEos];
    const bos = templateBos(json.post_processor) ?? (config.add_bos_token ? spellingOf(config.bos_token) : undefined);
    this.bos = config.add_bos_token === false ? null : (this.idOf(bos) ?? null);
    this.template = template === null ? null : new Template(template);
  }

  /** @throws tokenizerMissing */
  static async open(dir: string): Promise<ModelTokenizer> {
    const json = (await readJson(dir, 'tokenizer.json', 'required')) as TokenizerJson;
    if (typeof json.model?.vocab !== 'object') throw missing(dir, 'tokenizer.json has no vocabulary');
    if (json.model.type === 'WordPiece') throw missing(dir, 'WordPiece vocabularies lose white space');
    const config = (await readJson(dir, 'tokenizer_config.json', 'optional')) as TokenizerConfig;
    try {
      const pieces = {
        post_processor: null,
        ...json,
        added_tokens: [],
        decoder: json.decoder ?? null,
        normalizer: withoutDummyPrefix(json.normalizer ?? null),
        pre_tokenizer: withoutDummyPrefix(json.pre_tokenizer ?? null),
      };
      const template = (await readText(dir, 'chat_template.jinja')) ?? templateOf(config.chat_template);
      const { eos_token_id: eos } = (await readJson(dir, 'generation_config.json', 'optional')) as { eos_token_id?: unknown };
      const generationEos = [eos].flat().filter((id) => typeof id === 'number');
      return new ModelTokenizer(new HuggingFaceTokenizer(pieces, {}), json, config, template, generationEos);
    } catch (thrown) {
      throw missing(dir, thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  /** Whether messages can be rendered. */
  get chat(): boolean {
    return this.template !== null;
  }

  encode(text: string, spellings: 'plain' | 'special' = 'plain'): number[] {
    const split = spellings === 'special' ? this.special : this.plain;
    if (!split) return this.encodePiece(text);
    const ids: number[] = [];
    let from = 0;
    for (const match of text.matchAll(split.pattern)) {
      ids.push(...this.encodePiece(text.slice(from, match.index)));
      const id = split.ids.get(match[0]) ?? split.ids.get(match[0].trim());
      if (id !== undefined) ids.push(id);
      from = match.index + match[0].length;
    }
    return ids.concat(this.encodePiece(text.slice(from)));
  }

  /** Text of ids; special tokens are spelled out, ids beyond the vocabulary are empty. */
  decode(ids: readonly number[]): DecodedTokens {
    return decodeTokens(ids.map((id) => this.bytesOf(id)));
  }

  bytesOf(id: number): Uint8Array {
    return this.bytes[id] ?? NOTHING;
  }

  /** Bytes of every id below `size`. */
  vocabulary(size: number): Uint8Array[] {
    return Array.from({ length: size }, (_, id) => this.bytesOf(id));
  }

  /** Ids of added tokens: control tokens, and spellings that no text is cut into. */
  get addedIds(): number[] {
    return [...this.added.values()];
  }

  /** @throws unsupported for a model without a chat template */
  render(messages: readonly Message[], addGenerationPrompt: boolean): { text: string; ids: number[] } {
    if (!this.template) {
      throw new HindsightError('unsupported', { what: 'Chat', problem: 'the model has no chat template', remedy: 'Load an instruct model.' });
    }
    const special = { bos_token: spellingOf(this.config.bos_token) ?? '', eos_token: spellingOf(this.config.eos_token) ?? '' };
    try {
      const text = this.template.render({ messages, add_generation_prompt: addGenerationPrompt, ...special });
      return { text, ids: this.encode(text, 'special') };
    } catch (thrown) {
      const problem = `The chat template refuses these messages: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      throw new HindsightError('badRequest', { problem, remedy: 'Send messages in the roles and order that the model knows.' });
    }
  }

  private encodePiece(text: string): number[] {
    return text === '' ? [] : this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  private idOf(spelling: string | undefined): number | undefined {
    return spelling === undefined ? undefined : (this.added.get(spelling) ?? this.tokenizer.token_to_id(spelling));
  }
}

/** Finds added tokens, the longest first, with the white space around them that they swallow. */
function splitter(tokens: readonly { id: number; content: string; lstrip?: boolean; rstrip?: boolean }[]): Splitter | null {
  if (tokens.length === 0) return null;
  const longestFirst = [...tokens].sort((a, b) => b.content.length - a.content.length);
  const escaped = longestFirst.map((token) => (token.lstrip ? '\\s*' : '') + token.content.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&') + (token.rstrip ? '\\s*' : ''));
  return { pattern: new RegExp(escaped.join('|'), 'g'), ids: new Map(tokens.map((token) => [token.content, token.id])) };
}

/** Token settings are written as a string or as an object with `content`. */
function spellingOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : undefined;
  return typeof content === 'string' ? content : undefined;
}

/** Models with several templates list them by name. */
function templateOf(template: unknown): string | null {
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return null;
  const named = template as { name?: unknown; template?: unknown }[];
  const chosen = (named.find((entry) => entry.name === 'default') ?? named[0])?.template;
  return typeof chosen === 'string' ? chosen : null;
}

async function readText(dir: string, file: string): Promise<string | null> {
  try {
    return await readFile(path.join(dir, file), 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw missing(dir, `${file}: ${(thrown as Error).message}`);
  }
}

async function readJson(dir: string, file: string, need: 'required' | 'optional'): Promise<object> {
  const text = await readText(dir, file);
  if (text === null && need === 'required') throw missing(dir, `${file} is not there`);
  try {
    const json: unknown = JSON.parse(text ?? '{}');
    if (typeof json === 'object' && json !== null) return json;
  } catch {
    // reported below
  }
  throw missing(dir, `${file} is not valid JSON`);
}

function missing(path: string, problem: string): HindsightError {
  return new HindsightError('tokenizerMissing', { path, problem });
}
