/** Every fast op against the plain one, on random shapes whose tails and heads do not fit. */
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { GEMM_BOUNDS } from '../bench/rates.ts';
import { loadNative } from '../index.ts';

/**
 * bf16 attention rounds its weights P and their gradients inside, and swigluBackward.bf16 its results, the reference too; a
 * difference in the last bit of fp32 can tip one such rounding: one unit of bf16, 2^-8 of a weight that is 1 at most.
 */
const bound = (op: string): number => (/^(attention\.bf16(\.d[qkv])?|swigluBackward\.bf16.*)$/.test(op) ? 2 ** -8 : 2e-5);

// These tests block their thread, all together for a minute where there are many instruction sets. The runner gives up
// on a thread that does not hear it for so long, so it is listened to between two.
beforeEach(() => setImmediate());

describe.each(loadNative().isas.filter((isa) => isa !== 'reference'))('%s', (isa) => {
  test('every op agrees with the reference on 80 random shapes', () => {
    const wrong = [];
    const ops = new Set<string>();
    for (let seed = 0; seed < 80; seed++) {
      for (const check of loadNative().selfTest(isa, seed)) {
        ops.add(check.op);
        if (!(check.error < bound(check.op))) wrong.push({ seed, ...check });
      }
    }
    expect(wrong).toEqual([]);
    expect([...ops].sort()).toEqual([
      'adamw', 'attention', 'attention.alone', 'attention.bf16', 'attention.bf16.alone', 'attention.bf16.dk', 'attention.bf16.dq', 'attention.bf16.dv', 'attention.bf16.lse', 'attention.dk', 'attention.dq', 'attention.dv', 'attention.lse', 'bf16', 'bf16Dx', 'bf16Outer', 'few bf16', 'few int8 x 16 bit', 'few int8 x bf16', 'int8', 'int8 x bf16', 'int8Dx', 'linear', 'linearDx', 'linearDxWide', 'linearSmall',
      'logSumExp', 'outer', 'rmsnorm', 'rmsnormBackward', 'rope', 'rowPanels', 'softmaxScaled', 'swiglu', 'swigluBackward.bf16.gate', 'swigluBackward.bf16.up', 'swigluBackward.gate', 'swigluBackward.up', 'toBf16', 'toBytes', 'toBytes.scale', 'unpackRow',
    ]);
  });

  test.each(['fp32', 'bf16', 'int8'] as const)('a %s product that is timed is right', (dtype) => {
    for (const [m, n, k, threads] of [[1, 70, 96, 2], [33, 200, 130, 2], [300, 64, 1100, 2], [520, 640, 96, 2], [600, 96, 512, 2], [40, 1100, 1650, 1], [150, 2600, 700, 1], [260, 1700, 200, 2], [200, 100, 3300, 2]] as const)
      expect(loadNative().gemmBench({ isa, dtype, m, n, k, threads, runs: 1 }).error).toBeLessThan(GEMM_BOUNDS[dtype]);
  });
});
