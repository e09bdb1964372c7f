/** Constrained sampling: whatever the weights say, the text satisfies the schema. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { loadNative } from '../index.ts';
import type { GenerateRequest, NativeModel } from '../index.ts';
import { maxDifference, randomIds, SMALL, TARGETS, writeModel } from './models.ts';

/** Every byte, then tokens that begin in one value and end in another, or in the middle of a character. */
const CROSSING = [
  '{"', '":', '": ', '",', '", "', '"}', '{"score', '{"score": ', '{"score":-', '1,', '-1, "hint": "', '1,"hint":null}', '0, "hint', 'null}', 'ull', 'll,', 'true,', 'e}', '}]', '},{"', ']}',
  '\\"', '\\u00', 'e9"', ' the', 'logger', '\n  "', '   ', '"hint":', 'tag": "edit"', '","tag":"', '[1', ', 2', '.5', '1e', 'é', 'é"', '\u00e9'.repeat(2), '🙂', '"\n}',
];
const bytes = [...Array.from({ length: 256 }, (_, i) => Buffer.of(i)), ...CROSSING.map((text) => Buffer.from(text)), Buffer.from('🙂').subarray(0, 3), Buffer.from('<|end|>')];
const END = bytes.length - 1;
const shape = { ...SMALL, vocab: bytes.length, tied: false, maxPositions: 400 };
const prompt = randomIds(shape, 12);
const rounds = process.env['HINDSIGHT_FULL'] === '1' ? 400 : 25;
let model: NativeModel;
let nextId = 1;

beforeAll(async () => {
  model = await loadNative().load({ dir: writeModel(shape), threads: 1 });
  model.setVocabulary(bytes, [END]);
});
afterAll(() => model.close());

const textOf = (tokens: Int32Array): string => new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat([...tokens].filter((id) => id !== END).map((id) => bytes[id] ?? Buffer.of())));
const generate = (request: Partial<GenerateRequest>) => model.generate({ id: nextId++, prompt, maxTokens: 120, temperature: 0, stopIds: Int32Array.of(END), ...request });

const vote = z.strictObject({ score: z.union([z.literal(-1), z.literal(0), z.literal(1)]), hint: z.string().max(40).nullable() });
const call = z.union([
  z.strictObject({ tag: z.literal('edit'), path: z.string().min(1).max(20), lines: z.array(z.int()).max(3) }),
  z.strictObject({ tag: z.literal('exit'), code: z.int().nonnegative() }),
]);
const everything = z.strictObject({ a: z.array(z.union([z.number(), z.boolean(), z.null()])).min(1).max(4), 'b "quoted" é': z.enum(['on', 'one', 'off']).optional(), c: z.strictObject({}), d: z.literal([1, 10, 100]) });
const SCHEMAS = { vote, call, everything, integer: z.int(), strings: z.array(z.string().max(6)).min(2) };

describe.each(Object.entries(SCHEMAS))('%s', (_, schema) => {
  const json = JSON.stringify(z.toJSONSchema(schema));

  test('every output parses, greedy and sampled, also when it runs out of tokens', async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < rounds; seed++) {
      for (const request of [{ temperature: 1.2, seed }, { temperature: 0.6, seed, topK: 40, topP: 0.9 }, { prompt: randomIds(shape, 9, seed) }, { temperature: 2, seed, maxTokens: 45 }]) {
        const { tokens, finishReason } = await generate({ ...request, schema: json });
        const text = textOf(tokens);
        expect(schema.safeParse(JSON.parse(text)).error, text).toBeUndefined();
        expect(['stop', 'length']).toContain(finishReason);
        lengths.add(tokens.length);
      }
    }
    expect(lengths.size).toBeGreaterThan(5);
  });
});

