// Matrix products over weights kept in bf16 or int8, with fp32 accumulation, for serving and for
// training through frozen weights. The packed formats are the same on every instruction set:
//   bf16  [ceil(N/64)][K/2][64][2]     int8  [ceil(N/64)][K/4][64][4], zero padded, K to 4.
// One 32-bit lane holds the 2 (4) neighbouring inputs of one output, which is what the processor's
// dot-product instructions take; an instruction set without them widens lanes by shifts.
//
// Method: a register tile of 6 rows x 64 outputs (32 x 32 in AMX, amx.inl) over blocks of at most kNarrowK inputs; between
// blocks the sums wait in fp32 (int32) beside the panel in the second-level cache, and each tile asks
// for its share of the weights that come next. The last block adds bias and residual on the way out. Activations are rows of bf16
// or, for int8 x int8, one unsigned byte per input: u = round(x / scale) + 128, whose offset is taken
// off again through the sum of the weights. Gradients of the inputs use the same packed copy: blocks
// are transposed on the fly.
//
// The invariant of ops.h holds: the order of accumulation depends on K (or N) only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace hindsight {

struct AttentionArgs;
struct AttentionBackwardArgs;

/// How a weight is stored.
enum class Dtype { Fp32, Bf16, Int8 };

constexpr int kNarrowPanel = 64;
constexpr int kNarrowRows = 6;
constexpr int kNarrowK = 640;
/// Most rows of one call, which bounds its scratch; whole tiles.
constexpr int kNarrowSpan = 528;

/// K as stored in narrow weights and rows.
inline int padded4(int k) { return (k + 3) / 4 * 4; }
/// Distance of rows of bf16 that are read side by side: a multiple of 4 KB would put them into the same lines of the
/// first-level cache.
inline long spacedRow(int k) { return padded4(k) % 2048 ? padded4(k) : padded4(k) + 32; }
/// Length of a block of K, whole steps: blocks of nearly equal length, at most `most` (whole steps as well).
inline int blockLength(int k, int most, int step = 4) {
  const int blocks = (k + most - 1) / most;
  return ((k + blocks - 1) / blocks + step - 1) / step * step;
}
inline size_t narrowPanels(int n) { return static_cast<size_t>((n + kNarrowPanel - 1) / kNarrowPanel); }

/// Y[M,N] = residual + bias + X W^T + X2 W2^T; the second term is LoRA's, always bf16.
struct NarrowArgs {
  int n = 0, k = 0, k2 = 0;
  const uint16_t* x = nullptr;  // bf16 [M][padded4(K)]
  const uint8_t* xBytes = nullptr;  // [M][padded4(K)], instead of x where w is int8
  const float* xScale = nullptr;    // [M]
  const void* w = nullptr;
  const float* wScale = nullptr;    // [N padded to panels], int8 only
  const int32_t* wOffset = nullptr; // 128 * sum of the row's bytes, [N padded]
  const uint16_t* x2 = nullptr;     // bf16 [M][ldx2]
  long ldx2 = 0;
  const uint16_t* w2 = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* y = nullptr;
  long ldy = 0;
  bool stream = false;  // y is more than the caches keep until somebody reads it
};

/// One term of dX = sum over terms of dY W.
struct NarrowDxTerm {
  const uint16_t* dy = nullptr;  // bf16 [M][lddy]; times the weight's scales where it is int8
  long lddy = 0;
  const void* w = nullptr;
  bool bytes = false;
  int n = 0;
};
struct NarrowDxArgs {
  int k = 0, terms = 0, k2 = 0;
  NarrowDxTerm term[4];
  const uint16_t* x2 = nullptr;  // one more term X2 W2^T, bf16 as in NarrowArgs
  long ldx2 = 0;
  const uint16_t* w2 = nullptr;
  float* dx = nullptr;
  long lddx = 0;
  bool add = false;
  bool stream = false;
};

