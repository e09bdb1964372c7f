import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeModel } from './onnx.ts';

describe('encodeModel', () => {
  it('writes a graph that the runtime loads and runs', async () => {
    const bytes = encodeModel({
      name: 'tiny',
      nodes: [
        { op: 'Gather', inputs: ['table', 'ids'], outputs: ['rows'] },
        { op: 'MatMul', inputs: ['values', 'rows'], outputs: ['sum'] },
        { op: 'Softmax', inputs: ['sum'], outputs: ['out'], attributes: { axis: 1 } },
      ],
      weights: [{ name: 'table', dims: [300, 2], data: Float32Array.from({ length: 600 }, (_, i) => i / 600) }],
      inputs: [{ name: 'ids', type: 'int32', dims: ['n'] }, { name: 'values', type: 'float', dims: [1, 'n'] }],
      outputs: [{ name: 'out', type: 'float', dims: [1, 2] }],
      metadata: { version: '1' },
    });
    const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
    const answer = await session.run({ ids: new Tensor('int32', Int32Array.of(0, 299), [2]), values: new Tensor('float32', Float32Array.of(1, 2), [1, 2]) });
    // rows [0, 1/600] and [598/600, 599/600] with weights 1 and 2: the second column is 3/600 larger.
    const [first = NaN, second = NaN] = answer['out']?.data as Float32Array;
    expect(Math.log(second / first)).toBeCloseTo(3 / 600, 5);
    await session.release();
  });
});
