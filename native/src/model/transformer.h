// The decoder of Llama, Qwen2 and Qwen3: forward for serving and training, backward for LoRA.
// Hand-written layer by layer; nothing records a graph. Frozen weights get no gradient: the
// backward pass computes dX through them and dA, dB of the adapter.
//
// One layer, rows M:
//   x1 = norm(h); q,k,v = x1 W^T (+ LoRA, + bias); q,k = rope(norm_qk(q,k)); a = attention(q,k,v)
//   m = h + a Wo^T; x2 = norm(m); h' = m + (silu(x2 Wg^T) * (x2 Wu^T)) Wd^T
#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <vector>

#include "kernels/cpu/math.h"
#include "model/adapter.h"
#include "model/pages.h"
#include "model/weights.h"

namespace hindsight {

/// What one layer leaves for its backward pass: outputs of the linears; norms, rope and silu are
/// computed again, which costs 2 % of the time and saves most of the memory.
struct LayerState {
  float *hIn, *q, *k, *v, *attn, *lse, *hMid, *gate, *up;
  float* xa[kGroups];  // x A^T of the stacked A
};

/// What one layer needs while it runs.
struct LayerScratch {
  float *x, *q, *k, *act;
};

/// Rows [first, first + rows) of a pass that are one sequence's from position `start` on, and where a layer keeps their
/// keys and values. The places of a pass cover its rows in order.
struct Place {
  float* const* pages;
  size_t keyOffset, valueOffset;
  int start, first, rows;
};

/// A checkpointed layer keeps its input alone: the others of its pointers are null, and `again` is what its forward
/// pass is repeated in.
struct TrainState {
  int rows = 0;  // of all sequences
  std::vector<Place> places;
  std::vector<LayerState> layers;
  LayerState again{};
  float* dropped = nullptr;  // [S,H], output of a repeated layer
  LayerScratch scratch{};
  std::vector<float*> pages;
  float* hidden = nullptr;  // [S,H] after the last layer, before the final norm
};

/// The next rows of one sequence in a pass over several.
struct Slice {
  const int32_t* tokens;
  int rows;
  KvSequence* kv;
  Adapter* adapter;  // null: base model
};

class Transformer {
 public:
  Transformer(const ModelConfig& config, const Weights& weights, Math& math)
      : config_(config), weights_(weights), math_(math), layout_(config, weights.dtype) {}

  /// Tokens at positions start.. of a sequence whose earlier keys and values lie in `kv`; writes
  /// theirs and the hidden states [rows,H]. @throws Cancelled between layers.
  void forward(const int32_t* tokens, int rows, KvSequence& kv, Adapter* adapter, const std::atomic<bool>* cancelled, float* hidden);

  /// The same for at most kFewRows rows of several sequences together.
  void decode(const std::vector<Slice>& slices, float* hidden);

  /// Whole sequences in one pass, kept for backward() in `arena`: of the first `checkpointed` layers the input alone.
  /// `pause` runs between layers.
  TrainState forwardTraining(const std::vector<const std::vector<int32_t>*>& sequences, Adapter& adapter, int checkpointed, Arena& arena, const std::function<void()>& pause);
  /// Floats that forwardTraining() takes for so many rows and sequences, and the most that backward() takes for a layer.
  size_t stateFloats(int rows, int sequences, const Adapter& adapter, int checkpointed) const;
  size_t backwardFloats(int rows, const Adapter& adapter) const;
  /// dHidden [S,H] is consumed. Adds to the adapter's gradients.
  void backward(const TrainState& state, Adapter& adapter, Arena& arena, float* dHidden, const std::function<void()>& pause);

  /// Final norm and head of gathered hidden rows: x [rows,H] normed, logits [rows,V].
  void head(const float* hidden, int rows, float* x, float* logits);
  /// The same of at most kFewRows rows, for serving.
  void headOfFew(const float* hidden, int rows, float* x, float* logits);
  /// dHidden [rows,H] of gathered rows from dLogits [rows,V], which may be in bf16 alone.
  void headBackward(const float* hidden, Rows dLogits, float* dX, float* dHidden);

  const ModelConfig& config() const { return config_; }
  const PageLayout& layout() const { return layout_; }
  Math& math() { return math_; }
  Dtype dtype() const { return weights_.dtype; }
  Dtype headDtype() const { return weights_.head.dtype; }

 private:
  /// In what products read the rows that they alone read. LoRA's are bf16 where the base's are bytes.
  Forms rowForms(bool lora) const {
    const bool bytes = weights_.dtype == Dtype::Int8 && math_.byteActivations();
    return {weights_.dtype != Dtype::Fp32 && (!bytes || lora), bytes};
  }
  void embed(const int32_t* tokens, int rows, float* out);
  void layerForward(int layer, int rows, const std::vector<Place>& places, Adapter* adapter, LayerState& s, const LayerScratch& t, float* hOut);
  void layerBackward(int layer, const TrainState& state, Adapter& adapter, const LayerState& s, Arena& arena, float* dH);
  LayerState repeated(int layer, const TrainState& state, Adapter& adapter);
  struct Term {  // one linear's part of a group's backward pass
    int target;
    Rows dy;
  };
  void groupBackward(int layer, std::initializer_list<Term> terms, const Rows& x, const float* xa, Adapter& adapter, Arena& arena, float* dx, bool add);
  /// Runs body(place, first, last) over stretches of rows of the pass, each of one place.
  template <class Body>
  void eachStretch(const std::vector<Place>& places, const Body& body) {
    const int rows = places.back().first + places.back().rows;
    const auto part = [&](int first, int last, int) {
      for (const Place& place : places) {
        const int from = std::max(first, place.first), to = std::min(last, place.first + place.rows);
        if (from < to) body(place, from, to);
      }
    };
    if (rows < 64) part(0, rows, 0);
    else math_.ranges(rows, 64, part);
  }
  void normRope(const float* in, const float* weight, const std::vector<Place>& places, int heads, float* out);
  void addCopies(const std::vector<AttentionBackwardArgs>& sequences, const std::vector<Place>& places, float* copies);
  void normRopeBackward(const float* in, const float* weight, const std::vector<Place>& places, int heads, float* d);
  void attend(const std::vector<Place>& places, const float* q, float* out, float* lse);
  void storeKv(const float* k, const float* v, const std::vector<Place>& places);
  LayerState takeState(int rows, Adapter* adapter, Arena& arena, bool training);
  size_t layerFloats(int rows, const Adapter& adapter) const;
  LayerScratch takeScratch(int rows, Arena& arena, bool training);
  void ensureRope(int positions);

  const ModelConfig& config_;
  const Weights& weights_;
  Math& math_;
  PageLayout layout_;
  Arena serveArena_;
  int ropePositions_ = 0;
  std::vector<float> cosine_, sine_;  // [positions][D/2]
};

}  // namespace hindsight
