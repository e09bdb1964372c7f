// The products of narrow.h, once for every instruction set. Included after vector.inl by
// a translation unit that takes from here (NARROW_PLAIN_BF16, NARROW_PLAIN_INT8, unless
// NARROW_TRANSPOSE) or itself defines
//   bf16Tile(rows, t), int8Tile(rows, t)   C[rows][64] (+)= A B over `groups` lanes of 2 (4) inputs
//   transposePairs                         and spinDots(), which measures the processor's peak
// or, as NARROW_OWN_PRODUCTS, the tiles, narrowLinear, narrowDx and spinDots(). As NARROW_MATRIX_TILES
// its tiles take up to 32 rows, and spinDots() and release() are its own.
#include "kernels/cpu/few.h"

namespace {

using hindsight::Dtype;
using hindsight::FewArgs;
using hindsight::kNarrowK;
using hindsight::kNarrowPanel;
using hindsight::NarrowArgs;
using hindsight::NarrowDxArgs;
using hindsight::NarrowOps;
using hindsight::NarrowOuterArgs;
using hindsight::padded4;

typedef uint32_t VecU __attribute__((vector_size(kWidth * 4)));
typedef uint16_t VecH __attribute__((vector_size(kWidth * 2)));
typedef uint16_t VecHAt __attribute__((vector_size(kWidth * 2), aligned(2), may_alias));
typedef int32_t VecIAt __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
#ifdef NARROW_MATRIX_TILES
/// Rows of a tile; most inputs of a block, so that its weights stay in the first-level cache while all rows pass by; blocks
/// of whole steps of the tile.
constexpr int kTileRows = 32, kBlockK = 256, kByteBlockK = 2 * kBlockK, kStepK = 32;
#else
constexpr int kTileRows = hindsight::kNarrowRows, kBlockK = kNarrowK, kByteBlockK = 4 * kBlockK, kStepK = 4;
#endif
/// Most panels of a call.
#ifdef NARROW_OWN_PRODUCTS
constexpr int kPanels = 12;  // rows are widened once for them
#else
constexpr int kPanels = hindsight::kDxPanels;
#endif
/// Most rows of a bf16 tile of `strips` strips: where few columns leave registers free, more rows.
#ifdef NARROW_TALL_TILES
constexpr int mostRows(int strips) { return strips > 2 ? kTileRows : 2 * kTileRows; }
#else
constexpr int mostRows(int) { return kTileRows; }
#endif
/// Most rows of a call, in whole tiles.
constexpr int kSpanRows = hindsight::kNarrowSpan / kTileRows * kTileRows;
/// Tiles of nearly equal height one after the other, or whole ones as long as they last.
#ifdef NARROW_MATRIX_TILES
class TileWalk {
 public:
  TileWalk(int rows, int) : rows_(rows) {}
  int start() const { return start_; }
  int rows() const { return rows_ - start_ < kTileRows ? rows_ - start_ : kTileRows; }
  void next() { start_ += rows(); }