describe('tokens that cross boundaries', () => {
  test('are used, and judged by all of their bytes', async () => {
    const used = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const { tokens } = await generate({ schema: JSON.stringify(z.toJSONSchema(vote)), temperature: 3, seed });
      for (const id of tokens) if (id >= 256 && id < END) used.add(CROSSING[id - 256] ?? '(half a character)');
    }
    // `1,"hint":null}` ends three values at once; `0, "hint` stops inside a key.
    expect([...used]).toEqual(expect.arrayContaining(['{"score": ', '1,"hint":null}', '0, "hint', '-1, "hint": "']));
  });

  test('a special token is never text, even where its spelling would be', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const { tokens } = await generate({ schema: '{"type":"string"}', temperature: 3, seed, maxTokens: 60 });
      expect([...tokens].indexOf(END)).toSatisfy((at: number) => at === -1 || at === tokens.length - 1);
    }
  });
});

test('a greedy output that conforms by itself is unchanged, to the bit', async () => {
  const wanted = '{ "score": -1,\n  "hint": "use the \\u00e9 logger" }\n';
  const target = [...Buffer.from(wanted), END];
  const adapter = await model.createAdapter({ rank: 16, alpha: 32, targets: TARGETS, seed: 1 });
  const ids = Int32Array.of(...prompt, ...target);
  const positions = Int32Array.from({ length: target.length }, (_, i) => prompt.length + i);
  for (let step = 0; step < 60; step++) {
    await model.forwardBackward(adapter, [{ ids, temperature: 1, ce: { positions } }], { clipLow: 0.2, clipHigh: 0.28, klBeta: 0, ceLambda: 1, spliceWeight: 0, pgWeight: 0, opdWeight: 0, divisor: { pg: 1, opd: 1, splice: 1, kl: 1, ce: 1 } });
    await model.optimStep(adapter, { lr: 0.02, beta1: 0.9, beta2: 0.98, eps: 1e-8, weightDecay: 0, clipNorm: 1 });
  }
  const free = await generate({ adapter });
  expect(textOf(free.tokens)).toBe(wanted);
  const bound = await generate({ adapter, schema: JSON.stringify(z.toJSONSchema(vote)) });
  expect([...bound.tokens]).toEqual([...free.tokens]);
  expect(maxDifference(bound.logprobs, free.logprobs)).toBe(0);
});

test('log-probs are those of the full softmax, so that they can be scored again', async () => {
  const made = await generate({ schema: JSON.stringify(z.toJSONSchema(vote)), temperature: 0.6, seed: 3 });
  const ids = Int32Array.of(...prompt, ...made.tokens);
  const scored = await model.score({ ids, positions: Int32Array.from(made.tokens, (_, i) => prompt.length + i), temperature: 0.6 });
  expect(maxDifference(made.logprobs, scored.logprobs)).toBe(0);
});

describe('what cannot be promised is refused, by name', () => {
  test.each([
    ['{"type":"string","pattern":"a+"}', 'SCHEMA_UNSUPPORTED', '`pattern`'],
    ['{"type":"object","properties":{"a":{"$ref":"#"}}}', 'SCHEMA_UNSUPPORTED', 'a part without type'],
    ['{"type":"object","additionalProperties":{"type":"string"}}', 'SCHEMA_UNSUPPORTED', 'additionalProperties'],
    ['{"type":"integer","minimum":7}', 'SCHEMA_UNSUPPORTED', 'a `minimum` other than 0 or 1'],
    ['{"type":"object","required":["a"]}', 'SCHEMA_INVALID', 'required names no property'],
    ['{"type"', 'SCHEMA_INVALID', 'The schema is wrong'],
    ['{"type":"string","minLength":200}', 'BAD_ARGUMENT', 'allow more tokens'],
  ])('%s', async (schema, code, sentence) => {
    await expect(generate({ schema })).rejects.toMatchObject({ code, message: expect.stringContaining(sentence) as string });
  });

  test('stop strings beside a schema', async () => {
    await expect(generate({ schema: '{"type":"null"}', stop: ['\n'] })).rejects.toThrow('leave the stop strings out');
  });
});
