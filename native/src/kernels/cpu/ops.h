// The op list: what a model needs of a processor, once per instruction set behind one table.
// Shapes: M rows (tokens), N outputs, K inputs, r LoRA rank, D head dimension. Everything is fp32
// and row-major unless said otherwise. Every op runs on the calling thread; math.h splits the work.
//
// Invariant: an output element is accumulated in the same order whatever M, the thread count and
// the split are. So prefill, decode, scoring and training agree bit for bit on one instruction
// set, and a warm prefix cache gives the logits of a cold one.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/narrow.h"

namespace hindsight {

/// Tokens per page of keys and values: keys lie [D][kPage], values [kPage][D].
constexpr int kPage = 32;
/// Floats every buffer owns beyond its end, because vector tails may read (never write) there.
constexpr int kSlack = 64;
/// Most rows of the unpacked small-M path (decode).
constexpr int kSmallRows = 4;

/// Row blocks of M rows: ceil(M / most) blocks of nearly equal height.
inline int blockCount(int rows, int most) { return (rows + most - 1) / most; }
inline int blockStart(int rows, int blocks, int i) {
  return static_cast<int>(static_cast<long>(rows) * i / blocks);
}
/// Blocks one after the other, as blockStart() has them, without its divisions: some tiles take little longer than those.
class BlockWalk {
 public:
  /// @param blocks  at least one
  /// @param i  the block that it begins with
  BlockWalk(int rows, int blocks, int i)
      : blocks_(blocks), least_(rows / blocks), over_(rows % blocks), due_(static_cast<int>(static_cast<long>(over_) * i % blocks)), start_(blockStart(rows, blocks, i)) {}
  int start() const { return start_; }
  int rows() const { return least_ + (due_ + over_ >= blocks_); }
  void next() {
    start_ += rows();
    due_ += over_;
    if (due_ >= blocks_) due_ -= blocks_;
  }

 private:
  int blocks_, least_, over_, due_, start_;
};

/// Y[M,N] = residual + bias + X W^T + X2 W2^T. W is packed [ceil(N/panel)][K][panel].
/// X is read from `x` when M <= kSmallRows, else from `xPacked`; X2 W2^T is the LoRA term.
struct LinearArgs {
  int m = 0, n = 0, k = 0, k2 = 0;
  const float* x = nullptr;
  long ldx = 0;
  const float* xPacked = nullptr;
  const float* w = nullptr;
  const float* bias = nullptr;
  /// linearSmall only: sums [M,N], ldy apart, that it goes on from, in place of the bias.
  const float* start = nullptr;
  const float* x2 = nullptr;
  long ldx2 = 0;
  const float* x2Packed = nullptr;
  const float* w2 = nullptr;
  const float* residual = nullptr;
  float* y = nullptr;
  long ldy = 0;  // of y and of residual
};

/// One row against one panel of a weight: y[cols] = x W^T.
struct RowPanel {
  const float *x, *w;
  float* y;
  int cols;
};

/// dX[M,K] = (add ? dX : 0) + sum over the terms of dY W, with W packed as in LinearArgs and dY as its rows.
struct LinearDxArgs {
  struct Term {
    int n = 0;
    const float* dyPacked = nullptr;
    const float* w = nullptr;
  };
  Term term[4];  // of three linears that share their input, and LoRA's, dXA A
  int terms = 0;
  int m = 0, k = 0;
  float* dx = nullptr;
  long lddx = 0;
  bool add = false;
  bool stream = false;  // dx is more than the caches keep until somebody reads it
};

/// dX[M,K] = (add ? dX : 0) + dY W, with W packed as in LinearArgs and dY in blocks of `panel` rows, each [N][rows].
struct LinearDxWideArgs {
  int n = 0, k = 0;
  const float* dyPacked = nullptr;
  const float* w = nullptr;
  float* dx = nullptr;
  long lddx = 0;
  bool add = false;
  bool stream = false;
};

/// Causal attention of `rows` queries at positions start.. over pages of keys and values, which are
/// fp32 for fp32 weights, else bf16 (attention.inl).
struct AttentionArgs {
  bool half = false;
  int headDim = 0, heads = 0, kvHeads = 0, rows = 0, start = 0;
  float scale = 0;
  const float* q = nullptr;  // [rows][heads*D], normalised and rotated
  const float* const* pages = nullptr;
  size_t keyOffset = 0, valueOffset = 0;  // of this layer in a page, in floats; + kvHead * D * kPage numbers
  float* out = nullptr;                   // [rows][heads*D]
  float* lse = nullptr;                   // [heads][rows], or none
};

/// Backward of the above over one whole sequence (start = 0). An item is `span` query heads of one key head, whose keys are
/// turned and rounded once for them, with one of the parts of the queries. Few heads a span, and two parts, end together on
/// several threads; many leave fewer copies to add.
struct AttentionBackwardArgs {
  bool half = false;  // bf16 products
  int parts = 1, span = 1;
  int headDim = 0, heads = 0, kvHeads = 0, rows = 0;
  float scale = 0;
  const float* q = nullptr;     // [S][heads*D], rotated
  const float* k = nullptr;     // [S][kvHeads*D], rotated
  const float* v = nullptr;     // [S][kvHeads*D]
  const float* out = nullptr;   // [S][heads*D]
  const float* dOut = nullptr;  // [S][heads*D]
  const float* lse = nullptr;   // [heads][S]
  float* dq = nullptr;          // [S][heads*D]
  float* dk = nullptr;          // [S][kvHeads*D], in copies() copies, `copySize` apart, for the caller to add
  float* dv = nullptr;          // the same
  size_t copySize = 0;