 private:
  int rows_, start_ = 0;
};
#else
struct TileWalk : BlockWalk {
  TileWalk(int rows, int tiles) : BlockWalk(rows, tiles, 0) {}
};
#endif

inline VecI loadInts(const void* p) { return *static_cast<const VecIAt*>(p); }
inline void storeInts(void* p, VecI v) { *static_cast<VecIAt*>(p) = v; }
inline int32_t lane(const void* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return v;
}

/// Cache lines that are asked for meanwhile, for the second-level cache.
struct Ahead {
  const void* from = nullptr;
  int lines = 0;
};
/// Share i, of `each` cache lines, of the memory at p.
inline Ahead share(const void* p, int each, int i) { return {static_cast<const char*>(p) + static_cast<size_t>(64) * each * i, each}; }
/// One product of a tile: rows of A lda apart, `groups` lanes of B.
struct Part {
  const uint16_t* a;
  long lda;
  const uint16_t* b;
  int groups;
};
/// How the sums of a tile leave it: to = residual + bias + sums, all of one shape; `to` null: to C.
struct Finish {
  float* to = nullptr;
  long ldto = 0;  // of to and residual
  const float* bias = nullptr;
  const float* residual = nullptr;
  bool stream = false;  // as in NarrowArgs
};
/// C[rows][16 strips] (+)= the sum of its parts, in their order; more columns may be computed, up to
/// the next multiple of two vectors.
struct BfTile {
  Part part[4];
  int parts;
  float* c;
  int strips;
  bool add;
  long ldb = 2 * kNarrowPanel, ldc = kNarrowPanel;
  Finish finish;
  Ahead ahead;
};
/// Four strips. With an `offset` the sums end as numbers: (sum - offset[n]) * xScale[row] * wScale[n].
struct ByteTile {
  const uint8_t* a;
  long lda;
  const int8_t* b;
  int groups;
  int32_t* c;
  bool add;
  const int32_t* offset = nullptr;
  const float *xScale = nullptr, *wScale = nullptr;
  Finish finish;
  Ahead ahead;
};

void bf16Tile(int rows, const BfTile& t);
void int8Tile(int rows, const ByteTile& t);
#ifndef NARROW_OWN_PRODUCTS
void transposePairs(const uint16_t* panel, int count, int width, uint16_t* out);
#endif
#if defined(NARROW_TRANSPOSE) || defined(NARROW_OWN_PRODUCTS)
#define SPIN_DOTS
double spinDots(hindsight::Dtype dtype, long steps);
#endif

/// One vector of sums of row r, at column i, with what is added to it.
inline void finish(const Finish& f, int r, int i, Vec sum) {
  if (f.bias) sum += load(f.bias + i);
  if (f.residual) sum += load(f.residual + r * f.ldto + i);
  store(f.to + r * f.ldto + i, sum);
}
/// The same, or to C where the sums go on.
inline void leave(const Finish& f, float* c, int r, int i, Vec sum) {
  if (f.to) finish(f, r, i, sum);
  else store(c + i, sum);
}

/// leave() for a whole tile, its questions asked once.
template <int Rows, int Vecs, class Sum>
inline __attribute__((always_inline)) void leaveAll(const Finish& finish, float* c, long ldc, Sum (&sums)[Rows][Vecs]) {
  const Finish f = finish;
  if (f.bias)
#pragma GCC unroll 4
    for (int v = 0; v < Vecs; ++v) {
      const Vec bias = load(f.bias + v * kWidth);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) sums[r][v] += bias;
    }
  if (f.residual)
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < Vecs; ++v) sums[r][v] += load(f.residual + r * f.ldto + v * kWidth);
  float* to = f.to ? f.to : c;
  const long ld = f.to ? f.ldto : ldc;
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vecs; ++v) store(to + r * ld + v * kWidth, sums[r][v]);
}

#ifdef NARROW_PLAIN_BF16
template <int Rows>
inline __attribute__((always_inline)) void bf16Sum(Vec (&acc)[Rows][2], const uint16_t* a, long lda, const uint16_t* b, long ldb, int groups) {
  for (int g = 0; g < groups; ++g, b += ldb) {
    const VecI w0 = loadInts(b), w1 = loadInts(b + 2 * kWidth);
    const Vec even0 = (Vec)(w0 << 16), odd0 = (Vec)(w0 & -65536), even1 = (Vec)(w1 << 16), odd1 = (Vec)(w1 & -65536);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const uint32_t pair = static_cast<uint32_t>(lane(a + r * lda + 2 * g)), low = pair << 16, high = pair & 0xffff0000u;
      float x0, x1;
      __builtin_memcpy(&x0, &low, 4);
      __builtin_memcpy(&x1, &high, 4);
      acc[r][0] += x0 * even0;
      acc[r][0] += x1 * odd0;
      acc[r][1] += x0 * even1;
      acc[r][1] += x1 * odd1;
    }
  }
}

template <int Rows>
void bf16TilePlain(const BfTile& t) {
  for (int s = 0; s < 16 * t.strips; s += 2 * kWidth) {
    Vec acc[Rows][2];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) acc[r][v] = t.add ? load(t.c + r * t.ldc + s + v * kWidth) : Vec{};
    for (int i = 0; i < t.parts; ++i) bf16Sum<Rows>(acc, t.part[i].a, t.part[i].lda, t.part[i].b + 2 * s, t.ldb, t.part[i].groups);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) leave(t.finish, t.c + r * t.ldc, r, s + v * kWidth, acc[r][v]);
  }
}

