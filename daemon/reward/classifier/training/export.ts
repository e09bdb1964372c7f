/** The trained regression as an ONNX graph: ids and values of one text in, calibrated probabilities out. */
import { BUCKETS, FEATURE_VERSION } from '../features.ts';
import { POLARITIES, type Kind } from '../corpus/record.ts';
import { encodeModel } from './onnx.ts';
import { CLASSES, type Regression } from './regression.ts';

/** Row of each kind's temperature. */
export const KINDS: readonly Kind[] = ['terminal', 'message'];

/** Inputs: `ids` int32 [n], `values` float [1, n], `kind` int32 [1]. Output: `probabilities` float [1, 3]. */
export function exportModel(model: Regression, temperatures: Record<Kind, number>): Uint8Array {
  return encodeModel({
    name: 'polarity',
    nodes: [
      { op: 'Gather', inputs: ['table', 'ids'], outputs: ['rows'] },
      { op: 'MatMul', inputs: ['values', 'rows'], outputs: ['sum'] },
      { op: 'Add', inputs: ['sum', 'bias'], outputs: ['logits'] },
      { op: 'Gather', inputs: ['temperatures', 'kind'], outputs: ['temperature'] },
      { op: 'Div', inputs: ['logits', 'temperature'], outputs: ['scaled'] },
      { op: 'Softmax', inputs: ['scaled'], outputs: ['probabilities'], attributes: { axis: 1 } },
    ],
    weights: [
      { name: 'table', dims: [BUCKETS, CLASSES], data: model.table },
      { name: 'bias', dims: [CLASSES], data: model.bias },
      { name: 'temperatures', dims: [KINDS.length], data: Float32Array.from(KINDS, (kind) => temperatures[kind]) },
    ],
    inputs: [
      { name: 'ids', type: 'int32', dims: ['n'] },
      { name: 'values', type: 'float', dims: [1, 'n'] },
      { name: 'kind', type: 'int32', dims: [1] },
    ],
    outputs: [{ name: 'probabilities', type: 'float', dims: [1, CLASSES] }],
    metadata: { features: String(FEATURE_VERSION), classes: POLARITIES.join(','), kinds: KINDS.join(',') },
  });
}
