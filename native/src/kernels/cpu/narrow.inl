// The products of narrow.h, once for every instruction set. Included after simd.inl's vocabulary by
// a translation unit that takes from here (NARROW_PLAIN_BF16, NARROW_PLAIN_INT8, unless
// NARROW_TRANSPOSE) or itself defines
//   bf16Tile(rows, t), int8Tile(rows, t)   C[rows][64] (+)= A B over `groups` lanes of 2 (4) inputs
//   transposePairs                         and spin(), which measures the processor's peak
#include "kernels/cpu/narrow.h"

namespace {

using hindsight::Dtype;
using hindsight::kNarrowK;
using hindsight::kNarrowPanel;
using hindsight::kNarrowRows;
using hindsight::NarrowArgs;
using hindsight::NarrowDxArgs;
using hindsight::NarrowOps;
using hindsight::padded4;

typedef uint32_t VecU __attribute__((vector_size(kWidth * 4)));
typedef uint16_t VecH __attribute__((vector_size(kWidth * 2)));
typedef uint16_t VecHAt __attribute__((vector_size(kWidth * 2), aligned(2), may_alias));
typedef int32_t VecIAt __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
inline VecI loadInts(const void* p) { return *static_cast<const VecIAt*>(p); }
inline void storeInts(void* p, VecI v) { *static_cast<VecIAt*>(p) = v; }
inline int32_t lane(const void* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return v;
}

/// `strips`: how many strips of 16 outputs are wanted; more may be computed.
struct BfTile {
  const uint16_t *a, *b;
  long lda;
  int groups;
  const uint16_t *a2, *b2;
  long lda2;
  int groups2;
  float* c;
  int strips;
  bool add;
};
struct ByteTile {
  const uint8_t* a;
  long lda;
  const int8_t* b;
  int groups;
  int32_t* c;
  int strips;
  bool add;
};

void bf16Tile(int rows, const BfTile& t);
void int8Tile(int rows, const ByteTile& t);
void transposePairs(const uint16_t* panel, int count, int width, uint16_t* out);
#ifdef NARROW_TRANSPOSE
#define SPIN_DOTS
double spinDots(hindsight::Dtype dtype, long steps);
#endif

#ifdef NARROW_PLAIN_BF16
template <int Rows>
inline __attribute__((always_inline)) void bf16Sum(Vec (&acc)[Rows][2], const uint16_t* a, long lda, const uint16_t* b, int groups) {
  for (int g = 0; g < groups; ++g, b += 2 * kNarrowPanel) {
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
      for (int v = 0; v < 2; ++v) acc[r][v] = t.add ? load(t.c + r * kNarrowPanel + s + v * kWidth) : Vec{};
    bf16Sum<Rows>(acc, t.a, t.lda, t.b + 2 * s, t.groups);
    bf16Sum<Rows>(acc, t.a2, t.lda2, t.b2 + 2 * s, t.groups2);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) store(t.c + r * kNarrowPanel + s + v * kWidth, acc[r][v]);
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
  for (int s = 0; s < 16 * t.strips; s += kWidth) {
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
    for (int r = 0; r < Rows; ++r) storeInts(t.c + r * kNarrowPanel + s, acc[r]);
  }
}

void int8Tile(int rows, const ByteTile& t) {
  static constexpr void (*at[])(const ByteTile&) = {int8TilePlain<1>, int8TilePlain<2>, int8TilePlain<3>, int8TilePlain<4>, int8TilePlain<5>, int8TilePlain<6>};
  at[rows - 1](t);
}
#endif

// ---- conversions -----------------------------------------------------------------------------

void toBf16(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    VecU bits = (VecU)load(x + i);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    *reinterpret_cast<VecHAt*>(out + i) = __builtin_convertvector(bits, VecH);
  }
  for (; i < n; ++i) {
    uint32_t bits = static_cast<uint32_t>(lane(x + i));
    bits += 0x7fff + (bits >> 16 & 1);
    out[i] = static_cast<uint16_t>(bits >> 16);
  }
}