void bf16Tile(int rows, const BfTile& t) {
  static constexpr void (*at[])(const BfTile&) = {bf16TilePlain<1>, bf16TilePlain<2>, bf16TilePlain<3>, bf16TilePlain<4>, bf16TilePlain<5>, bf16TilePlain<6>};
  at[rows - 1](t);
}
#endif

#ifdef NARROW_PLAIN_INT8
template <int Rows>
void int8TilePlain(const ByteTile& t) {
  for (int s = 0; s < kNarrowPanel; s += kWidth) {
    VecI acc[Rows];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) acc[r] = t.add ? loadInts(t.c + r * kNarrowPanel + s) : VecI{};
    const int8_t* b = t.b + 4 * s;
    for (int g = 0; g < t.groups; ++g, b += 4 * kNarrowPanel) {
      const VecI w = loadInts(b), w0 = w << 24 >> 24, w1 = w << 16 >> 24, w2 = w << 8 >> 24, w3 = w >> 24;
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        const uint8_t* x = t.a + r * t.lda + 4 * g;
        acc[r] += w0 * static_cast<int>(x[0]) + w1 * static_cast<int>(x[1]) + w2 * static_cast<int>(x[2]) + w3 * static_cast<int>(x[3]);
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      int32_t* c = t.c + r * kNarrowPanel;
      if (t.offset) leave(t.finish, reinterpret_cast<float*>(c), r, s, __builtin_convertvector(acc[r] - loadInts(t.offset + s), Vec) * (t.xScale[r] * load(t.wScale + s)));
      else storeInts(c + s, acc[r]);
    }
  }
}

void int8Tile(int rows, const ByteTile& t) {
  static constexpr void (*at[])(const ByteTile&) = {int8TilePlain<1>, int8TilePlain<2>, int8TilePlain<3>, int8TilePlain<4>, int8TilePlain<5>, int8TilePlain<6>};
  at[rows - 1](t);
}
#endif

// ---- conversions -----------------------------------------------------------------------------

#ifdef NARROW_ROUNDS
// AVX512-BF16 rounds in one instruction.
inline void storeHalf(uint16_t* out, Vec v) {
  VecH half;
  asm("vcvtneps2bf16 %1,%0" : "=v"(half) : "v"(v));
  *reinterpret_cast<VecHAt*>(out) = half;
}
inline VecI halfPairs(Vec low, Vec high) {
  VecI both;
  asm("vcvtne2ps2bf16 %2,%1,%0" : "=v"(both) : "v"(high), "v"(low));
  alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return (VecI)_mm512_permutexvar_epi16(_mm512_load_si512(order), (__m512i)both);
}
#else
inline VecU roundedBits(Vec v) {
  const VecU bits = (VecU)v;
  return bits + 0x7fff + (bits >> 16 & 1);
}
inline void storeHalf(uint16_t* out, Vec v) { *reinterpret_cast<VecHAt*>(out) = __builtin_convertvector(roundedBits(v) >> 16, VecH); }
/// Lanes of two bf16: those of `low` lie first in memory.
inline VecI halfPairs(Vec low, Vec high) { return (VecI)(roundedBits(low) >> 16 | (roundedBits(high) & 0xffff0000u)); }
#endif

void toBf16(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) storeHalf(out + i, load(x + i));
  for (; i < n; ++i) {
    uint32_t bits = static_cast<uint32_t>(lane(x + i));
    bits += 0x7fff + (bits >> 16 & 1);
    out[i] = static_cast<uint16_t>(bits >> 16);
  }
}

