// The ops split over a pool. One owner thread calls; nothing here is re-entrant, except that a
// caller between two calls may let another request use the same object (scratch holds no state
// across calls other than Rows::packed, see packRows).
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cpu/arena.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pool.h"

namespace hindsight {

/// A frozen or LoRA weight [n,k]: fp32 in panels of the instruction set, bf16 and int8 in narrow.h's.
struct PackedWeight {
  int n = 0, k = 0;
  Dtype dtype = Dtype::Fp32;
  Floats data;   // of the dtype's own bytes
  Floats scale;  // int8: [n] padded to panels
  std::vector<int32_t> offset;
  Floats bias;  // [n] padded to whole panels, or none
};
/// @param home  where its bytes go, which outlives it; null: memory of its own. fp32 and bf16 only.
PackedWeight packWeight(const Ops& ops, const float* w, int n, int k, Dtype dtype = Dtype::Fp32, Arena* home = nullptr);
void setBias(const Ops& ops, PackedWeight& weight, const float* bias);
/// Copies row `row` of the [n,k] weight out of its panels.
void unpackRow(const Ops& ops, const PackedWeight& weight, int row, float* out);

/// LoRA of the linears that read the same rows: their A stacked, [width,K]; target i's r rows start
/// at its offset, a multiple of 4, and rows between are zero. Transposed [K,width] for bf16's dX.
struct PackedGroup {
  int width = 0;
  PackedWeight a, aTransposed;
};
/// scale*B [N,r] of one linear, bf16 also as [r,N].
struct PackedLora {
  int offset = 0;  // of its rows in the group
  PackedWeight b, bTransposed;
};

/// Rows [rows, cols] of activations, `ld` floats apart (0: cols). The converted forms are made when
/// a weight first wants them and live until their slot is used again.
struct Rows {
  const float* data = nullptr;
  int rows = 0, cols = 0;
  const float* packed = nullptr;   // fp32 row blocks
  const float* columns = nullptr;  // fp32 blocks of panels of rows, for linearDxWide()
  const uint16_t* half = nullptr;  // bf16
  const uint8_t* bytes = nullptr;  // int8, with byteScale
  const float* byteScale = nullptr;
  long ld = 0;
  long halfLd = 0;  // of `half`; 0: padded4(cols)

  long halfStride() const { return halfLd ? halfLd : padded4(cols); }
  long stride() const { return ld ? ld : cols; }
};

/// What made rows are left in, for the products that read them next: fp32, or, rounded while they lie in the cache, bf16 or
/// bytes or both alone.
struct Forms {
  bool half = false, bytes = false;
};

/// LoRA of the rows [first, first + rows) of a few-row product; lora[i] belongs to linear i, or null.
struct FewSegment {
  int first = 0, rows = 0;
  const PackedGroup* group = nullptr;  // null: no adapter
  const PackedLora* lora[3] = {};
  int rank = 0;
};
struct FewLinear {
  const PackedWeight* w;
  float* y;
  const float* residual;
};

class Math {
 public:
  Math(const Ops& ops, int threads) : ops_(ops), pool_(threads), scratch_(threads) {}
  /// Whether int8 weights meet int8 activations (serving) or bf16 ones (scoring and training, whose
  /// log-probs must agree). Ignored by other weights.
  void byteActivations(bool on) { byteActivations_ = on; }
  bool byteActivations() const { return byteActivations_; }
  const Ops& ops() const { return ops_; }
  int threads() const { return pool_.threads(); }

