// Register tiles of narrow.inl in 512-bit dot-product instructions. Panels are [groups][64] lanes.
#include "kernels/cpu/narrow.h"

#define NARROW_TRANSPOSE
#ifndef NARROW_PLAIN_BF16
#define NARROW_ROUNDS
#define NARROW_TALL_TILES
#endif
#include "kernels/cpu/narrow.inl"
#include "kernels/cpu/turn512.inl"

namespace {

/// Groups between which a tile asks for other memory, a few lines at a time: a processor drops what it is asked for at once.
constexpr int kStepGroups = 16;
/// The lines of memory that a tile of Rows x 16 Strips numbers asks for in `steps` steps: what comes next, and what it will
/// write and add.
template <int Rows, int Strips>
class Asking {
 public:
  Asking(const Ahead& ahead, const Finish& finish, int steps) : next_(static_cast<const char*>(ahead.from)), ahead_(ahead.lines), finish_(finish), steps_(steps) {}
  inline __attribute__((always_inline)) void step() {
    for (aheadDue_ += ahead_; aheadDue_ >= steps_; aheadDue_ -= steps_, next_ += 64) __builtin_prefetch(next_, 0, 2);
    if (!finish_.to) return;
    // In the first half of the steps: a line that is written before it has come holds up all stores behind it.
    for (targetDue_ += 2 * Rows * Strips; targetDue_ >= steps_ && line_ < Rows * Strips; targetDue_ -= steps_, ++line_) {
      const long at = line_ / Strips * finish_.ldto + 16 * (line_ % Strips);
      bringToWrite(finish_.to + at);
      if (finish_.residual && finish_.residual != finish_.to) __builtin_prefetch(finish_.residual + at);
    }
  }