void halfSwigluBackward(const float* gate, const float* up, const float* dOut, size_t n, uint16_t* dGate, uint16_t* dUp) {
  size_t i = 0;
  Vec dg, du;
  for (; i + kWidth <= n; i += kWidth) {
    swigluGradient(load(gate + i), load(up + i), load(dOut + i), dg, du);
    storeHalf(dGate + i, dg);
    storeHalf(dUp + i, du);
  }
  float gateTail[kWidth], upTail[kWidth];
  swigluBackward(gate + i, up + i, dOut + i, n - i, gateTail, upTail);
  toBf16(gateTail, n - i, dGate + i);
  toBf16(upTail, n - i, dUp + i);
}

typedef uint8_t VecB __attribute__((vector_size(kWidth)));
typedef uint8_t VecBAt __attribute__((vector_size(kWidth), aligned(1), may_alias));
inline void storeBytes(uint8_t* out, VecI v) { *reinterpret_cast<VecBAt*>(out) = __builtin_convertvector(v, VecB); }
/// Four vectors of numbers from 0 to 255.
inline void storeBytes(uint8_t* out, const VecI (&v)[4]) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  // Compilers narrow to bytes one lane at a time. Packing works on halves of registers: groups of four come out of order.
  const __m256i all = _mm256_packus_epi16(_mm256_packus_epi32((__m256i)v[0], (__m256i)v[1]), _mm256_packus_epi32((__m256i)v[2], (__m256i)v[3]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#else
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) storeBytes(out + i * kWidth, v[i]);
#endif
}

/// The largest magnitude of n numbers.
inline float largest(const float* x, int n) {
  const auto size = [&](int i) { return (Vec)((VecI)load(x + i) & 0x7fffffff); };
  Vec even{}, odd{};
  int i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    even = larger(even, size(i));
    odd = larger(odd, size(i + kWidth));
  }
  float top = maxLanes(larger(even, odd));
  for (; i < n; ++i) top = __builtin_fabsf(x[i]) > top ? __builtin_fabsf(x[i]) : top;
  return top;
}

float toBytes(const float* x, int k, uint8_t* out) {
  const float top = largest(x, k);
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  constexpr float magic = 12582912.0f + 128.0f;  // 1.5 * 2^23 rounds to an integer
  const auto bytes = [&](int at) { return (VecI)(load(x + at) * inverse + magic) & 0xff; };
  int i = 0;
  for (; i + 4 * kWidth <= k; i += 4 * kWidth) storeBytes(out + i, {bytes(i), bytes(i + kWidth), bytes(i + 2 * kWidth), bytes(i + 3 * kWidth)});
  for (; i + kWidth <= k; i += kWidth) storeBytes(out + i, bytes(i));
  for (; i < k; ++i) {
    const float n = x[i] * inverse + magic;
    out[i] = static_cast<uint8_t>(lane(&n) & 0xff);
  }
  for (; i < padded4(k); ++i) out[i] = 128;
  return top / 127.0f;
}

/// out[64][2] = (even[i], odd[i]) of two bf16 rows of n numbers, zeros beyond; `odd` null: zeros.
inline void pairHalves(const uint16_t* even, const uint16_t* odd, int n, uint16_t* out) {
  int i = 0;
  if (odd)
    for (; i + kWidth <= n; i += kWidth) {
      const VecU low = __builtin_convertvector(*reinterpret_cast<const VecHAt*>(even + i), VecU), high = __builtin_convertvector(*reinterpret_cast<const VecHAt*>(odd + i), VecU);
      storeInts(out + 2 * i, (VecI)(low | high << 16));
    }
  for (; i < kNarrowPanel; ++i) {
    out[2 * i] = i < n ? even[i] : uint16_t{0};
    out[2 * i + 1] = i < n && odd ? odd[i] : uint16_t{0};
  }
}

/// Lanes of four bytes to two lanes of bf16 pairs, exactly. groups of [64][4] to 2 x groups of [64][2].
void widenBytes(const int8_t* b, int groups, uint16_t* out) {
  for (int g = 0; g < groups; ++g)
    for (int s = 0; s < kNarrowPanel; s += kWidth) {
      const VecI w = loadInts(b + (static_cast<size_t>(g) * kNarrowPanel + s) * 4);
      const auto bits = [](VecI v) { return (VecU)__builtin_convertvector(v >> 24, Vec); };
      uint16_t* to = out + (static_cast<size_t>(g) * 2 * kNarrowPanel + s) * 2;
      storeInts(to, (VecI)(bits(w << 24) >> 16 | bits(w << 16)));
      storeInts(to + 2 * kNarrowPanel, (VecI)(bits(w << 8) >> 16 | bits(w)));
    }
}