float toBytes(const float* x, int k, uint8_t* out) {
  typedef uint8_t VecB __attribute__((vector_size(kWidth)));
  typedef uint8_t VecBAt __attribute__((vector_size(kWidth), aligned(1), may_alias));
  Vec best{};
  int i = 0;
  for (; i + kWidth <= k; i += kWidth) {
    const Vec v = load(x + i);
    best = larger(best, larger(v, -v));
  }
  float top = maxLanes(best);
  for (; i < k; ++i) top = x[i] > top ? x[i] : -x[i] > top ? -x[i] : top;
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  constexpr float magic = 12582912.0f + 128.0f;  // 1.5 * 2^23 rounds to an integer
  for (i = 0; i + kWidth <= k; i += kWidth) {
    const VecI n = (VecI)(load(x + i) * inverse + magic) & 0xff;
    *reinterpret_cast<VecBAt*>(out + i) = __builtin_convertvector(n, VecB);
  }
  for (; i < k; ++i) {
    const float n = x[i] * inverse + magic;
    out[i] = static_cast<uint8_t>(lane(&n) & 0xff);
  }
  for (; i < padded4(k); ++i) out[i] = 128;
  return top / 127.0f;
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

#ifndef NARROW_TRANSPOSE
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

/// Rows of one tile from C to Y.
template <bool Integers>
inline void finish(const NarrowArgs& g, int row, int rows, int n0, const float* c) {
  const int cols = g.n - n0 < kNarrowPanel ? g.n - n0 : kNarrowPanel;
  for (int r = 0; r < rows; ++r) {
    const float* sum = c + r * kNarrowPanel;
    float* y = g.y + static_cast<size_t>(row + r) * g.ldy + n0;
    const float* add = g.residual ? g.residual + static_cast<size_t>(row + r) * g.ldy + n0 : nullptr;
    int i = 0;
    for (; i + kWidth <= cols; i += kWidth) {
      Vec v = Integers ? __builtin_convertvector(loadInts(sum + i) - loadInts(g.wOffset + n0 + i), Vec) * (g.xScale[row + r] * load(g.wScale + n0 + i)) : load(sum + i);
      if (g.bias) v += load(g.bias + n0 + i);
      if (add) v += load(add + i);
      store(y + i, v);
    }
    for (; i < cols; ++i) {
      float v = Integers ? static_cast<float>(lane(sum + i) - g.wOffset[n0 + i]) * (g.xScale[row + r] * g.wScale[n0 + i]) : sum[i];
      if (g.bias) v += g.bias[n0 + i];
      if (add) v += add[i];
      y[i] = v;
    }
  }
}

/// Integer sums to numbers, in place.
inline void scaleBytes(const NarrowArgs& g, int row, int rows, int n0, float* c) {
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < kNarrowPanel; i += kWidth) {
      const VecI sum = loadInts(c + r * kNarrowPanel + i) - loadInts(g.wOffset + n0 + i);
      store(c + r * kNarrowPanel + i, __builtin_convertvector(sum, Vec) * (g.xScale[row + r] * load(g.wScale + n0 + i)));
    }
}

void narrowLinear(const NarrowArgs& g, int r0, int r1, int p, float* scratch) {
  const int n0 = p * kNarrowPanel, k = padded4(g.k), count = r1 - r0, blocks = blockCount(count, kNarrowRows);
  const int cols = g.n - n0 < kNarrowPanel ? g.n - n0 : kNarrowPanel, strips = (cols + 15) / 16;
  const bool bytes = g.xBytes != nullptr, widen = g.wScale && !bytes;
  auto* wide = reinterpret_cast<uint16_t*>(scratch + static_cast<size_t>(hindsight::kNarrowSpan) * kNarrowPanel);
  const int step = bytes ? 2 * kNarrowK : kNarrowK;
  for (int k0 = 0; k0 < k; k0 += step) {
    const int length = k - k0 < step ? k - k0 : step;
    const bool last = k0 + length == k;
    const size_t at = static_cast<size_t>(n0) * k + static_cast<size_t>(k0) * kNarrowPanel;
    const uint16_t* pairs = static_cast<const uint16_t*>(g.w) + at;
    if (widen) {
      widenBytes(static_cast<const int8_t*>(g.w) + at, length / 4, wide);
      pairs = wide;
    }
    for (int i = 0; i < blocks; ++i) {
      const int first = blockStart(count, blocks, i), rows = blockStart(count, blocks, i + 1) - first, row = r0 + first;
      float* c = scratch + static_cast<size_t>(first) * kNarrowPanel;
      // LoRA's term goes last, after int8's scales: it is a bf16 product on its own there.
      const uint16_t *a2 = g.x2 ? g.x2 + row * g.ldx2 : nullptr, *b2 = g.w2 ? g.w2 + static_cast<size_t>(n0) * padded4(g.k2) : nullptr;
      const int groups2 = padded4(g.k2) / 2;
      if (bytes) {
        int8Tile(rows, {g.xBytes + static_cast<size_t>(row) * k + k0, k, static_cast<const int8_t*>(g.w) + at, length / 4, reinterpret_cast<int32_t*>(c), strips, k0 > 0});
        if (last && g.k2) scaleBytes(g, row, rows, n0, c);
      } else {
        const bool own = last && !widen;
        bf16Tile(rows, {g.x + static_cast<size_t>(row) * k + k0, pairs, k, length / 2, a2, b2, g.ldx2, own ? groups2 : 0, c, strips, k0 > 0});
        if (last && widen)
          for (int j = 0; j < rows * kNarrowPanel; j += kWidth) store(c + j, load(c + j) * load(g.wScale + n0 + j % kNarrowPanel));
      }
      if (!last) continue;
      if (g.k2 && (bytes || widen)) bf16Tile(rows, {a2, b2, g.ldx2, groups2, a2, b2, 0, 0, c, strips, true});
      if (bytes && !g.k2) finish<true>(g, row, rows, n0, c);
      else finish<false>(g, row, rows, n0, c);
    }
  }
}