  /// y = residual + x W^T + bias + inner B^T, with inner = the rows x A^T of this linear; rows of y and of the residual
  /// ldy apart (0: N).
  void linear(Rows& x, const PackedWeight& w, Rows* inner, const PackedWeight* b, float* y,
              const float* residual, long ldy = 0);
  /// Up to three linears of the same few rows (at most kFewRows) in one parallel pass over their
  /// weights, each row with the LoRA of its segment (few.cpp). The segments cover all rows.
  void few(Rows& x, const FewLinear* linears, int count, const FewSegment* segments, int segmentCount);
  /// dx (+)= sum of dy[i] W[i] + dxa a, rows of dx lddx apart (0: K); at most three terms. LoRA's a is [width,K], for
  /// narrow weights turned, [K,width].
  void linearDx(Rows* dy, const PackedWeight* const* w, int terms, Rows* dxa, const PackedWeight* a, float* dx, bool add, long lddx = 0);
  /// Makes the form of a gradient that fp32's linearDx() reads, which lives until its slot is used again: term i of a
  /// later call belongs into slot i.
  void packGradient(Rows& dy, int slot);
  /// Makes the bf16 form of x, which lives until its slot is used again. Slots 0 and 1 are also used by linear(), 1
  /// to 4 by the narrow linearDx().
  void toHalf(Rows& x, int slot, const float* columnScale = nullptr);
  /// out [r,N] += P^T Q with P [M,r], Q [M,N]; in bf16 products where Q has its bf16 form.
  void outer(const Rows& p, const Rows& q, float* out);

  /// Rows that products read next. `out` is for fp32 alone; bf16 lives in slot 0, that of swigluBackward() in 2 and 3.
  Rows rmsnorm(const float* x, const float* weight, int rows, int n, float eps, float* out, Forms forms = {});
  void rmsnormBackward(const float* x, const float* weight, const float* dy, int rows, int n,
                       float eps, float* dx, bool add);
  /// Of several sequences of one model.
  void attention(const std::vector<AttentionArgs>& sequences);
  void attentionBackward(const std::vector<AttentionBackwardArgs>& sequences);
  Rows swiglu(const float* gate, const float* up, int rows, int n, float* out, Forms forms = {});
  /// @returns dGate and dUp.
  std::array<Rows, 2> swigluBackward(const float* gate, const float* up, const float* dOut, int rows, int n, float* dGate, float* dUp, bool half);
  /// Operations a second of all threads working in registers only.
  double peak(Dtype dtype);
  /// Runs body(first, last, worker) over ranges of [0, count), at most `grain` long.
  template <class Body>
  void ranges(int count, int grain, const Body& body, double worth = kWorth) {
    const int chunks = (count + grain - 1) / grain;
    pool_.run(chunks, [&](int i, int worker) {
      const int first = i * grain;
      body(first, first + grain < count ? first + grain : count, worker);
    }, worth);
  }

 private:
  /// Slot 0: inputs and dY; slot 1: LoRA's inner rows; dY of later terms and dXA in those behind.
  void packRows(Rows& x, int slot);
  const float* packBlocks(const Rows& x, int slot, int blocks, const std::function<int(int)>& start);
  void toBytes(Rows& x);
  void narrowLinear(Rows& x, const PackedWeight& w, Rows* inner, const PackedWeight* b, float* y,
                    const float* residual, long ldy);
  void fewPlain(Rows& x, const FewLinear* linears, int count, const FewSegment* segments, int segmentCount);
  uint16_t* halfRoom(int rows, long width, int slot);
  /// rows [rows,n] that make(row, line) writes one by one into `out`, or in narrow forms through a line of scratch.
  template <class Make>
  Rows make(int rows, int n, int grain, double work, float* out, Forms forms, const Make& make);
  void narrowDx(Rows* dy, const PackedWeight* const* w, int terms, Rows* dxa, const PackedWeight* aTransposed, float* dx, bool add, long lddx);
  void wideDx(const Rows& dy, const PackedWeight& w, float* dx, long lddx, bool add);
  void narrowOuter(const Rows& p, const Rows& q, float* out);
  void toWords(Rows& x);
  int rowPieces(int m) const;
  int leastPieces(int m) const;
  int pieceStart(int m, int pieces, int i) const;
  int pieceRows(int m, int pieces) const;
  int panelChunks(int columns, int pieces, int each) const;
  void reserve(size_t count);  // grows every worker's scratch before a loop

  const Ops& ops_;
  Pool pool_;
  std::vector<Scratch> scratch_;
  static constexpr int kHalfSlots = 5;
  Scratch fewInner_, fewHalf_;
  Scratch slots_[4], halves_[kHalfSlots], turned_, bytes_, byteScale_, line_;
  bool byteActivations_ = true;
};

}  // namespace hindsight