  int items() const { return heads / span * parts; }
  int copies() const { return heads / kvHeads / span * parts; }
  /// That of an item. The first is whole; those of the first of two parts have keys up to its end only.
  size_t copy(int item) const { return (item / parts % (heads / kvHeads / span) * parts + parts - 1 - item % parts) * copySize; }
};

struct AdamArgs {
  float lr, beta1, beta2, eps, weightDecay, gradScale;
  float correction1, correction2;  // 1 - beta^step
};

struct Ops {
  const char* name;
  int panel;     // outputs of a packed panel
  int rowBlock;  // most rows of a packed row block

  /// W [N,K] -> [ceil(N/panel)][K][panel], zero padded.
  void (*pack)(const float* w, int n, int k, float* out);
  /// X [rows,K] -> [K][rows].
  void (*packRows)(const float* x, long ldx, int rows, int k, float* out);
  /// Row blocks [b0,b1) x panels [p0,p1) of LinearArgs; reads xPacked.
  void (*linear)(const LinearArgs&, int b0, int b1, int p0, int p1);
  /// All rows (M <= kSmallRows) x panels [p0,p1); reads x.
  void (*linearSmall)(const LinearArgs&, int p0, int p1);
  /// Some rows, each against a panel of its own weight [.,k], all at once: the sums of one hide the
  /// latency of another's. Same order over k as linearSmall.
  void (*rowPanels)(const RowPanel* items, int count, int k);
  /// Row blocks [b0,b1) x input panels [p0,p1). scratch: narrowDxScratch() floats.
  void (*linearDx)(const LinearDxArgs&, int b0, int b1, int p0, int p1, float* scratch);
  /// The same of one weight with many more outputs than there are rows: rows [r0,r1), at most kDxRows from a multiple of
  /// the panel on, x input panels [p0,p1), at most kWidePanels. scratch: narrowDxScratch() floats.
  void (*linearDxWide)(const LinearDxWideArgs&, int r0, int r1, int p0, int p1, float* scratch);
  /// out[r, n0:n1] += P^T Q: P [M,r], Q [M,N]. Gradients of A and B.
  void (*outer)(int m, int r, const float* p, long ldp, const float* q, long ldq, int n0, int n1,
                float* out, long ldo);