// ---- dX = dY W -------------------------------------------------------------------------------

void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p, float* scratch) {
  const int k0 = p * kNarrowPanel, count = r1 - r0, blocks = blockCount(count, kNarrowRows);
  const int cols = g.k - k0 < kNarrowPanel ? g.k - k0 : kNarrowPanel, strips = (cols + 15) / 16;
  auto* panel = reinterpret_cast<uint16_t*>(scratch + static_cast<size_t>(hindsight::kNarrowSpan) * kNarrowPanel);
  uint16_t* wide = panel + static_cast<size_t>(kNarrowK) * kNarrowPanel;
  const int k = padded4(g.k), width = k - k0 < kNarrowPanel ? k - k0 : kNarrowPanel;
  bool started = false;
  for (int t = 0; t < g.terms; ++t) {
    const auto& term = g.term[t];
    for (int n0 = 0; n0 < term.n; n0 += kNarrowK) {
      const int length = term.n - n0 < kNarrowK ? term.n - n0 : kNarrowK;
      for (int n = 0; n < length; n += kNarrowPanel) {
        const size_t at = static_cast<size_t>(n0 + n) * k + static_cast<size_t>(k0) * kNarrowPanel;
        const uint16_t* source = static_cast<const uint16_t*>(term.w) + at;
        if (term.bytes) {
          widenBytes(static_cast<const int8_t*>(term.w) + at, width / 4, wide);
          source = wide;
        }
        const int here = length - n < kNarrowPanel ? (length - n + 1) / 2 * 2 : kNarrowPanel;
        transposePairs(source, here, width, panel + static_cast<size_t>(n) * kNarrowPanel);
      }
      for (int i = 0; i < blocks; ++i) {
        const int first = blockStart(count, blocks, i), rows = blockStart(count, blocks, i + 1) - first;
        const uint16_t* a = term.dy + static_cast<size_t>(r0 + first) * term.lddy + n0;
        bf16Tile(rows, {a, panel, term.lddy, (length + 1) / 2, a, panel, 0, 0, scratch + static_cast<size_t>(first) * kNarrowPanel, strips, started});
      }
      started = true;
    }
  }
  if (g.k2)
    for (int i = 0; i < blocks; ++i) {
      const int first = blockStart(count, blocks, i), rows = blockStart(count, blocks, i + 1) - first;
      const uint16_t *a = g.x2 + static_cast<size_t>(r0 + first) * g.ldx2, *b = g.w2 + static_cast<size_t>(k0) * padded4(g.k2);
      bf16Tile(rows, {a, b, g.ldx2, padded4(g.k2) / 2, a, b, 0, 0, scratch + static_cast<size_t>(first) * kNarrowPanel, strips, started});
    }
  for (int r = 0; r < count; ++r) {
    float* dx = g.dx + static_cast<size_t>(r0 + r) * g.lddx + k0;
    const float* c = scratch + static_cast<size_t>(r) * kNarrowPanel;
    int i = 0;
    for (; i + kWidth <= cols; i += kWidth) store(dx + i, g.add ? load(dx + i) + load(c + i) : load(c + i));
    for (; i < cols; ++i) dx[i] = g.add ? dx[i] + c[i] : c[i];
  }
}

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

constexpr NarrowOps narrowTable() { return NarrowOps{toBf16, toBytes, narrowLinear, narrowDx, spin}; }

}  // namespace
