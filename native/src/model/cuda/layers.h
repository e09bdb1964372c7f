// One decoder layer on the device, forward and backward: the device counterpart of model/forward.cpp and
// model/backward.cpp, over rows of several packed sequences. T: bf16, or fp32 for parity.
//
//   x1 = norm(h); q,k,v = x1 W^T (+ LoRA, + bias); q,k = rope(norm_qk(q,k)); a = attention(q,k,v)
//   m = h + a Wo^T; x2 = norm(m); h' = m + (silu(x2 Wg^T) * (x2 Wu^T)) Wd^T
#pragma once
#include "kernels/cuda/attention.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/rows.h"
#include "model/cuda/layout.h"

namespace hindsight {
namespace cuda {

/// The rows of one pass: whose they are, and where their keys and values lie.
struct Batch {
  int rows = 0, tileCount = 0;
  const int *tokens = nullptr, *positions = nullptr, *segmentOfRow = nullptr;
  const Segment* segments = nullptr;
  const AttentionTile* tiles = nullptr;
  const int* table = nullptr;  // pages, or null in training
};

/// LoRA of a pass: one adapter for all rows, or in decode a table of one for each.
template <class T>
struct PassLora {
  const T* packed = nullptr;  // of the one adapter
  const LoraLayout* layout = nullptr;
  const void* const* pointers = nullptr;  // ServeBuffers::loraPointers
  const int* widths = nullptr;
  int stride = 0, rank = 0;

  bool any() const { return packed != nullptr || pointers != nullptr; }
};

/// Buffers of a pass beside those a training layer keeps.
struct PassBuffers {
  void *x = nullptr, *qk = nullptr, *act = nullptr;
  float *slices = nullptr, *partial = nullptr;
};

/// Gradients of a group that have to reach the adapter's flat buffer.
struct GradientTarget {
  float* flat = nullptr;
  const LoraPiece* pieces = nullptr;                 // all of the adapter's
  std::vector<std::pair<int, int>> ranges;           // [layer * kGroupCount + group]: first piece, count
  int largest = 0;
};

template <class T>
class Layers {
 public:
  Layers(const ModelConfig& config, const DeviceWeights& weights, int multiprocessors) : config_(config), weights_(weights), multiprocessors_(multiprocessors) {}

  /// hOut = the layer applied to b.hIn. With `pages` (this layer's keys in page 0) keys and values go
  /// there and come from there; decode: one row a sequence, `splits` parts.
  void forward(const Stream& stream, int layer, const Batch& batch, const LayerBuffers& b, const PassBuffers& p, const PassLora<T>& lora, T* pages, long pageStride, int splits, float* hOut) const;
  /// t.dh becomes the gradient of the layer's input (except below layer 0); adds to `to`.
  void backward(const Stream& stream, int layer, const Batch& batch, const LayerBuffers& b, const TrainBuffers& t, const T* packed, const LoraLayout& layout, const GradientTarget& to) const;
  /// logits [rows][padded vocab] of normed rows x; decode reads the weights once for its few rows.
  enum class Pass { Decode, Rows };
  void head(const Stream& stream, Pass pass, int rows, const T* x, float* logits) const;
  /// dX [rows][hidden] from dLogits.
  void headBackward(const Stream& stream, int rows, const T* dLogits, T* dX) const;

 private:
  void linear(const Stream& stream, int layer, int group, int rows, const T* x, T* xa, const PassBuffers& p, const PassLora<T>& lora, void* y, bool floats, const float* residual) const;
  /// dA, dB of a group, and dX where wanted.
  void groupBackward(const Stream& stream, int layer, int group, int rows, const T* dy, const T* x, const T* xa, const TrainBuffers& t, const T* packed, const LoraLayout& layout, const GradientTarget& to, T* dx) const;
  void slicedProduct(const Stream& stream, Product product, int m, int n, int k, const T* x, long ldx, const T* w, long ldw, float* slices, T* y) const;
  void outerProduct(const Stream& stream, int p, int q, int rows, const T* a, const T* b, float* slices, float* out) const;
  AttentionArgs attentionArgs(const Batch& batch, const LayerBuffers& b, void* qk) const;
  RopeArgs ropeArgs(int layer, const Batch& batch, const LayerBuffers& b, void* out, long ldOut) const;

  const ModelConfig& config_;
  const DeviceWeights& weights_;
  int multiprocessors_;
};

}  // namespace cuda
}  // namespace hindsight
