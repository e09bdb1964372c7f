// The shapes of a model on the device and every buffer it needs, laid out by one function each that runs
// twice: over a counter, for the memory plan, and over the device's memory. So the plan cannot be wrong.
#pragma once
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/formats.h"
#include "kernels/cuda/head.h"
#include "model/config.h"

namespace hindsight {
namespace cuda {

/// Linears that read the same rows, as model/weights.h: q, k, v; o; gate, up; down.
enum Group { kQkv, kO, kGateUp, kDown, kGroupCount };
constexpr int kGroupTargets[kGroupCount] = {3, 1, 2, 1};

struct GroupShape {
  int n, k;
};
inline GroupShape groupShape(const ModelConfig& c, int group) {
  switch (group) {
    case kQkv: return {c.qWidth() + 2 * c.kvWidth(), c.hidden};
    case kO: return {c.hidden, c.qWidth()};
    case kGateUp: return {2 * c.intermediate, c.hidden};
    default: return {c.hidden, c.intermediate};
  }
}
/// Width of a group's x A^T.
inline int loraWidth(int group, int rank) { return (kGroupTargets[group] * rank + 31) / 32 * 32; }
inline int widestLora(int rank) { return loraWidth(kQkv, rank); }
inline int paddedVocab(const ModelConfig& c) { return (c.vocab + 7) / 8 * 8; }

/// Counts what a DeviceArena would hand out.
class ByteCounter {
 public:
  template <class T>
  T* take(size_t count) {
    bytes_ += (count * sizeof(T) + 255) / 256 * 256;
    return nullptr;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

/// A DeviceArena or ByteCounter that hands out elements of T, which the code here need not name.
template <class Arena>
void* takeElements(Arena& arena, size_t count, size_t elementBytes) { return arena.template take<unsigned char>(count * elementBytes); }

/// Sizes that decide the buffers.
struct Extent {
  int trainRows = 0, headRows = 0, rank = 0, prefillRows = 0, keptRows = 0, decodeRows = 0, multiprocessors = 0;
  size_t element = 2;  // bytes of T
  bool checkpoint = false;
  int splits = 1;  // parts of decode's attention
};

/// What a layer leaves for its backward pass. Norms, rotation and silu are computed again.
struct LayerBuffers {
  float *hIn = nullptr, *hMid = nullptr, *lse = nullptr;
  void *qkv = nullptr, *attn = nullptr, *both = nullptr, *xa[kGroupCount] = {};
};

struct TrainBuffers {
  std::vector<LayerBuffers> layers;  // checkpointing: all share one, but for hIn
  float *hidden, *dh, *delta, *slices, *packedGradient, *logits;
  void *dhT, *x, *qk, *act, *dqkv, *dAttn, *dx, *dxa, *dLogits, *headX;
  int *tokens, *positions, *segmentOfRow, *labelled;
  Segment* segments;
  AttentionTile* tiles;
  LossRow* lossRows;
  LossRowResult* results;
};

/// Floats of the slices of a split product (gemm.h, splitsFor).
inline size_t sliceFloats(int multiprocessors) { return static_cast<size_t>(4) * multiprocessors * 64 * 64; }
/// Elements of a group's packed A and B.
inline size_t packedElements(const ModelConfig& c, int group, int rank) {
  const GroupShape s = groupShape(c, group);
  return static_cast<size_t>(loraWidth(group, rank)) * (s.n + s.k);
}

template <class Arena>
LayerBuffers layLayer(Arena& arena, const ModelConfig& c, const Extent& e) {
  const size_t m = e.trainRows;
  LayerBuffers b;
  b.hMid = arena.template take<float>(m * c.hidden);
  b.lse = arena.template take<float>(m * c.heads);
  b.qkv = takeElements(arena, m * groupShape(c, kQkv).n, e.element);
  b.attn = takeElements(arena, m * c.qWidth(), e.element);
  b.both = takeElements(arena, m * 2 * c.intermediate, e.element);
  for (int g = 0; g < kGroupCount; ++g) b.xa[g] = takeElements(arena, m * loraWidth(g, e.rank), e.element);
  return b;
}

template <class Arena>
TrainBuffers layTraining(Arena& arena, const ModelConfig& c, const Extent& e) {
  const size_t m = e.trainRows, h = e.headRows;
  TrainBuffers b;
  LayerBuffers shared;
  if (e.checkpoint) shared = layLayer(arena, c, e);
  for (int i = 0; i < c.layers; ++i) {
    b.layers.push_back(e.checkpoint ? shared : layLayer(arena, c, e));
    b.layers.back().hIn = arena.template take<float>(m * c.hidden);
  }
  b.hidden = arena.template take<float>(m * c.hidden);
  b.dh = arena.template take<float>(m * c.hidden);
  b.delta = arena.template take<float>(m * c.heads);
  b.slices = arena.template take<float>(sliceFloats(e.multiprocessors));
  size_t packed = 0;
  for (int g = 0; g < kGroupCount; ++g) packed = packedElements(c, g, e.rank) > packed ? packedElements(c, g, e.rank) : packed;
  b.packedGradient = arena.template take<float>(packed);
  b.logits = arena.template take<float>(h * paddedVocab(c));
  b.dLogits = takeElements(arena, h * paddedVocab(c), e.element);
  b.headX = takeElements(arena, h * c.hidden, e.element);
  b.dhT = takeElements(arena, m * c.hidden, e.element);
  b.x = takeElements(arena, m * c.hidden, e.element);
  b.qk = takeElements(arena, m * (c.qWidth() + c.kvWidth()), e.element);
  b.act = takeElements(arena, m * c.intermediate, e.element);
  b.dqkv = takeElements(arena, m * groupShape(c, kQkv).n, e.element);
  b.dAttn = takeElements(arena, m * c.qWidth(), e.element);
  b.dx = takeElements(arena, m * c.hidden, e.element);
  b.dxa = takeElements(arena, m * widestLora(e.rank), e.element);
  b.tokens = arena.template take<int>(m);
  b.positions = arena.template take<int>(m);
  b.segmentOfRow = arena.template take<int>(m);
  b.labelled = arena.template take<int>(m);
  b.segments = arena.template take<Segment>(m);
  b.tiles = arena.template take<AttentionTile>(m + 16);
  b.lossRows = arena.template take<LossRow>(m);
  b.results = arena.template take<LossRowResult>(m);
  return b;
}

struct ServeBuffers {
  float *h[2], *logits, *slices, *partial, *logprobs, *topLogprobs;
  void *kept, *x, *qkv, *qk, *attn, *both, *act, *xa;  // kept: normed rows
  int *tokens, *positions, *segmentOfRow, *table, *scoreTokens, *topIds, *next, *keepIndex;
  Segment* segments;
  AttentionTile* tiles;
  SampleRow* how;
  const void** loraPointers;  // [layers][groups][2][decodeRows]
  int* loraWidths;            // [groups][decodeRows]
};
/// Most log-probs and top ids of one score() call's rows.
constexpr int kScoreEach = 64;

template <class Arena>
ServeBuffers layServing(Arena& arena, const ModelConfig& c, const Extent& e) {
  const size_t m = e.prefillRows, d = e.decodeRows, k = e.keptRows;
  ServeBuffers b;
  for (float*& h : b.h) h = arena.template take<float>(m * c.hidden);
  b.kept = takeElements(arena, k * c.hidden, e.element);
  b.logits = arena.template take<float>(static_cast<size_t>(e.headRows) * paddedVocab(c));
  b.slices = arena.template take<float>(sliceFloats(e.multiprocessors));
  b.partial = arena.template take<float>(d * c.heads * e.splits * (c.headDim + 2));
  b.logprobs = arena.template take<float>(static_cast<size_t>(e.headRows) * kScoreEach);
  b.topLogprobs = arena.template take<float>(static_cast<size_t>(e.headRows) * kScoreEach);
  b.x = takeElements(arena, m * c.hidden, e.element);
  b.qkv = takeElements(arena, m * groupShape(c, kQkv).n, e.element);
  b.qk = takeElements(arena, m * (c.qWidth() + c.kvWidth()), e.element);
  b.attn = takeElements(arena, m * c.qWidth(), e.element);
  b.both = takeElements(arena, m * 2 * c.intermediate, e.element);
  b.act = takeElements(arena, m * c.intermediate, e.element);
  b.xa = takeElements(arena, m * widestLora(e.rank), e.element);
  b.tokens = arena.template take<int>(m);
  b.positions = arena.template take<int>(m);
  b.segmentOfRow = arena.template take<int>(m);
  b.table = arena.template take<int>(d * static_cast<size_t>((c.maxPositions + kPageTokens - 1) / kPageTokens));
  b.scoreTokens = arena.template take<int>(static_cast<size_t>(e.headRows) * kScoreEach);
  b.topIds = arena.template take<int>(static_cast<size_t>(e.headRows) * kScoreEach);
  b.next = arena.template take<int>(d);
  b.keepIndex = arena.template take<int>(m > k ? m : k);
  b.segments = arena.template take<Segment>(m);
  b.tiles = arena.template take<AttentionTile>(m);
  b.how = arena.template take<SampleRow>(d);
  b.loraPointers = arena.template take<const void*>(static_cast<size_t>(c.layers) * kGroupCount * 2 * d);
  b.loraWidths = arena.template take<int>(kGroupCount * d);
  return b;
}

/// The frozen weights.
struct DeviceLayer {
  Weight group[kGroupCount];
  float *inputNorm = nullptr, *postNorm = nullptr, *qNorm = nullptr, *kNorm = nullptr;
};
struct DeviceWeights {
  Weight embedding, head;  // tied: the same
  float *finalNorm = nullptr, *cosine = nullptr, *sine = nullptr;
  std::vector<DeviceLayer> layers;
};

template <class Arena>
Weight layWeight(Arena& arena, Format format, int n, int k, bool bias) {
  Weight w;
  w.format = format;
  w.n = n;
  w.k = k;
  w.data = arena.template take<unsigned char>(n * rowPitch(format, k));
  const int scales = scalesPerRow(format, k);
  if (scales) w.scale = arena.template take<float>(static_cast<size_t>(n) * scales);
  if (bias) w.bias = arena.template take<float>(n);
  return w;
}
template <class Arena>
DeviceWeights layWeights(Arena& arena, const ModelConfig& c, Format linears, Format head) {
  DeviceWeights w;
  w.head = layWeight(arena, head, c.vocab, c.hidden, false);
  w.embedding = c.tiedHead ? w.head : layWeight(arena, head, c.vocab, c.hidden, false);
  w.finalNorm = arena.template take<float>(c.hidden);
  w.cosine = arena.template take<float>(static_cast<size_t>(c.maxPositions) * (c.headDim / 2));
  w.sine = arena.template take<float>(static_cast<size_t>(c.maxPositions) * (c.headDim / 2));
  const bool bias[kGroupCount] = {c.attentionBias, c.outputBias, c.mlpBias, c.mlpBias};
  for (int i = 0; i < c.layers; ++i) {
    DeviceLayer layer;
    for (int g = 0; g < kGroupCount; ++g) layer.group[g] = layWeight(arena, linears, groupShape(c, g).n, groupShape(c, g).k, bias[g]);
    layer.inputNorm = arena.template take<float>(c.hidden);
    layer.postNorm = arena.template take<float>(c.hidden);
    if (c.qkNorm) {
      layer.qNorm = arena.template take<float>(c.headDim);
      layer.kNorm = arena.template take<float>(c.headDim);
    }
    w.layers.push_back(layer);
  }
  return w;
}

/// Where a group's A and B lie in an adapter's packed buffer, in elements.
struct LoraLayout {
  int rank = 0;
  size_t layer = 0;  // elements from layer to layer
  size_t a[kGroupCount], b[kGroupCount];

  LoraLayout(const ModelConfig& c, int r) : rank(r) {
    for (int g = 0; g < kGroupCount; ++g) {
      a[g] = layer;
      b[g] = layer + static_cast<size_t>(loraWidth(g, r)) * groupShape(c, g).k;
      layer += packedElements(c, g, r);
    }
  }
};
/// Parameters of an adapter of this rank on all linears.
inline size_t loraParameters(const ModelConfig& c, int rank) {
  const size_t q = c.qWidth(), kv = c.kvWidth(), h = c.hidden, i = c.intermediate;
  return c.layers * static_cast<size_t>(rank) * ((h + q) + 2 * (h + kv) + (q + h) + 2 * (h + i) + (i + h));
}

}  // namespace cuda
}  // namespace hindsight