#if !defined(NARROW_TRANSPOSE) && !defined(NARROW_OWN_PRODUCTS)
/// Block of a packed bf16 weight for dX: out[n/2][64][2] = W[n, k0 + 0..64) for n in [0, count) of
/// one panel; `panel` starts at input k0, `width` inputs are there.
void transposePairs(const uint16_t* panel, int count, int width, uint16_t* out) {
  for (int n = 0; n < count; ++n)
    for (int i = 0; i < kNarrowPanel; ++i)
      out[(static_cast<size_t>(n / 2) * kNarrowPanel + i) * 2 + n % 2] =
          i < width ? panel[(static_cast<size_t>(i / 2) * kNarrowPanel + n) * 2 + i % 2] : uint16_t{0};
}
#endif

// ---- Y = X W^T -------------------------------------------------------------------------------

/// Rows of a partial panel from C to their place.
inline void finishPart(const Finish& f, const float* c, int rows, int cols) {
  for (int r = 0; r < rows; ++r) {
    const float *sum = c + r * kNarrowPanel, *add = f.residual ? f.residual + r * f.ldto : nullptr;
    float* to = f.to + r * f.ldto;
    for (int i = 0; i < cols; ++i) to[i] = (f.bias ? sum[i] + f.bias[i] : sum[i]) + (add ? add[i] : 0.0f);
  }
}

#ifdef NARROW_OWN_PRODUCTS
void narrowLinear(const NarrowArgs& g, int r0, int r1, int p0, int p1, float* scratch);
void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p0, int p1, float* scratch);
#else
void linearPanel(const NarrowArgs& g, int r0, int r1, int p, float* scratch) {
  const int n0 = p * kNarrowPanel, k = padded4(g.k), count = r1 - r0;
  const int cols = g.n - n0 < kNarrowPanel ? g.n - n0 : kNarrowPanel, strips = (cols + 15) / 16;
  const bool bytes = g.xBytes != nullptr, widen = g.wScale && !bytes, whole = cols == kNarrowPanel;
  const int blocks = blockCount(count, bytes ? kTileRows : mostRows(strips));
  auto* wide = reinterpret_cast<uint16_t*>(scratch + static_cast<size_t>(hindsight::kNarrowSpan) * kNarrowPanel);
  const int step = hindsight::blockLength(k, bytes ? kByteBlockK : kBlockK, bytes ? 2 * kStepK : kStepK), itemBytes = g.wScale ? 1 : 2;
  const bool more = n0 + kNarrowPanel < g.n;  // the next panel lies behind this one
  for (int k0 = 0; k0 < k; k0 += step) {
    const int length = k - k0 < step ? k - k0 : step;
    const bool last = k0 + length == k;
    const size_t at = static_cast<size_t>(n0) * k + static_cast<size_t>(k0) * kNarrowPanel;
    const auto* block = static_cast<const char*>(g.w) + at * itemBytes;
    const auto* pairs = reinterpret_cast<const uint16_t*>(block);
    const int ahead = blockCount(!last || more ? length * itemBytes : 0, blocks);
    if (widen) {
      widenBytes(reinterpret_cast<const int8_t*>(block), length / 4, wide);
      pairs = wide;
    }
    TileWalk tile(count, blocks);
    for (int i = 0; i < blocks; ++i, tile.next()) {
      const int first = tile.start(), rows = tile.rows(), row = r0 + first;
      float* c = scratch + static_cast<size_t>(first) * kNarrowPanel;
      const size_t to = static_cast<size_t>(row) * g.ldy + n0;
      const Finish out{g.y + to, g.ldy, g.bias ? g.bias + n0 : nullptr, g.residual ? g.residual + to : nullptr, g.stream}, kept;
      const Ahead next = share(block + static_cast<size_t>(length) * kNarrowPanel * itemBytes, ahead, i);
      // LoRA's term goes last, after int8's scales: it is a bf16 product on its own there.
      const Part lora{g.x2 ? g.x2 + row * g.ldx2 : nullptr, g.ldx2, g.w2 ? g.w2 + static_cast<size_t>(n0) * padded4(g.k2) : nullptr, padded4(g.k2) / 2};
      const bool apart = g.k2 && (bytes || widen);
      if (bytes) {
        ByteTile t{g.xBytes + static_cast<size_t>(row) * k + k0, k, reinterpret_cast<const int8_t*>(block), length / 4, reinterpret_cast<int32_t*>(c), k0 > 0, nullptr, nullptr, nullptr, {}, {}};
        if (last) {
          t.offset = g.wOffset + n0;
          t.xScale = g.xScale + row;
          t.wScale = g.wScale + n0;
          if (whole && !apart) t.finish = out;
        }
        t.ahead = next;
        int8Tile(rows, t);
      } else {
        const bool own = last && !widen;
        bf16Tile(rows, {{{g.x + static_cast<size_t>(row) * k + k0, k, pairs, length / 2}, lora}, own && g.k2 ? 2 : 1, c, strips, k0 > 0, 2 * kNarrowPanel, kNarrowPanel, own && whole ? out : kept, next});
        if (last && widen)
          for (int j = 0; j < rows * kNarrowPanel; j += kWidth) store(c + j, load(c + j) * load(g.wScale + n0 + j % kNarrowPanel));
      }
      if (!last) continue;
      if (apart) bf16Tile(rows, {{lora}, 1, c, strips, true, 2 * kNarrowPanel, kNarrowPanel, whole ? out : kept, {}});
      if (!whole || (widen && !apart)) finishPart(out, c, rows, cols);
    }
  }
}

