// The ops split over a pool. One owner thread calls; nothing here is re-entrant, except that a
// caller between two calls may let another request use the same object (scratch holds no state
// across calls other than Rows::packed, see packRows).
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "kernels/cpu/arena.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pool.h"

namespace hindsight {

/// A frozen or LoRA weight [n,k] in panels of `panel` outputs. Today always fp32; the type is the
/// place where packed bf16 and int8 will live beside it.
struct PackedWeight {
  int n = 0, k = 0;
  Floats data;
  Floats bias;  // [n] padded to whole panels, or none
};
PackedWeight packWeight(const Ops& ops, const float* w, int n, int k);
void setBias(const Ops& ops, PackedWeight& weight, const float* bias);
/// Copies row `row` of the [n,k] weight out of its panels.
void unpackRow(const Ops& ops, const PackedWeight& weight, int row, float* out);

/// The LoRA pair of one linear layer: a packs A [r,K], b packs scale*B [N,r].
struct PackedLora {
  PackedWeight a, b;
};

/// Rows [rows, cols] of activations. `packed` is set by packRows and lives until the next packRows
/// of the same slot.
struct Rows {
  const float* data = nullptr;
  int rows = 0, cols = 0;
  const float* packed = nullptr;
};

class Math {
 public:
  Math(const Ops& ops, int threads) : ops_(ops), pool_(threads), scratch_(threads) {}
  const Ops& ops() const { return ops_; }
  int threads() const { return pool_.threads(); }

  /// Fills x.packed where the shape will want it. Slot 0: inputs and dY; slot 1: LoRA's inner rows.
  void packRows(Rows& x, int slot);
  /// y = residual + x W^T + bias + (x A^T)(scale B)^T. xa [rows, r] receives x A^T.
  void linear(Rows& x, const PackedWeight& w, const PackedLora* lora, float* xa, float* y,
              const float* residual);
  /// dx (+)= dy W + dxa A. dy must have been packed by packDy.
  void linearDx(const Rows& dy, const PackedWeight& w, const Rows* dxa, const PackedWeight* a,
                float* dx, bool add);
  void packDy(Rows& dy, int slot);
  /// out [r,N] += P^T Q with P [M,r], Q [M,N].
  void outer(const Rows& p, const Rows& q, float* out);

  void rmsnorm(const float* x, const float* weight, int rows, int n, float eps, float* out);
  void rmsnormBackward(const float* x, const float* weight, const float* dy, int rows, int n,
                       float eps, float* dx, bool add);
  void attention(const AttentionArgs& args);
  void attentionBackward(const AttentionBackwardArgs& args);
  void swiglu(const float* gate, const float* up, size_t n, float* out);
  void swigluBackward(const float* gate, const float* up, const float* dOut, size_t n, float* dGate,
                      float* dUp);
  /// Runs body(first, last, worker) over ranges of [0, count), at most `grain` long.
  template <class Body>
  void ranges(int count, int grain, const Body& body) {
    const int chunks = (count + grain - 1) / grain;
    pool_.run(chunks, [&](int i, int worker) {
      const int first = i * grain;
      body(first, first + grain < count ? first + grain : count, worker);
    });
  }

 private:
  void packAll(Rows& x, int slot);
  void reserve(size_t count);  // grows every worker's scratch before a loop

  const Ops& ops_;
  Pool pool_;
  std::vector<Scratch> scratch_;
  Scratch slots_[2];
};

}  // namespace hindsight
