// The vocabulary of the fast kernels, once for every vector width: vectors, exp, transposition. Included by one translation
// unit per instruction set, which first defines in an anonymous namespace
//   kWidth  floats of a vector register
// and is compiled with that set's flags. Only compiler vector types are used, and no inline function of the standard
// library: the linker could otherwise pick the copy made with AVX-512.
#include "kernels/cpu/ops.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

using hindsight::blockCount;
using hindsight::blockStart;
using hindsight::BlockWalk;

typedef float Vec __attribute__((vector_size(kWidth * 4)));
typedef float VecAt __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef int32_t VecI __attribute__((vector_size(kWidth * 4)));

inline Vec load(const float* p) { return *reinterpret_cast<const VecAt*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<VecAt*>(p) = v; }
/// Asks for the cache line at p in order to write it. Stores leave a processor in order: one that misses the caches
/// holds up all behind it.
inline void bringToWrite(const void* p) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));  // GCC's builtin would ask for reading here
#else
  __builtin_prefetch(p, 1);
#endif
}
/// Whether vectors are whole cache lines, which can be written past the caches.
constexpr bool kLineVectors = kWidth == 16;
inline void storeFar(float* p, Vec v) {
#if defined(__AVX512F__)
  __builtin_ia32_movntps512(p, v);
#else
  store(p, v);
#endif
}
inline void endFarStores() {
#if defined(__AVX512F__)
  __builtin_ia32_sfence();
#endif
}
inline Vec splat(float x) { return x - Vec{}; }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

/// 0 1 2 ... twice, in memory: compilers build a vector of lane numbers one lane at a time, at every use.
struct LaneNumbers {
  int32_t at[2 * kWidth] = {};
  constexpr LaneNumbers() {
    for (int i = 0; i < 2 * kWidth; ++i) at[i] = i % kWidth;
  }
};
constexpr LaneNumbers kLaneNumbers;
inline VecI lanesFrom(int first) {
  VecI v;
  __builtin_memcpy(&v, kLaneNumbers.at + first, sizeof v);
  return v;
}
/// v with lane i + step in lane i.
inline Vec shifted(Vec v, int step) { return __builtin_shuffle(v, lanesFrom(step)); }
inline float sumLanes(Vec v) {
#pragma GCC unroll 4
  for (int step = kWidth / 2; step > 0; step /= 2) v += shifted(v, step);
  return v[0];
}
inline float maxLanes(Vec v) {
#pragma GCC unroll 4
  for (int step = kWidth / 2; step > 0; step /= 2) v = larger(v, shifted(v, step));
  return v[0];
}

/// exp of the remainder r, at most ln 2 / 2 either way.
inline Vec expNear(Vec r) {
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r + 1.0f;
}
/// exp to about 2 ulp; 0 below -87.3.
inline Vec expVec(Vec x) {
  const Vec floor = splat(-87.3f);
#ifdef __AVX512F__
  // One instruction rounds, one scales, and what lies below the floor is masked.
  const Vec n = (Vec)_mm512_roundscale_ps((__m512)(x * 1.44269504088896341f), 0);
  const Vec near = expNear((x - n * 0.693359375f) - n * -2.12194440e-4f);
  return (Vec)_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask((__m512)x, (__m512)floor, _CMP_NLT_UQ), (__m512)near, (__m512)n);
#else
  const Vec ceiling = splat(88.3f);
  const VecI tiny = x < floor;
  Vec y = x < floor ? floor : x;
  y = y > ceiling ? ceiling : y;
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (y * 1.44269504088896341f + magic) - magic;
  const Vec near = expNear((y - n * 0.693359375f) - n * -2.12194440e-4f);
  const VecI exponent = (__builtin_convertvector(n, VecI) + 127) << 23;
  const Vec result = near * (Vec)exponent;
  return (Vec)((VecI)result & ~tiny);
#endif
}

// ---- transposition ---------------------------------------------------------------------------

/// Four floats of every fourth row from row `first` on, at column c: 128 bits each.
template <class Row>
inline __attribute__((always_inline)) Vec quads(const Row& row, int first, long c) {
#if defined(__AVX512F__)
  const auto at = [&](int i) __attribute__((always_inline)) { return _mm_loadu_ps(row(first + 4 * i) + c); };
  return (Vec)_mm512_insertf32x4(_mm512_insertf32x4(_mm512_insertf32x4(_mm512_castps128_ps512(at(0)), at(1), 1), at(2), 2), at(3), 3);
#elif defined(__AVX2__)
  return (Vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row(first) + c)), _mm_loadu_ps(row(first + 4) + c), 1);
#else
  static_assert(kWidth == 4, "one row");
  return load(row(first) + c);