void narrowLinear(const NarrowArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  for (int p = p0; p < p1; ++p) linearPanel(g, r0, r1, p, scratch);
}

// ---- dX = dY W -------------------------------------------------------------------------------

/// One block of a call: at most kBlockK outputs of one term x one panel of inputs.
struct DxBlock {
  int term, n0, panel;
};

void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  constexpr size_t sums = static_cast<size_t>(hindsight::kNarrowSpan) * kNarrowPanel;
  const int count = r1 - r0, blocks = blockCount(count, kTileRows), k = padded4(g.k);
  auto* turned = reinterpret_cast<uint16_t*>(scratch + hindsight::kDxPanels * sums);
  uint16_t* wide = turned + static_cast<size_t>(kNarrowK) * kNarrowPanel;
  // Blocks of N are whole panels. Of a panel of the weight, the inputs of one of ours are one piece of memory.
  constexpr int step = kBlockK / kNarrowPanel * kNarrowPanel;
  const auto piece = [&](const DxBlock& b, int n) {
    const auto& term = g.term[b.term];
    return static_cast<const char*>(term.w) + (static_cast<size_t>(b.n0 + n) * k + static_cast<size_t>(b.panel) * kNarrowPanel * kNarrowPanel) * (term.bytes ? 1 : 2);
  };
  const auto length = [&](const DxBlock& b) { return g.term[b.term].n - b.n0 < step ? g.term[b.term].n - b.n0 : step; };
  const auto width = [&](const DxBlock& b) { return k - b.panel * kNarrowPanel < kNarrowPanel ? k - b.panel * kNarrowPanel : kNarrowPanel; };
  // Behind the last block: the first of the next panels, which this thread is likely to have next.
  const auto next = [&](const DxBlock& b) {
    if (b.panel + 1 < p1) return DxBlock{b.term, b.n0, b.panel + 1};
    if (b.n0 + step < g.term[b.term].n) return DxBlock{b.term, b.n0 + step, p0};
    return b.term + 1 < g.terms ? DxBlock{b.term + 1, 0, p0} : DxBlock{0, 0, p1};
  };
  for (DxBlock b{0, 0, p0}; b.panel < p1; b = next(b)) {
    const auto& term = g.term[b.term];
    const int here = length(b), k0 = b.panel * kNarrowPanel, cols = g.k - k0 < kNarrowPanel ? g.k - k0 : kNarrowPanel, strips = (cols + 15) / 16;
    for (int n = 0; n < here; n += kNarrowPanel) {
      const auto* source = reinterpret_cast<const uint16_t*>(piece(b, n));
      if (term.bytes) {
        widenBytes(reinterpret_cast<const int8_t*>(source), width(b) / 4, wide);
        source = wide;
      }
      transposePairs(source, here - n < kNarrowPanel ? (here - n + 1) / 2 * 2 : kNarrowPanel, width(b), turned + static_cast<size_t>(n) * kNarrowPanel);
    }
    // Asked for meanwhile: what is transposed next, each piece by as many tiles.
    const DxBlock then = next(b);
    const int pieces = then.panel * kNarrowPanel < g.k ? blockCount(length(then), kNarrowPanel) : 0, sharers = blocks > pieces && pieces ? blocks / pieces : 1;
    const int each = blockCount(kNarrowPanel * kNarrowPanel * (g.term[then.term].bytes ? 1 : 2) / 64, sharers);
    const bool last = b.term == g.terms - 1 && b.n0 + here == term.n;
    TileWalk tile(count, blocks);
    for (int i = 0, from = 0, sharer = 0; i < blocks; ++i, tile.next()) {
      const int first = tile.start(), rows = tile.rows();
      const uint16_t* a = term.dy + static_cast<size_t>(r0 + first) * term.lddy + b.n0;
      const Part lora{g.x2 ? g.x2 + static_cast<size_t>(r0 + first) * g.ldx2 : nullptr, g.ldx2, g.w2 ? g.w2 + static_cast<size_t>(k0) * padded4(g.k2) : nullptr, padded4(g.k2) / 2};
      float *c = scratch + (b.panel - p0) * sums + static_cast<size_t>(first) * kNarrowPanel, *dx = g.dx + static_cast<size_t>(r0 + first) * g.lddx + k0;
      const Finish out{dx, g.lddx, nullptr, g.add ? dx : nullptr, g.stream}, kept;
      const Ahead ahead = from < pieces ? share(piece(then, from * kNarrowPanel), each, sharer) : Ahead{};
      if (++sharer == sharers) {
        sharer = 0;
        ++from;
      }
      bf16Tile(rows, {{{a, term.lddy, turned, (here + 1) / 2}, lora}, last && g.k2 ? 2 : 1, c, strips, b.term > 0 || b.n0 > 0, 2 * kNarrowPanel, kNarrowPanel, last && cols == kNarrowPanel ? out : kept, ahead});
      if (last && cols < kNarrowPanel) finishPart(out, c, rows, cols);
    }
  }
}