  void (*rmsnorm)(const float* x, const float* weight, int n, float eps, float* out);
  /// dx (+)= d rmsnorm / dx.
  void (*rmsnormBackward)(const float* x, const float* weight, const float* dy, int n, float eps,
                          float* dx, bool add);
  /// Rotates pairs (i, i + D/2) in place by the angle, or back when sign = -1.
  void (*rope)(float* x, const float* cosine, const float* sine, int headDim, float sign);
  /// Query rows [r0,r1) of one head; at most kPage of them. scratch: attentionScratch(D).
  void (*attention)(const AttentionArgs&, int head, int r0, int r1, float* scratch);
  /// Part item % parts of the queries of span item / parts. scratch: attentionBackwardScratch(S, D).
  void (*attentionBackward)(const AttentionBackwardArgs&, int item, float* scratch);
  /// out = silu(gate) * up
  void (*swiglu)(const float* gate, const float* up, size_t n, float* out);
  /// dGate, dUp from dOut.
  void (*swigluBackward)(const float* gate, const float* up, const float* dOut, size_t n,
                         float* dGate, float* dUp);
  /// log sum exp(z * inverseTemperature)
  double (*logSumExp)(const float* z, size_t n, float inverseTemperature);
  /// out (+)= factor * exp(z * inverseTemperature - lse)
  void (*softmaxScaled)(const float* z, size_t n, float inverseTemperature, float lse, float factor,
                        float* out, bool add);
  void (*adamw)(float* w, float* m, float* v, const float* g, size_t n, const AdamArgs&);

  const NarrowOps* narrow;  // bf16 and int8 weights
};

/// Of linearDxWide: rows and panels of inputs that one call may have, so that its sums stay in the second-level cache. Many
/// inputs, for dY comes from far away once for each call, and the weight once for each stretch of rows.
/// kMostPanel: outputs of the widest panel.
constexpr int kDxRows = 128, kWidePanels = 18, kMostPanel = 32;
static_assert(narrowDxScratch() >= static_cast<size_t>(kDxRows) * kWidePanels * kMostPanel + kSlack, "sums of one call");
inline size_t attentionScratch(int headDim, int span = 1) {
  const size_t wide = padded32(headDim);
  return static_cast<size_t>(span) * kPage * 2 * (wide + kAttentionBlock) + 16 * (wide + kAttentionBlock) + 4 * kSlack;
}
inline size_t attentionBackwardScratch(int rows, int headDim) {
  const size_t padded = static_cast<size_t>(rows + kAttentionTile - 1) / kAttentionTile * kAttentionTile, wide = padded32(headDim);
  return 4 * padded * wide + static_cast<size_t>(kAttentionTile) * (6 * wide + 4 * kAttentionTile) + 8 * kSlack;
}
/// Parts of a sequence's queries in the backward pass, none of them empty, and where one begins: at a whole tile. Of two, the
/// second begins after 0.7 of the queries, for half of the pairs of a query and a key come before the root of a half.
constexpr int kBackwardParts = 2;
inline int backwardParts(int rows) { return rows >= 4 * kAttentionTile ? kBackwardParts : 1; }
inline int backwardStart(int rows, int parts, int part) {
  const int tiles = (rows + kAttentionTile - 1) / kAttentionTile, at = kAttentionTile * (parts == 2 && part == 1 ? (7 * tiles + 5) / 10 : part * tiles);
  return at < rows ? at : rows;
}

/// Those from Avx512Vnni on differ from Avx512 in the products of bf16 and int8 weights only.
enum class Isa { Reference, Portable, Avx2, Avx512, Avx512Vnni, Avx512Bf16, Avx512Amx };
constexpr Isa kIsas[] = {Isa::Reference, Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni, Isa::Avx512Bf16, Isa::Avx512Amx};
/// The table of an instruction set, or null where this processor or build lacks it.
const Ops* opsFor(Isa isa);
Isa bestIsa();

const Ops* referenceOps();
const Ops* portableOps();
const Ops* avx2Ops();
const Ops* avx512Ops();
/// What the sets from Avx512Vnni on have instead of Avx512's.
const NarrowOps* avx512VnniProducts();
const NarrowOps* avx512Bf16Products();
const NarrowOps* avx512AmxProducts();

}  // namespace hindsight
