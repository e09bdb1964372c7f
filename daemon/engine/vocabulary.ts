/** What a tokenizer.json says about single tokens: their bytes, and which of them have a role. */
import type { z } from 'zod';
import type { fimTokens } from '../../protocol/engine.ts';

export type FimTokens = z.output<typeof fimTokens>;

/** The parts of tokenizer.json that are read here; everything else is the tokenizer library's. */
export interface TokenizerJson {
  model: { type?: string; vocab?: unknown; byte_fallback?: boolean };
  added_tokens?: { id: number; content: string; special?: boolean; lstrip?: boolean; rstrip?: boolean }[];
  normalizer?: unknown;
  pre_tokenizer?: unknown;
  post_processor?: unknown;
  decoder?: unknown;
}

/** How token spellings stand for bytes: GPT-2's byte alphabet, or `▁` and `<0xNN>`. */
export type Alphabet = 'byteLevel' | 'metaspace' | 'plain';

/** Whether a component, or one nested in its Sequence, has the type. */
export function hasType(component: unknown, type: string): boolean {
  if (typeof component !== 'object' || component === null) return false;
  const node = component as Record<string, unknown>;
  if (node['type'] === type) return true;
  return ['decoders', 'pretokenizers', 'normalizers', 'processors'].some((key) => {
    const parts = node[key];
    return Array.isArray(parts) && parts.some((part) => hasType(part, type));
  });
}

export function alphabetOf(json: TokenizerJson): Alphabet {
  if (hasType(json.decoder, 'ByteLevel') || hasType(json.pre_tokenizer, 'ByteLevel')) return 'byteLevel';
  if (json.model.byte_fallback === true || hasType(json.decoder, 'Metaspace') || hasType(json.pre_tokenizer, 'Metaspace')) return 'metaspace';
  return 'plain';
}

/** GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 onwards. */
const BYTE_OF = ((): Map<string, number> => {
  const printable = (b: number): boolean => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  const map = new Map<string, number>();
  let shifted = 0;
  for (let b = 0; b < 256; b++) map.set(String.fromCodePoint(printable(b) ? b : 0x100 + shifted++), b);
  return map;
})();

/** Bytes that a token of the vocabulary (not an added one) stands for. */
export function tokenBytes(spelling: string, alphabet: Alphabet): Uint8Array {
  if (alphabet === 'byteLevel') {
    const bytes = Array.from(spelling, (c) => BYTE_OF.get(c));
    if (bytes.every((b) => b !== undefined)) return Uint8Array.from(bytes);
  }
  if (alphabet === 'metaspace') {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(spelling)?.[1];
    return byte === undefined ? Buffer.from(spelling.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
  }
  return Buffer.from(spelling);
}

/** Families of fill-in-the-middle tokens, by the names models give them. */
const FIM_FAMILIES: { prefix: string; suffix: string; middle: string; fileSep: string[]; repoName: string[] }[] = [
  { prefix: '<|fim_prefix|>', suffix: '<|fim_suffix|>', middle: '<|fim_middle|>', fileSep: ['<|file_sep|>'], repoName: ['<|repo_name|>'] },
  { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>', fileSep: ['<file_sep>'], repoName: ['<repo_name>', '<reponame>'] },
  { prefix: '▁<PRE>', suffix: '▁<SUF>', middle: '▁<MID>', fileSep: [], repoName: [] },
  { prefix: '<PRE>', suffix: '<SUF>', middle: '<MID>', fileSep: [], repoName: [] },
  { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>', fileSep: [], repoName: [] },
];

export function fimOf(idOf: (spelling: string) => number | undefined): FimTokens | null {
  for (const family of FIM_FAMILIES) {
    const [prefix, suffix, middle] = [family.prefix, family.suffix, family.middle].map(idOf);
    if (prefix === undefined || suffix === undefined || middle === undefined) continue;
    const first = (names: string[]): number | null => names.map(idOf).find((id) => id !== undefined) ?? null;
    return { prefix, suffix, middle, fileSep: first(family.fileSep), repoName: first(family.repoName) };
  }
  return null;
}

/** The token that TemplateProcessing puts before a single text, if it does. */
export function templateBos(postProcessor: unknown): string | null {
  if (typeof postProcessor !== 'object' || postProcessor === null) return null;
  const node = postProcessor as Record<string, unknown>;
  if (Array.isArray(node['processors'])) return node['processors'].map(templateBos).find((bos) => bos !== null) ?? null;
  const first = node['type'] === 'TemplateProcessing' && Array.isArray(node['single']) ? (node['single'][0] as Record<string, unknown> | undefined) : undefined;
  const special = first?.['SpecialToken'] as { id?: unknown } | undefined;
  return typeof special?.id === 'string' ? special.id : null;
}

/** The same tokenizer without what puts a space before a text: texts are encoded in pieces that
 *  follow one another, and ids must stand for exactly the bytes they were made from. */
export function withoutDummyPrefix(component: unknown): unknown {
  if (Array.isArray(component)) return component.filter((part) => !hasType(part, 'Prepend') || (part as { type?: unknown }).type === 'Sequence').map(withoutDummyPrefix);
  if (typeof component !== 'object' || component === null) return component;
  const node = component as Record<string, unknown>;
  if (node['type'] === 'Prepend') return null;
  const changed = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, ['normalizers', 'pretokenizers'].includes(key) ? withoutDummyPrefix(value) : value]));
  if (node['type'] === 'Metaspace') return { ...changed, add_prefix_space: false, prepend_scheme: 'never' };
  if (node['type'] === 'ByteLevel') return { ...changed, add_prefix_space: false };
  return changed;
}