#endif

#include "kernels/cpu/few.inl"

// ---- out += P^T Q ----------------------------------------------------------------------------

constexpr int kPairsAhead = 12;
/// Rows of Q become pairs of rows, 64 columns wide, in blocks of kSpanRows rows.
void narrowOuter(const NarrowOuterArgs& g, int p, float* scratch) {
  const int n0 = p * kNarrowPanel, cols = g.n - n0 < kNarrowPanel ? g.n - n0 : kNarrowPanel, strips = (cols + 15) / 16;
  const int blocks = blockCount(g.r, kTileRows);
  float sums[kTileRows * kNarrowPanel];
  auto* pairs = reinterpret_cast<uint16_t*>(scratch);
  for (int m0 = 0; m0 < g.m; m0 += kSpanRows) {
    const int rows = g.m - m0 < kSpanRows ? g.m - m0 : kSpanRows, groups = (rows + 1) / 2;
    for (int i = 0; i < groups; ++i) {
      const uint16_t* even = g.q + (m0 + 2 * i) * g.ldq + n0;
      // Rows lie far apart.
      if (i + kPairsAhead < groups)
        for (int line = 0; line < 4; ++line) __builtin_prefetch(even + (2 * kPairsAhead + line / 2) * g.ldq + line % 2 * 32);
      pairHalves(even, 2 * i + 1 < rows ? even + g.ldq : nullptr, cols, pairs + static_cast<size_t>(i) * 2 * kNarrowPanel);
    }
    TileWalk tile(g.r, blocks);
    for (int i = 0; i < blocks; ++i, tile.next()) {
      const int first = tile.start(), count = tile.rows();
      float* to = g.out + static_cast<size_t>(first) * g.n + n0;
      const Finish out{to, g.n, nullptr, to}, kept;
      const bool whole = cols == kNarrowPanel;
      bf16Tile(count, {{{g.p + first * g.ldp + m0, g.ldp, pairs, groups}}, 1, sums, strips, false, 2 * kNarrowPanel, kNarrowPanel, whole ? out : kept, {}});
      if (!whole) finishPart(out, sums, count, cols);
    }
  }
}

}  // namespace