/// out[r, n0:n0+64] += P^T Q: gradients of A and B.
struct NarrowOuterArgs {
  int m = 0, r = 0, n = 0;
  const uint16_t* p = nullptr;  // bf16, transposed: [r][ldp]
  long ldp = 0;
  const uint16_t* q = nullptr;  // bf16 [m][ldq]
  long ldq = 0;
  float* out = nullptr;  // [r][n]
};

struct FewArgs;

struct NarrowOps {
  /// Rows of a tile, of which `linear` and `dx` want whole ones.
  int tileRows;
  /// Panels of a call that share what it makes of the rows. `dx` takes no more.
  int panels;
  /// Whether `attention` makes of the keys something that the query heads of a key head can share.
  bool sharesKeys;
  /// fp32 -> bf16, nearest even.
  void (*toBf16)(const float* x, size_t n, uint16_t* out);
  /// As in Ops, rounded to bf16.
  void (*swigluBackward)(const float* gate, const float* up, const float* dOut, size_t n, uint16_t* dGate, uint16_t* dUp);
  /// One row to bytes around 128; @returns its scale.
  float (*toBytes)(const float* x, int k, uint8_t* out);
  /// One row to 16 bits as high and low bytes around 128; @returns the scale of the low ones.
  float (*toWords)(const float* x, int k, uint8_t* high, uint8_t* low);
  /// Floats of scratch that `linear` and `dx` want for `rows` x `panels` and a contraction over `lanes` in all.
  size_t (*scratch)(int rows, int panels, int lanes);
  /// Rows [r0,r1) x the panels [p0,p1); at most kNarrowSpan rows.
  void (*linear)(const NarrowArgs&, int r0, int r1, int p0, int p1, float* scratch);
  /// All of a few rows x the panel p (few.h). scratch: narrowScratch() floats.
  void (*few)(const FewArgs&, int p, float* scratch);
  /// Rows [r0,r1), at most as many, x the inputs of at most `panels` panels [p0,p1).
  void (*dx)(const NarrowDxArgs&, int r0, int r1, int p0, int p1, float* scratch);
  /// The columns of panel p. scratch: narrowScratch() floats.
  void (*outer)(const NarrowOuterArgs&, int p, float* scratch);
  /// As in Ops, with bf16 products and, in the forward pass, bf16 pages (attention.inl), there of the heads
  /// [head, head + span) of one key head. scratch: attentionScratch(D, span).
  void (*attention)(const AttentionArgs&, int head, int span, int r0, int r1, float* scratch);
  void (*attentionBackward)(const AttentionBackwardArgs&, int item, float* scratch);
  /// Multiplies in registers only, for the peak that benchmarks are compared with; @returns the
  /// operations done (a multiply-add is two).
  double (*spin)(Dtype dtype, long steps);
};

constexpr size_t narrowScratch() {
  return static_cast<size_t>(kNarrowSpan) * kNarrowPanel + 3 * kNarrowK * kNarrowPanel / 2 + 256;
}

/// Panels of inputs that share one pass over the rows of dY, which come from far away where N is large.
constexpr int kDxPanels = 3;
constexpr size_t narrowDxScratch() { return narrowScratch() + (kDxPanels - 1) * static_cast<size_t>(kNarrowSpan) * kNarrowPanel; }

/// Keys that share one pass over the softmax, and the tile of the backward pass.
constexpr int kAttentionBlock = 128;
constexpr int kAttentionTile = 64;
inline int padded32(int n) { return (n + 31) / 32 * 32; }

/// Packs W [N,K]; `out` holds narrowBytes() zeroed bytes.
size_t narrowBytes(Dtype dtype, int n, int k);
void packBf16(const float* w, int n, int k, uint16_t* out);
/// Symmetric, one scale an output: |w| <= 127 scale.
void packInt8(const float* w, int n, int k, int8_t* out, float* scale, int32_t* offset);

}  // namespace hindsight
