/** Every fast op against the plain one, on random shapes whose tails and heads do not fit. */
import { describe, expect, test } from 'vitest';
import { loadNative } from '../index.ts';

describe.each(loadNative().isas.filter((isa) => isa !== 'reference'))('%s', (isa) => {
  test('every op agrees with the reference on 80 random shapes', () => {
    const wrong = [];
    const ops = new Set<string>();
    for (let seed = 0; seed < 80; seed++) {
      for (const check of loadNative().selfTest(isa, seed)) {
        ops.add(check.op);
        if (!(check.error < 2e-5)) wrong.push({ seed, ...check });
      }
    }
    expect(wrong).toEqual([]);
    expect([...ops].sort()).toEqual([
      'adamw', 'attention', 'attention.lse', 'attentionBackward.dk', 'attentionBackward.dq', 'attentionBackward.dv', 'bf16', 'bf16Dx', 'int8', 'int8 x bf16', 'int8Dx', 'linear', 'linearDx', 'linearSmall',
      'logSumExp', 'outer', 'rmsnorm', 'rmsnormBackward', 'rope', 'softmaxScaled', 'swiglu', 'swigluBackward.gate', 'swigluBackward.up', 'toBytes', 'unpackRow',
    ]);
  });
});