#include "kernels/cpu/attention.inl"

namespace {

#if defined(__AVX512F__)
#define SPIN_REGISTER(v) "+v"(v)
#elif defined(__x86_64__)
#define SPIN_REGISTER(v) "+x"(v)
#else
#define SPIN_REGISTER(v) "+w"(v)
#endif
double spinFloats(long steps) {
  Vec a0{}, a1{}, a2{}, a3{}, a4{}, a5{}, a6{}, a7{}, a8{}, a9{};
  const Vec x = splat(0.999f), y = splat(1e-3f);
  for (long i = 0; i < steps; ++i) {
    a0 = a0 * x + y, a1 = a1 * x + y, a2 = a2 * x + y, a3 = a3 * x + y, a4 = a4 * x + y;
    a5 = a5 * x + y, a6 = a6 * x + y, a7 = a7 * x + y, a8 = a8 * x + y, a9 = a9 * x + y;
    asm volatile("" : SPIN_REGISTER(a0), SPIN_REGISTER(a1), SPIN_REGISTER(a2), SPIN_REGISTER(a3), SPIN_REGISTER(a4));
    asm volatile("" : SPIN_REGISTER(a5), SPIN_REGISTER(a6), SPIN_REGISTER(a7), SPIN_REGISTER(a8), SPIN_REGISTER(a9));
  }
  return steps * 10.0 * kWidth * 2;
}
double spin(Dtype dtype, long steps) {
#ifdef SPIN_DOTS
  const double done = spinDots(dtype, steps);
  if (done > 0) return done;
#endif
  static_cast<void>(dtype);
  return spinFloats(steps);
}

#ifndef NARROW_OWN_PRODUCTS
size_t productScratch(int, int, int) { return hindsight::narrowDxScratch(); }
void spanAttention(const AttentionArgs& g, int head, int span, int r0, int r1, float* scratch) {
  for (int i = 0; i < span; ++i) halfAttention(g, head + i, r0, r1, scratch);
}
constexpr bool kSharesKeys = false;
#else
size_t productScratch(int rows, int panels, int lanes);
void spanAttention(const AttentionArgs& g, int head, int span, int r0, int r1, float* scratch);
constexpr bool kSharesKeys = true;
#endif

#ifdef NARROW_MATRIX_TILES
void release();
/// `op`, after which the thread's tile registers are free again.
template <auto op, class... Args>
void released(Args... args) {
  op(args...);
  release();
}
constexpr NarrowOps narrowTable() {
  return NarrowOps{kTileRows, kPanels, kSharesKeys, toBf16, halfSwigluBackward, toBytes, toWords, productScratch,
                   released<narrowLinear, const NarrowArgs&, int, int, int, int, float*>, released<few, const FewArgs&, int, float*>,
                   released<narrowDx, const NarrowDxArgs&, int, int, int, int, float*>, released<narrowOuter, const NarrowOuterArgs&, int, float*>,
                   released<spanAttention, const AttentionArgs&, int, int, int, int, float*>, released<halfAttentionBackward, const AttentionBackwardArgs&, int, float*>, spin};
}
#else
constexpr NarrowOps narrowTable() { return NarrowOps{kTileRows, kPanels, kSharesKeys, toBf16, halfSwigluBackward, toBytes, toWords, productScratch, narrowLinear, few, narrowDx, narrowOuter, spanAttention, kHalfAttentionBackward, spin}; }
#endif

}  // namespace