#endif
}
/// Lanes of a shuffle within 128 bits: i and j of each of two vectors.
template <int I, int J, bool Pairs>
inline VecI within128() {
  VecI lanes;
  for (int i = 0; i < kWidth; ++i) {
    const int from = Pairs ? 2 * (I / 2) + i % 2 : i % 4 < 2 ? I : J, second = Pairs ? i % 4 / 2 : i % 2;
    lanes[i] = i / 4 * 4 + from + second * kWidth;
  }
  return lanes;
}
/// turned[c] = column c of kWidth rows of kWidth floats: loading gathers rows as far apart as registers have 128 bits, so
/// that two rounds of shuffles within 128 bits are left.
template <class Row>
inline __attribute__((always_inline)) void transpose(const Row& row, long c0, Vec (&turned)[kWidth]) {
#pragma GCC unroll 4
  for (int q = 0; q < kWidth; q += 4) {
    const Vec a = quads(row, 0, c0 + q), b = quads(row, 1, c0 + q), c = quads(row, 2, c0 + q), d = quads(row, 3, c0 + q);
    const Vec ab = __builtin_shuffle(a, b, within128<0, 1, false>()), AB = __builtin_shuffle(a, b, within128<2, 3, false>());
    const Vec cd = __builtin_shuffle(c, d, within128<0, 1, false>()), CD = __builtin_shuffle(c, d, within128<2, 3, false>());
    turned[q] = __builtin_shuffle(ab, cd, within128<0, 0, true>());
    turned[q + 1] = __builtin_shuffle(ab, cd, within128<2, 2, true>());
    turned[q + 2] = __builtin_shuffle(AB, CD, within128<0, 0, true>());
    turned[q + 3] = __builtin_shuffle(AB, CD, within128<2, 2, true>());
  }
}

/// out[c*ldo + r] = scale * x[r*ldx + c], or += with `Add`; writes exactly rows x cols. `Far`: whole vectors past the
/// caches, which then start where a cache line does. `LdX`: ldx, where it is always the same: sixteen addresses of rows are
/// more than there are registers for.
template <bool Add = false, bool Far = false, int LdX = 0>
void transposeBlock(const float* x, long ldx, int rows, int cols, float scale, float* out,
                    long ldo) {
  for (int r0 = 0; r0 < rows; r0 += kWidth) {
    const int height = rows - r0 < kWidth ? rows - r0 : kWidth;
    const float* row[kWidth];
    for (int i = 0; i < kWidth; ++i) row[i] = x + (r0 + (i < height ? i : 0)) * ldx;
    // Whole vectors that reach into the next columns, which are written later.
    const bool dense = !Add && height < kWidth && ldo == rows && rows < kWidth;
    const long whole = height == kWidth ? cols : dense ? cols - (kWidth - height + ldo - 1) / ldo : 0;
    int c0 = 0;
    for (; c0 + kWidth <= cols; c0 += kWidth) {
      Vec tile[kWidth];
      if (LdX && height == kWidth) transpose([&](int i) __attribute__((always_inline)) { return x + static_cast<long>(r0) * LdX + i * LdX; }, c0, tile);
      else transpose([&](int i) __attribute__((always_inline)) { return row[i]; }, c0, tile);
      if (c0 + kWidth <= whole) {
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) {
          float* to = out + (c0 + i) * ldo + r0;
          if constexpr (Far) storeFar(to, tile[i] * scale);
          else store(to, Add ? load(to) + tile[i] * scale : tile[i] * scale);
        }
      } else {
        float lines[kWidth][kWidth];
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; ++i) store(lines[i], tile[i] * scale);
        for (int i = 0; i < kWidth; ++i)
          for (int j = 0; j < height; ++j) {
            float& to = out[(c0 + i) * ldo + r0 + j];
            to = Add ? to + lines[i][j] : lines[i][j];
          }
      }
    }
    for (; c0 < cols; ++c0)
      for (int i = 0; i < height; ++i) {
        float& to = out[c0 * ldo + r0 + i];
        const float value = scale * row[i][c0];
        to = Add ? to + value : value;
      }
  }
}

// ---- what several ops share ------------------------------------------------------------------

inline float dot(const float* a, const float* b, int n) {
  Vec sum{}, sum2{};
  int i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    sum += load(a + i) * load(b + i);
    sum2 += load(a + i + kWidth) * load(b + i + kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) sum += load(a + i) * load(b + i);
  float total = sumLanes(sum + sum2);
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

inline Vec silu(Vec g) { return g / (1.0f + expVec(-g)); }
inline void swigluGradient(Vec g, Vec u, Vec d, Vec& dg, Vec& du) {
  const Vec s = 1.0f / (1.0f + expVec(-g));
  du = d * g * s;
  dg = d * u * s * (1.0f + g * (1.0f - s));
}

/// buffer = the `left` floats of p that are less than a vector, and zeros.
inline void padded(const float* p, int left, float* buffer) {
  for (int i = 0; i < kWidth; ++i) buffer[i] = i < left ? p[i] : 0.0f;
}
void swigluBackward(const float* gate, const float* up, const float* dOut, size_t n, float* dGate, float* dUp) {
  size_t i = 0;
  Vec dg, du;
  for (; i + kWidth <= n; i += kWidth) {
    swigluGradient(load(gate + i), load(up + i), load(dOut + i), dg, du);
    store(dGate + i, dg);
    store(dUp + i, du);
  }
  if (i < n) {
    float g[kWidth], u[kWidth], d[kWidth];
    const int left = static_cast<int>(n - i);
    padded(gate + i, left, g);
    padded(up + i, left, u);
    padded(dOut + i, left, d);
    swigluGradient(load(g), load(u), load(d), dg, du);
    store(g, dg);
    store(u, du);
    for (int j = 0; j < left; ++j) {
      dGate[i + j] = g[j];
      dUp[i + j] = u[j];
    }
  }
}

}  // namespace
