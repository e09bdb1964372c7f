/** Bad model folders end in one sentence with a code, never in a crash or in silence. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';
import type { NativeErrorCode } from '../index.ts';
import { store, writeTensors } from '../io/safetensors.ts';
import { configOf, noise, SMALL, temporaryFolder, tensorsOf, writeModel } from './models.ts';

async function refused(dir: string, code: NativeErrorCode, words = /./): Promise<void> {
  const model = await loadNative().load({ dir, threads: 1 }).then((loaded) => (loaded.close(), undefined), (error: unknown) => error as Error & { code: string });
  expect(model, `${dir} loaded`).toBeDefined();
  expect(model).toMatchObject({ code });
  expect(model?.message).toMatch(words);
  expect(model?.message).toMatch(/\.$/);
}

function header(text: string, data = 0, length = BigInt(Buffer.byteLength(text))): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length);
  return Buffer.concat([size, Buffer.from(text), Buffer.alloc(data)]);
}

describe('config.json', () => {
  const withConfig = (config: Record<string, unknown>): string => writeModel({ ...SMALL, config });

  test('missing folder, missing config, broken JSON', async () => {
    await refused('/nowhere/model', 'MODEL_MISSING', /does not exist/);
    await refused(temporaryFolder(), 'CONFIG_MISSING');
    const dir = writeModel(SMALL);
    for (const text of ['', '{', '[]', '{"a": 1,}', '{"a": 1} x', '{"model_type": "qwen3", "model_type": "llama"}', `${'['.repeat(5000)}`, '{"a": "\\x"}', '{"a": 01}']) {
      writeFileSync(join(dir, 'config.json'), text);
      await refused(dir, 'CONFIG_INVALID');
    }
  });
  test.each([[{ model_type: 'gpt2' }], [{ model_type: 'mistral' }], [{ model_type: null }]])('architecture %o', (config) => refused(withConfig(config), 'ARCHITECTURE_UNSUPPORTED', /llama, qwen2 or qwen3/));
  test.each([
    [{ hidden_act: 'gelu' }], [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }], [{ rope_scaling: { type: 'linear', factor: 2 } }],
    [{ use_sliding_window: true, sliding_window: 64, max_window_layers: 0 }], [{ layer_types: ['full_attention', 'sliding_attention'] }],
    [{ quantization_config: { bits: 4 } }], [{ partial_rotary_factor: 0.5 }], [{ head_dim: 15 }],
  ])('unsupported %o', (config) => refused(withConfig(config), 'CONFIG_UNSUPPORTED', /not supported/));
  test.each([[{ hidden_size: 0 }], [{ hidden_size: -4 }], [{ vocab_size: '211' }], [{ num_key_value_heads: 3 }], [{ num_hidden_layers: 1.5 }], [{ intermediate_size: 1e12 }], [{ num_attention_heads: null }], [{ rms_norm_eps: -1 }], [{ rope_theta: 0 }]])('invalid %o', (config) =>
    refused(withConfig(config), 'CONFIG_INVALID'));
  test('a sliding window that is switched off is no window', async () => {
    const model = await loadNative().load({ dir: withConfig({ use_sliding_window: false, sliding_window: 64, max_window_layers: 0 }), threads: 1 });
    model.close();
  });
});

describe('safetensors', () => {
  const withFile = (content: Buffer): string => {
    const dir = writeModel(SMALL);
    writeFileSync(join(dir, 'model.safetensors'), content);
    return dir;
  };

  test('missing weights and shards', async () => {
    const dir = writeModel(SMALL);
    rmSync(join(dir, 'model.safetensors'));
    await refused(dir, 'WEIGHTS_MISSING');
    const sharded = writeModel({ ...SMALL, shards: 2 });
    rmSync(join(sharded, 'model-1.safetensors'));
    await refused(sharded, 'WEIGHTS_MISSING', /model-1/);
    writeFileSync(join(sharded, 'model.safetensors.index.json'), '{"weight_map": {"a": "../../etc/passwd"}}');
    await refused(sharded, 'INDEX_INVALID');
    writeFileSync(join(sharded, 'model.safetensors.index.json'), '{}');
    await refused(sharded, 'INDEX_INVALID');
  });
  test.each([
    ['empty file', Buffer.alloc(0), 'SAFETENSORS_CORRUPT'],
    ['half a length', Buffer.alloc(5), 'SAFETENSORS_CORRUPT'],
    ['enormous header', header('{}', 0, 2n ** 63n), 'SAFETENSORS_CORRUPT'],
    ['header beyond the end', header('{}', 0, 90n), 'FILE_TRUNCATED'],
    ['broken JSON', header('{"a": '), 'SAFETENSORS_CORRUPT'],
    ['no object', header('[1]'), 'SAFETENSORS_CORRUPT'],
    ['offsets beyond the end', header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', 8), 'FILE_TRUNCATED'],
    ['offsets against the shape', header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}}', 16), 'SAFETENSORS_CORRUPT'],
    ['offsets backwards', header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}', 16), 'SAFETENSORS_CORRUPT'],
    ['negative offsets', header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}', 16), 'SAFETENSORS_CORRUPT'],
    ['overlap', header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}', 24), 'SAFETENSORS_CORRUPT'],
    ['overflowing shape', header('{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}', 16), 'SAFETENSORS_CORRUPT'],
    ['unknown dtype', header('{"a":{"dtype":"Q4","shape":[4],"data_offsets":[0,2]}}', 16), 'SAFETENSORS_CORRUPT'],
    ['twice the same tensor', header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), 'SAFETENSORS_CORRUPT'],
    ['no tensors', header('{}'), 'TENSOR_MISSING'],
  ] as const)('%s', (_, content, code) => refused(withFile(content), code));
  test('cut at any length, it never crashes', async () => {
    const dir = writeModel(SMALL);
    const whole = readFileSync(join(dir, 'model.safetensors'));
    const next = noise(8);
    for (let i = 0; i < 25; i++) {
      writeFileSync(join(dir, 'model.safetensors'), whole.subarray(0, Math.floor(((next() + 1) / 2) ** 3 * whole.length)));
      await expect(loadNative().load({ dir, threads: 1 })).rejects.toMatchObject({ code: expect.stringMatching(/FILE_TRUNCATED|SAFETENSORS_CORRUPT/) as string });
    }
  });
  test('any byte of the header flipped, it loads or refuses with a code', async () => {
    const dir = writeModel({ ...SMALL, layers: 1 });
    writeFileSync(join(dir, 'config.json'), JSON.stringify(configOf({ ...SMALL, layers: 1 })));
    const whole = readFileSync(join(dir, 'model.safetensors'));
    const next = noise(9);
    for (let i = 0; i < 120; i++) {
      const bad = Buffer.from(whole);
      bad[Math.floor(((next() + 1) / 2) * 1500)] = Math.floor((next() + 1) * 128);
      writeFileSync(join(dir, 'model.safetensors'), bad);
      await loadNative().load({ dir, threads: 1 }).then((model) => model.close(), (error: unknown) => expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) as string }));
    }
  });
  test('integer weights, wrong shapes, missing tensors', async () => {
    const dir = writeModel(SMALL);
    const tensors = tensorsOf(SMALL);
    const name = 'model.layers.1.mlp.down_proj.weight';
    tensors.set(name, store(new Float32Array(48 * 80), [48, 80], 'I32'));
    writeTensors(join(dir, 'model.safetensors'), tensors);
    await refused(dir, 'DTYPE_UNSUPPORTED', /down_proj.*I32/);
    tensors.set(name, store(new Float32Array(48 * 80), [80, 48]));
    writeTensors(join(dir, 'model.safetensors'), tensors);
    await refused(dir, 'SHAPE_MISMATCH', /\[80, 48\].*\[48, 80\]/);
    tensors.delete(name);
    writeTensors(join(dir, 'model.safetensors'), tensors);
    await refused(dir, 'TENSOR_MISSING', /down_proj/);
  });
  test('a bias that the configuration does not announce', async () => {
    const dir = writeModel(SMALL);
    const tensors = tensorsOf(SMALL);
    tensors.set('model.layers.0.self_attn.q_proj.bias', store(new Float32Array(64), [64]));
    writeTensors(join(dir, 'model.safetensors'), tensors);
    await refused(dir, 'CONFIG_UNSUPPORTED', /bias/);
  });
  test('a folder in the place of the file', async () => {
    const dir = writeModel(SMALL);
    rmSync(join(dir, 'model.safetensors'));
    mkdirSync(join(dir, 'model.safetensors'));
    await refused(dir, 'WEIGHTS_MISSING');
  });
});

test('what is not built yet is refused by name', async () => {
  const dir = writeModel(SMALL);
  await expect(loadNative().load({ dir, dtype: 'int4' as 'int8' })).rejects.toMatchObject({ code: 'DTYPE_UNSUPPORTED' });
  await expect(loadNative().load({ dir, isa: 'neon' as 'avx2' })).rejects.toMatchObject({ code: 'ISA_UNAVAILABLE' });
  await expect(loadNative().load({ dir, threads: 0 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  await expect(loadNative().load({} as { dir: string })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
});
