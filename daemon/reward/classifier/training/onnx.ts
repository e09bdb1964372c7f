/**
 * Writes an ONNX model: the few protobuf messages of onnx.proto that a small graph needs.
 * Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 8).
 */

const VARINT = 0;
const BYTES = 2;
const FLOAT = 1;
const INT32 = 6;
const OPSET = 17;
const IR_VERSION = 8;

export interface Tensor {
  name: string;
  dims: number[];
  data: Float32Array;
}

export interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  /** Integer attributes only: the graphs here need no others. */
  attributes?: Record<string, number>;
}

/** A dimension is a size, or a name where it varies. */
export interface Value {
  name: string;
  type: 'float' | 'int32';
  dims: (number | string)[];
}

export interface Graph {
  name: string;
  nodes: Node[];
  weights: Tensor[];
  inputs: Value[];
  outputs: Value[];
  metadata: Record<string, string>;
}

export function encodeModel(graph: Graph): Uint8Array {
  return concat([
    varint(1, IR_VERSION),
    text(2, 'hindsight'),
    message(7, encodeGraph(graph)),
    message(8, [varint(2, OPSET)]),
    ...Object.entries(graph.metadata).map(([key, value]) => message(14, [text(1, key), text(2, value)])),
  ]);
}

function encodeGraph(graph: Graph): Uint8Array[] {
  return [
    ...graph.nodes.map((node) => message(1, encodeNode(node))),
    text(2, graph.name),
    ...graph.weights.map((tensor) => message(5, encodeTensor(tensor))),
    ...graph.inputs.map((value) => message(11, encodeValue(value))),
    ...graph.outputs.map((value) => message(12, encodeValue(value))),
  ];
}

function encodeNode(node: Node): Uint8Array[] {
  const attributes = Object.entries(node.attributes ?? {}).map(([name, value]) => message(5, [text(1, name), varint(3, value), varint(20, 2)]));
  return [...node.inputs.map((name) => text(1, name)), ...node.outputs.map((name) => text(2, name)), text(4, node.op), ...attributes];
}

function encodeTensor(tensor: Tensor): Uint8Array[] {
  const raw = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  return [...tensor.dims.map((dim) => varint(1, dim)), varint(2, FLOAT), text(8, tensor.name), bytes(9, raw)];
}

function encodeValue(value: Value): Uint8Array[] {
  const dims = value.dims.map((dim) => message(1, [typeof dim === 'number' ? varint(1, dim) : text(2, dim)]));
  const tensorType = [varint(1, value.type === 'float' ? FLOAT : INT32), message(2, dims)];
  return [text(1, value.name), message(2, [message(1, tensorType)])];
}

function message(field: number, parts: Uint8Array[]): Uint8Array {
  return bytes(field, concat(parts));
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value));
}

function bytes(field: number, value: Uint8Array): Uint8Array {
  return concat([number(field * 8 + BYTES), number(value.length), value]);
}

function varint(field: number, value: number): Uint8Array {
  return concat([number(field * 8 + VARINT), number(value)]);
}

/** Base-128, for whole numbers from 0 to 2^53. */
function number(value: number): Uint8Array {
  const out: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return Uint8Array.from(out);
}

function concat(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
