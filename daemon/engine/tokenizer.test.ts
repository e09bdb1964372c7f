import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledModel } from '../models/bundled.ts';
import { ModelTokenizer } from './tokenizer.ts';

/** Any text that has a UTF-8 form. */
const anyText = fc.string({ unit: 'binary', maxLength: 60 }).map((text) => Buffer.from(text).toString());
const code = fc.array(fc.constantFrom('const', ' ', '  ', '\t', '\n', '\r\n', 'a1', '=', '("x")', '};', '// ü', 'foo_bar', '<|endoftext|>', '😀', "it's", "'S"), { maxLength: 40 }).map((parts) => parts.join(''));

function bytesOf(tokenizer: ModelTokenizer, ids: readonly number[]): string {
  return Buffer.concat(ids.map((id) => tokenizer.bytesOf(id))).toString('utf8');
}

describe('byte-level BPE (the seed)', () => {
  let tokenizer: ModelTokenizer;
  beforeAll(async () => {
    tokenizer = await ModelTokenizer.open(bundledModel());
  });

  it('encodes any text to exactly its bytes, and decodes it again', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, code), (text) => {
        const ids = tokenizer.encode(text);
        expect(bytesOf(tokenizer, ids)).toBe(text);
        expect(tokenizer.decode(ids).text).toBe(text);
      }),
    );
  });

  it('merges in the order of the vocabulary file', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, code), (text) => {
        expect(tokenizer.encode(text)).toEqual(referenceEncode(text));
      }),
    );
  });

  it('gives these ids', () => {
    expect(tokenizer.encode('const a = 1;\n  foo();')).toEqual([696, 306, 279, 229, 25, 272, 229, 300, 479, 418, 35]);
    expect(tokenizer.encode('  \n\n  x')).toEqual([265, 1117, 229, 3066]);
    expect(tokenizer.encode('')).toEqual([]);
  });

  it('takes the spelling of a special token for plain text unless asked', () => {
    const text = 'a<|endoftext|>b';
    expect(tokenizer.encode(text)).not.toContain(0);
    expect(tokenizer.decode(tokenizer.encode(text)).text).toBe(text);
    expect(tokenizer.encode(text, 'special')).toEqual([...tokenizer.encode('a'), 0, ...tokenizer.encode('b')]);
  });

  it('knows its special tokens by name', () => {
    expect(tokenizer.fim).toEqual({ prefix: 3, suffix: 5, middle: 4, fileSep: 8, repoName: 7 });
    expect(tokenizer.bos).toBeNull();
    expect(tokenizer.eos).toEqual([0]);
  });

  it('renders messages with the model’s template', () => {
    const { text, ids } = tokenizer.render([{ role: 'user', content: 'hi' }], true);
    expect(text).toBe('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n');
    expect(ids.filter((id) => id === 1)).toHaveLength(2);
    expect(tokenizer.decode(ids).text).toBe(text);
  });

  it('has bytes for every id, none beyond the vocabulary', () => {
    const vocabulary = tokenizer.vocabulary(4100);
    expect(vocabulary).toHaveLength(4100);
    expect(vocabulary.slice(0, 4096).every((bytes) => bytes.length > 0)).toBe(true);
    expect(vocabulary[4099]).toHaveLength(0);
  });
});

/** BPE as its paper states it: join the pair that was learned first, until none is left. */
function referenceEncode(text: string): number[] {
  const { model } = reference();
  return (text.match(reference().pattern) ?? []).flatMap((word) => {
    let parts = Array.from(Buffer.from(word), (byte) => reference().letters[byte] ?? '');
    for (;;) {
      const ranks = parts.slice(1).map((right, i) => model.ranks.get(`${parts[i]} ${right}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) return parts.map((part) => model.vocab[part] ?? -1);
      const at = ranks.indexOf(best);
      parts = [...parts.slice(0, at), `${parts[at]}${parts[at + 1]}`, ...parts.slice(at + 2)];
    }
  });
}

interface Reference {
  pattern: RegExp;
  letters: string[];
  model: { vocab: Record<string, number>; ranks: Map<string, number> };
}

let cached: Reference | undefined;
function reference(): Reference {
  if (cached) return cached;
  const json = JSON.parse(readFileSync(path.join(bundledModel(), 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number>; merges: [string, string][] } };
  const shown = [...range(0x21, 0x7e), ...range(0xa1, 0xac), ...range(0xae, 0xff)];
  const letters: string[] = [];
  range(0, 255).forEach((byte) => (letters[byte] = shown.includes(byte) ? String.fromCodePoint(byte) : String.fromCodePoint(256 + range(0, byte - 1).filter((b) => !shown.includes(b)).length)));
  cached = {
    // The model's pattern with (?i:…) spelled out, since this JavaScript has no inline flags.
    pattern: /'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu,
    letters,
    model: { vocab: json.model.vocab, ranks: new Map(json.model.merges.map(([a, b], rank) => [`${a} ${b}`, rank])) },
  };
  return cached;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}

/** A small vocabulary of the Llama 2 kind: `▁` for a space, bytes for what it does not know. */
const SENTENCE_PIECE = {
  version: '1.0',
  added_tokens: [
    { id: 0, content: '<unk>', special: true },
    { id: 1, content: '<s>', special: true },
    { id: 2, content: '</s>', special: true },
  ],
  normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
  pre_tokenizer: null,
  post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [], special_tokens: {} },
  decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
  model: {
    type: 'BPE', byte_fallback: true, unk_token: '<unk>', fuse_unk: true,
    vocab: Object.fromEntries(['<unk>', '<s>', '</s>', ...range(0, 255).map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`), '▁', 'a', 'b', 'c', '▁a', 'ab', '▁ab', '▁▁'].map((token, id) => [token, id])),
    merges: [['▁', '▁'], ['a', 'b'], ['▁', 'a'], ['▁', 'ab']],
  },
};

describe('a vocabulary of the Llama 2 kind', () => {
  let dir: string;
  let tokenizer: ModelTokenizer;
  beforeAll(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'hindsight-tokenizer-'));
    writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify(SENTENCE_PIECE));
    tokenizer = await ModelTokenizer.open(dir);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it('encodes any text to exactly its bytes: no space is put before it', () => {
    // ▁ itself stands for a space in such a vocabulary.
    fc.assert(
      fc.property(fc.oneof(anyText, code).filter((text) => !text.includes('▁')), (text) => {
        expect(bytesOf(tokenizer, tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('joins what it knows, and says BOS because its template does', () => {
    const ids = tokenizer.encode(' ab');
    expect(ids).toEqual([SENTENCE_PIECE.model.vocab['▁ab']]);
    expect(tokenizer.bos).toBe(1);
    expect(tokenizer.chat).toBe(false);
    expect(() => tokenizer.render([], true)).toThrow(/no chat template/);
  });
});

describe('a folder without a usable tokenizer', () => {
  it.each([
    ['no file', undefined, 'is not there'],
    ['no JSON', '{"model": ', 'not valid JSON'],
    ['no vocabulary', '{"model": {}}', 'no vocabulary'],
    ['an unknown part', JSON.stringify({ ...SENTENCE_PIECE, decoder: { type: 'Nonsense' } }), 'Nonsense'],
  ])('%s', async (_, text, sentence) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'hindsight-tokenizer-'));
    if (text !== undefined) writeFileSync(path.join(dir, 'tokenizer.json'), text);
    await expect(ModelTokenizer.open(dir)).rejects.toMatchObject({ errorName: 'tokenizerMissing', message: expect.stringContaining(sentence) });
    rmSync(dir, { recursive: true });
  });
});