 private:
  const char* next_;
  int ahead_;
  const Finish& finish_;
  int steps_, aheadDue_ = 0, targetDue_ = 0;
  unsigned line_ = 0;
};
inline __m512i broadcast(const void* p) { return _mm512_set1_epi32(lane(p)); }

#ifndef NARROW_PLAIN_BF16
inline __m512 dotPairs(__m512 sum, __m512i a, __m512i b) {
  asm("vdpbf16ps %2,%1,%0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

template <int Rows, int Strips>
inline __attribute__((always_inline)) void sumPairs(__m512 (&acc)[Rows][Strips], const uint16_t* a, long lda, const uint16_t* b, long ldb, int groups) {
#pragma GCC unroll 2
  for (int g = 0; g < groups; ++g, b += ldb) {
    __m512i w[Strips];
#pragma GCC unroll 4
    for (int s = 0; s < Strips; ++s) w[s] = _mm512_loadu_si512(b + 32 * s);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      const __m512i x = broadcast(a + r * lda + 2 * g);
#pragma GCC unroll 4
      for (int s = 0; s < Strips; ++s) acc[r][s] = dotPairs(acc[r][s], x, w[s]);
    }
  }
}

template <int Rows, int Strips>
void runPairs(const BfTile& t) {
  __m512 acc[Rows][Strips];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int s = 0; s < Strips; ++s) acc[r][s] = t.add ? _mm512_loadu_ps(t.c + r * t.ldc + 16 * s) : _mm512_setzero_ps();
  const Part& base = t.part[0];
  Asking<Rows, Strips> asking(t.ahead, t.finish, (base.groups + kStepGroups - 1) / kStepGroups);
  for (int first = 0; first < base.groups; first += kStepGroups) {
    asking.step();
    sumPairs<Rows, Strips>(acc, base.a + 2 * first, base.lda, base.b + first * t.ldb, t.ldb, base.groups - first < kStepGroups ? base.groups - first : kStepGroups);
  }
  for (int i = 1; i < t.parts; ++i) sumPairs<Rows, Strips>(acc, t.part[i].a, t.part[i].lda, t.part[i].b, t.ldb, t.part[i].groups);
  leaveAll(t.finish, t.c, t.ldc, acc);
}

template <int Strips>
void runPairRows(int rows, const BfTile& t) {
  static constexpr void (*at[])(const BfTile&) = {runPairs<1, Strips>, runPairs<2, Strips>, runPairs<3, Strips>, runPairs<4, Strips>, runPairs<5, Strips>, runPairs<6, Strips>};
  if constexpr (Strips <= 2) {
    static constexpr void (*tall[])(const BfTile&) = {runPairs<7, Strips>, runPairs<8, Strips>, runPairs<9, Strips>, runPairs<10, Strips>, runPairs<11, Strips>, runPairs<12, Strips>};
    if (rows > kTileRows) return tall[rows - kTileRows - 1](t);
  }
  at[rows - 1](t);
}

void bf16Tile(int rows, const BfTile& t) {
  static constexpr void (*at[])(int, const BfTile&) = {runPairRows<1>, runPairRows<2>, runPairRows<3>, runPairRows<4>};
  at[t.strips - 1](rows, t);
}
#endif

inline __m512i dotBytes(__m512i sum, __m512i a, __m512i b) {
  asm("vpdpbusd %2,%1,%0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

template <int Rows>
inline __attribute__((always_inline)) void sumBytes(__m512i (&acc)[Rows][4], const uint8_t* a, long lda, const int8_t* b, int groups) {
#pragma GCC unroll 2
  for (int g = 0; g < groups; ++g, b += 4 * kNarrowPanel) {
    __m512i w[4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) w[s] = _mm512_loadu_si512(b + 64 * s);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m512i x = broadcast(a + r * lda + 4 * g);
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) acc[r][s] = dotBytes(acc[r][s], x, w[s]);
    }
  }
}

template <int Rows>
void runBytes(const ByteTile& t) {
  __m512i acc[Rows][4];
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    // The offset is taken off where the sums begin: they are whole numbers, so no order changes them.
    const __m512i offset = t.offset ? _mm512_loadu_si512(t.offset + 16 * s) : _mm512_setzero_si512();
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) acc[r][s] = _mm512_sub_epi32(t.add ? _mm512_loadu_si512(t.c + r * kNarrowPanel + 16 * s) : _mm512_setzero_si512(), offset);
  }
  Asking<Rows, 4> asking(t.ahead, t.finish, (t.groups + kStepGroups - 1) / kStepGroups);
  for (int first = 0; first < t.groups; first += kStepGroups) {
    asking.step();
    sumBytes<Rows>(acc, t.a + 4 * first, t.lda, t.b + static_cast<size_t>(first) * 4 * kNarrowPanel, t.groups - first < kStepGroups ? t.groups - first : kStepGroups);
  }
  if (!t.offset) {
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) _mm512_storeu_si512(t.c + r * kNarrowPanel + 16 * s, acc[r][s]);
    return;
  }
  __m512 sums[Rows][4];
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const Vec scale = load(t.wScale + 16 * s);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) sums[r][s] = _mm512_cvtepi32_ps(acc[r][s]) * (t.xScale[r] * scale);
  }
  leaveAll(t.finish, reinterpret_cast<float*>(t.c), kNarrowPanel, sums);
}

void int8Tile(int rows, const ByteTile& t) {
  static constexpr void (*at[])(const ByteTile&) = {runBytes<1>, runBytes<2>, runBytes<3>, runBytes<4>, runBytes<5>, runBytes<6>};
  at[rows - 1](t);
}

double spinDots(Dtype dtype, long steps) {
  __m512i acc[12], x = _mm512_set1_epi32(0x01010101);
  for (__m512i& a : acc) a = _mm512_setzero_si512();
  if (dtype == Dtype::Int8) {
    for (long i = 0; i < steps; ++i)
#pragma GCC unroll 12
      for (__m512i& a : acc) asm volatile("vpdpbusd %1,%1,%0" : "+v"(a) : "v"(x));
    return steps * 12.0 * 128;
  }
#ifndef NARROW_PLAIN_BF16
  if (dtype == Dtype::Bf16) {
    for (long i = 0; i < steps; ++i)
#pragma GCC unroll 12
      for (__m512i& a : acc) asm volatile("vdpbf16ps %1,%1,%0" : "+v"(a) : "v"(x));
    return steps * 12.0 * 64;
  }
#endif
  return 0;
}

}  // namespace
