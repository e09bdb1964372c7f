// The products of narrow.h, and the fp32 dX of the head, for AVX2, which has no dot products of bf16 and none of bytes
// that cannot saturate.
//
// Method (Goto's): the contraction is cut into blocks of lanes, a lane being one fp32 input or a pair of 16-bit ones. Of a
// block, up to kGroupRows rows of A are widened once into [rows][lanes] for up to kGroupPanels panels of 64 outputs, and
// the weight strip by strip: [lanes][strip] stays in the first-level cache while all the rows pass by. Between blocks the
// sums wait in C [panels][kGroupRows][64]. bf16 is widened to fp32 and multiplied by FMA, int8 x int8 to 16 bits
// and multiplied by vpmaddwd, which is exact; both in tiles of 6 rows x 16 outputs, 12 sums in registers. A tile asks for
// its share of the weights that come next.
//
// Every sum runs over the lanes in their order, whatever the blocks.
#include <immintrin.h>

#define NARROW_OWN_PRODUCTS
#include "kernels/cpu/narrow.inl"

namespace {

/// A tile: rows and vectors of outputs; lanes of a block, of which a strip takes 20 KB; and the distance of widened rows,
/// which is not a multiple of 1 KB: that would crowd them into few sets of the cache.
constexpr int kTileVecs = 2, kWide = kTileVecs * kWidth, kLanes = 320, kWideRow = kLanes + 16;
constexpr int kGroupRows = 33 * kTileRows;
constexpr int kGroupPanels = kLinearPanels;
constexpr size_t kSumsOfPanel = static_cast<size_t>(kGroupRows) * kNarrowPanel;
static_assert(kGroupPanels * kSumsOfPanel + static_cast<size_t>(kGroupRows) * kWideRow + kLanes * kWide <= hindsight::narrowDxScratch(), "fits narrowDxScratch()");

/// How the sums of a tile leave it. `scale` times `offset`'s difference where int8 met int8.
struct Leave {
  const int32_t* offset = nullptr;  // bytes: the sums end as numbers, (sum - offset[n]) * xScale[row] * scale[n]
  const float *xScale = nullptr, *scale = nullptr;
  Finish finish;
};

/// C[rows][strip] (+)= A B; rows of A lie kWideRow apart.
struct StripTile {
  const float* a;
  const float* b;
  int lanes;
  float* c;
  long ldc;
  bool add;
  Leave leave;
};

// One lane. Inline assembly, because GCC regroups these sums and moves or spills what it then has to keep.
template <int Rows>
inline __attribute__((always_inline)) void addLane(Vec (&acc)[Rows][2], const float* a, const float* b) {
  const Vec w0 = load(b), w1 = load(b + kWidth);
  Vec x;
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r)
    asm("vbroadcastss %3,%2\n\tvfmadd231ps %4,%2,%0\n\tvfmadd231ps %5,%2,%1"
        : "+x"(acc[r][0]), "+x"(acc[r][1]), "=&x"(x) : "m"(a[r * kWideRow]), "x"(w0), "x"(w1));
}
template <int Rows>
inline __attribute__((always_inline)) void addLane(VecI (&acc)[Rows][2], const float* a, const float* b) {
  const Vec w0 = load(b), w1 = load(b + kWidth);
  Vec x, product;
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r)
    asm("vbroadcastss %4,%2\n\tvpmaddwd %5,%2,%3\n\tvpmaddwd %6,%2,%2\n\tvpaddd %3,%0,%0\n\tvpaddd %2,%1,%1"
        : "+x"(acc[r][0]), "+x"(acc[r][1]), "=&x"(x), "=&x"(product) : "m"(a[r * kWideRow]), "x"(w0), "x"(w1));
}

template <class Sum, int Rows>
void runStrip(const StripTile& t) {
  constexpr int vecs = kTileVecs, strip = kWide;
  Sum acc[Rows][vecs] = {};
  if (t.add)
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v) acc[r][v] = (Sum)load(t.c + r * t.ldc + v * kWidth);
  const float *a = t.a, *b = t.b;
  int i = 0;
  for (; i + 4 <= t.lanes; i += 4, a += 4, b += 4 * strip) {
    addLane<Rows>(acc, a, b);
    addLane<Rows>(acc, a + 1, b + strip);
    addLane<Rows>(acc, a + 2, b + 2 * strip);
    addLane<Rows>(acc, a + 3, b + 3 * strip);
  }
  for (; i < t.lanes; ++i, ++a, b += strip) addLane<Rows>(acc, a, b);
  Vec sums[Rows][vecs];
#pragma GCC unroll 4
  for (int v = 0; v < vecs; ++v) {
    const VecI offset = t.leave.offset ? loadInts(t.leave.offset + v * kWidth) : VecI{};
    const Vec scale = t.leave.scale ? load(t.leave.scale + v * kWidth) : Vec{};
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      sums[r][v] = (Vec)acc[r][v];
      if (t.leave.offset) sums[r][v] = __builtin_convertvector((VecI)acc[r][v] - offset, Vec) * (t.leave.xScale[r] * scale);
      else if (t.leave.scale) sums[r][v] *= scale;
    }
  }
  leaveAll(t.leave.finish, t.c, t.ldc, sums);
}

template <class Sum>
inline void stripTile(int rows, const StripTile& t) {
  static constexpr void (*at[])(const StripTile&) = {runStrip<Sum, 1>, runStrip<Sum, 2>, runStrip<Sum, 3>, runStrip<Sum, 4>, runStrip<Sum, 5>, runStrip<Sum, 6>};
  at[rows - 1](t);
}

// ---- widening ----------------------------------------------------------------------------------

/// Rows of which the lines are asked for before they are widened.
constexpr int kRowsAhead = 4;
/// n bf16 numbers to fp32; may write up to 7 beyond. `ahead`: of a row that is widened soon.
inline void widenHalves(const uint16_t* x, int n, float* out, const uint16_t* ahead = nullptr) {
  if (ahead)
    for (int i = 0; i < n; i += 32) __builtin_prefetch(ahead + i);
  for (int i = 0; i < n; i += 8)
    storeInts(out + i, (VecI)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))), 16));
}
/// Groups of four bytes around 128 to two pairs of words: (0, 2) and (1, 3).
inline void widenRow(const uint8_t* x, int groups, float* out, const uint8_t* ahead = nullptr) {
  if (ahead)
    for (int i = 0; i < 4 * groups; i += 64) __builtin_prefetch(ahead + i);
  for (int g = 0; g < groups; g += 8) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 4 * g));
    const __m256i even = _mm256_and_si256(v, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(v, 8);
    const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    storeInts(out + 2 * g, (VecI)_mm256_permute2x128_si256(low, high, 0x20));
    storeInts(out + 2 * g + kWidth, (VecI)_mm256_permute2x128_si256(low, high, 0x31));
  }
}
/// A strip of a panel [groups][64][2] of bf16.
inline void widenStrip(const uint16_t* w, int groups, float* out, long ldw = 2 * kNarrowPanel) {
  for (int g = 0; g < groups; ++g, w += ldw, out += 2 * kWide)
#pragma GCC unroll 2
    for (int v = 0; v < kTileVecs; ++v) {
      const VecI lanes = loadInts(w + 2 * v * kWidth);
      storeInts(out + v * kWidth, lanes << 16);
      storeInts(out + kWide + v * kWidth, lanes & -65536);
    }
}
/// A strip of a panel [groups][64][4] of bytes, to fp32.
inline void widenStrip(const int8_t* w, int groups, float* out) {
  for (int g = 0; g < groups; ++g, w += 4 * kNarrowPanel, out += 4 * kWide)
#pragma GCC unroll 2
    for (int v = 0; v < kTileVecs; ++v) {
      const VecI lanes = loadInts(w + 4 * v * kWidth);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) store(out + i * kWide + v * kWidth, __builtin_convertvector(lanes << (24 - 8 * i) >> 24, Vec));
    }
}
/// The same to pairs of words, as widenRow.
inline void widenPairs(const int8_t* w, int groups, float* out) {
  constexpr int strip = kWide;
  for (int g = 0; g < groups; ++g, w += 4 * kNarrowPanel, out += 2 * strip)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256i lanes = (__m256i)loadInts(w + 4 * v * kWidth);
      storeInts(out + v * kWidth, (VecI)_mm256_srai_epi16(_mm256_slli_epi16(lanes, 8), 8));
      storeInts(out + strip + v * kWidth, (VecI)_mm256_srai_epi16(lanes, 8));
    }
}

inline __m256i lanes8(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
/// 16 inputs of 64 outputs of a packed weight, turned: out[64][kWide]. `w` [8][64][2] bf16.
inline void turnStrip(const uint16_t* w, float* out) {
  for (int n = 0; n < kNarrowPanel; n += 8) {
    __m256i r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = lanes8(w + i * 2 * kNarrowPanel + 2 * n);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
      r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
      r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
      r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[i], r[i + 4]: input pairs 0..3, 4..7 of outputs n + i (low half) and n + i + 4.
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        float* to = out + (n + i + 4 * half) * kWide;
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v)
          storeInts(to + v * kWidth, (VecI)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half ? _mm256_extracti128_si256(r[i + 4 * v], 1) : _mm256_castsi256_si128(r[i + 4 * v])), 16));
      }
  }
}
/// The same of bytes [4][64][4].
inline void turnStrip(const int8_t* w, float* out) {
  for (int n = 0; n < kNarrowPanel; n += 8) {
    __m256i r[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) r[i] = lanes8(w + i * 4 * kNarrowPanel + 4 * n);
    t[0] = _mm256_unpacklo_epi32(r[0], r[1]);
    t[1] = _mm256_unpackhi_epi32(r[0], r[1]);
    t[2] = _mm256_unpacklo_epi32(r[2], r[3]);
    t[3] = _mm256_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm256_unpacklo_epi64(t[0], t[2]);
    r[1] = _mm256_unpackhi_epi64(t[0], t[2]);
    r[2] = _mm256_unpacklo_epi64(t[1], t[3]);
    r[3] = _mm256_unpackhi_epi64(t[1], t[3]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m128i bytes = half ? _mm256_extracti128_si256(r[i], 1) : _mm256_castsi256_si128(r[i]);
        float* to = out + (n + i + 4 * half) * kWide;
        store(to, (Vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
        store(to + kWidth, (Vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
      }
  }
}
/// Either, where only `width` < 16 inputs (a multiple of 4) are there.
template <class Item>
inline void turnPart(const Item* w, int width, float* out) {
  constexpr int row = 4 / sizeof(Item) * kNarrowPanel;
  Item part[16 * kNarrowPanel] = {};
  __builtin_memcpy(part, w, static_cast<size_t>(width) / (4 / sizeof(Item)) * row * sizeof(Item));
  turnStrip(part, out);
}

// ---- tiles of attention, LoRA and decoding -------------------------------------------------------

/// How far ahead in a stream of weights to ask, in groups of 256 bytes.
constexpr int kFar = 8;
inline void askFar(const void* b) {
#pragma GCC unroll 4
  for (int line = 0; line < 4; ++line) __builtin_prefetch(static_cast<const char*>(b) + kFar * 256 + 64 * line);
}
inline Finish moved(Finish f, int row, int col) {
  if (f.to) f.to += row * f.ldto + col;
  if (f.bias) f.bias += col;
  if (f.residual) f.residual += row * f.ldto + col;
  return f;
}

/// One or two rows: bound by the weights' way from memory, which are widened in registers.
template <int Rows, int Vecs>
void fewPairs(const BfTile& t, int s) {
  Vec acc[Rows][Vecs];
#pragma GCC unroll 2
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vecs; ++v) acc[r][v] = t.add ? load(t.c + r * t.ldc + s + v * kWidth) : Vec{};
  for (int i = 0; i < t.parts; ++i) {
    const Part& part = t.part[i];
    const uint16_t* b = part.b + 2 * s;
    for (int g = 0; g < part.groups; ++g, b += t.ldb) {
      askFar(b);
      Vec even[Rows], odd[Rows];
#pragma GCC unroll 2
      for (int r = 0; r < Rows; ++r) {
        const VecI pair = (VecI)_mm256_set1_epi32(lane(part.a + r * part.lda + 2 * g));
        even[r] = (Vec)(pair << 16);
        odd[r] = (Vec)(pair & -65536);
      }
#pragma GCC unroll 8
      for (int v = 0; v < Vecs; ++v) {
        const VecI w = loadInts(b + 2 * v * kWidth);
#pragma GCC unroll 2
        for (int r = 0; r < Rows; ++r) {
          acc[r][v] += even[r] * (Vec)(w << 16);
          acc[r][v] += odd[r] * (Vec)(w & -65536);
        }
      }
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vecs; ++v) leave(t.finish, t.c + r * t.ldc, r, s + v * kWidth, acc[r][v]);
}

/// Any number of rows; up to 32 columns at a time are computed.
void bf16Tile(int rows, const BfTile& t) {
  constexpr int most = kLanes, rowsAtOnce = 66;
  const int cols = 16 * t.strips;
  if (rows == 1 && t.strips == 4) return fewPairs<1, 8>(t, 0);
  if (rows <= 2) {
    for (int s = 0; s < cols; s += 4 * kWidth) rows == 1 ? fewPairs<1, 4>(t, s) : fewPairs<2, 4>(t, s);
    return;
  }
  float a[rowsAtOnce * kWideRow], b[most * kWide];
  struct Piece {
    const Part* part;
    int first, lanes;
  };
  bool add = t.add;
  for (int part = 0, at = 0; part < t.parts;) {
    Piece pieces[4];
    int count = 0, lanes = 0;
    while (part < t.parts && lanes < most) {
      const int left = 2 * t.part[part].groups - at, here = left < most - lanes ? left : most - lanes;
      pieces[count++] = {&t.part[part], at, here};
      lanes += here;
      at += here;
      if (here == left) ++part, at = 0;
    }
    const bool last = part == t.parts;
    for (int r0 = 0; r0 < rows; r0 += rowsAtOnce) {
      const int height = rows - r0 < rowsAtOnce ? rows - r0 : rowsAtOnce;
      for (int r = 0; r < height; ++r)
        for (int i = 0, to = 0; i < count; to += pieces[i++].lanes) widenHalves(pieces[i].part->a + (r0 + r) * pieces[i].part->lda + pieces[i].first, pieces[i].lanes, a + r * kWideRow + to);
      for (int s = 0; s < cols; s += kWide) {
        for (int i = 0, to = 0; i < count; to += pieces[i++].lanes) widenStrip(pieces[i].part->b + pieces[i].first / 2 * t.ldb + 2 * s, pieces[i].lanes / 2, b + to * kWide, t.ldb);
        for (int r = 0; r < height; r += kTileRows) {
          Leave leave;
          if (last) leave.finish = moved(t.finish, r0 + r, s);
          stripTile<Vec>(height - r < kTileRows ? height - r : kTileRows, {a + r * kWideRow, b, lanes, t.c + (r0 + r) * t.ldc + s, t.ldc, add, leave});
        }
      }
    }
    add = true;
  }
}

/// Up to six rows of bytes that decode together.
template <int Rows>
void fewBytes(const ByteTile& t) {
  constexpr int vecs = Rows <= 2 ? 4 : 2, most = 512;  // groups of a stretch of widened rows
  float x[Rows][2 * most + 16];
  for (int g0 = 0; g0 < t.groups || g0 == 0; g0 += most) {
    const int groups = t.groups - g0 < most ? t.groups - g0 : most;
    const bool last = g0 + groups == t.groups;
    for (int r = 0; r < Rows; ++r) widenRow(t.a + r * t.lda + 4 * g0, groups, x[r]);
    for (int s = 0; s < kNarrowPanel; s += vecs * kWidth) {
      VecI acc[Rows][vecs];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) acc[r][v] = t.add || g0 ? loadInts(t.c + r * kNarrowPanel + s + v * kWidth) : VecI{};
      const int8_t* b = t.b + static_cast<size_t>(g0) * 4 * kNarrowPanel + 4 * s;
      for (int g = 0; g < groups; ++g, b += 4 * kNarrowPanel) {
        if (s == 0) askFar(b);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) {
          const __m256i w = (__m256i)loadInts(b + 4 * v * kWidth), odd = _mm256_srai_epi16(w, 8), even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
#pragma GCC unroll 6
          for (int r = 0; r < Rows; ++r) {
            __m256i product = _mm256_madd_epi16(even, (__m256i)_mm256_broadcast_ss(x[r] + 2 * g));
            product = _mm256_add_epi32(product, _mm256_madd_epi16(odd, (__m256i)_mm256_broadcast_ss(x[r] + 2 * g + 1)));
            acc[r][v] += (VecI)product;
          }
        }
      }
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; ++v) {
          const int at = s + v * kWidth;
          int32_t* c = t.c + r * kNarrowPanel;
          if (last && t.offset) leave(t.finish, reinterpret_cast<float*>(c), r, at, __builtin_convertvector(acc[r][v] - loadInts(t.offset + at), Vec) * (t.xScale[r] * load(t.wScale + at)));
          else storeInts(c + at, acc[r][v]);
        }
    }
  }
}

void int8Tile(int rows, const ByteTile& t) {
  static constexpr void (*at[])(const ByteTile&) = {fewBytes<1>, fewBytes<2>, fewBytes<3>, fewBytes<4>, fewBytes<5>, fewBytes<6>};
  at[rows - 1](t);
}

// ---- one block ---------------------------------------------------------------------------------

/// Rows [first, first + rows) of a product and the outputs [n0, n1), at most kGroupPanels panels; n0 begins a panel.
struct Group {
  int first, rows, n0, n1;
  float* sums;   // C
  float* wide;   // A, rows kWideRow apart
  float* strip;  // B
  int next;      // first row of the group after this one
  float* c(int n, int row) const { return sums + n / kNarrowPanel * kSumsOfPanel + static_cast<size_t>(row) * kNarrowPanel + n % kNarrowPanel; }
};
inline Group group(float* scratch, int first, int rows, int n0, int n1, int next) {
  float* strip = scratch + kGroupPanels * kSumsOfPanel;
  return {first, rows, n0, n1, scratch, strip + kLanes * kWide, strip, next};
}

/// Memory that will be wanted: `count` pieces of `lines` cache lines, `step` bytes apart.
struct Lines {
  const void* from = nullptr;
  long step = 0;
  int count = 0, lines = 1;
};
/// Share i of shares of `each` pieces.
inline void bringNear(const Lines& next, int i, int each) {
  const int end = (i + 1) * each < next.count ? (i + 1) * each : next.count;
  for (int piece = i * each; piece < end; ++piece)
    for (int line = 0; line < next.lines; ++line) __builtin_prefetch(static_cast<const char*>(next.from) + next.step * piece + 64 * line, 0, 2);
}

/// What the next block widens of A: `bytes` of each row. It follows in the rows, or, of the last block, is the first of the next group.
inline Lines rowsAhead(const Group& g, const void* x, long ldBytes, long at, bool last, long bytes) {
  return {static_cast<const char*>(x) + (last ? g.next : g.first) * ldBytes + (last ? 0 : at), ldBytes, g.rows, static_cast<int>((bytes + 63) / 64)};
}

/// C (+)= A B of one block. For the outputs from n on (counted from n0): make(n) returns B [lanes][strip], next(n) is what to
/// ask for meanwhile, and last(n) says how the sums of the first row leave; where a strip is not whole they leave through C.
template <class Sum, class Make, class Next, class Last>
inline void multiply(const Group& g, int lanes, bool add, const Lines& rowsNext, Make make, Next next, Last last) {
  constexpr int strip = kWide, most = kTileRows;
  const int tiles = blockCount(g.rows, most), width = g.n1 - g.n0;
  const int eachRow = blockCount(rowsNext.count, blockCount(width, strip) * tiles);
  for (int n = 0, i = 0; n < width; n += strip) {
    StripTile t{g.wide, make(n), lanes, g.c(n, 0), kNarrowPanel, add, last(n)};
    const Lines ahead = next(n);
    const int cols = width - n < strip ? width - n : strip, each = blockCount(ahead.count, tiles);
    Finish finish = t.leave.finish;
    if (cols < strip) t.leave.finish = Finish{};
    for (int first = 0, tile = 0; tile < tiles; ++tile, ++i, first += most) {
      const int rows = g.rows - first < most ? g.rows - first : most;
      bringNear(ahead, tile, each);
      bringNear(rowsNext, i, eachRow);
      if (finish.to)
        for (int r = 0; r < rows; ++r)
          for (int line = 0; line < strip; line += 16) {
            bringToWrite(finish.to + r * finish.ldto + line);
            if (finish.residual && finish.residual != finish.to) __builtin_prefetch(finish.residual + r * finish.ldto + line);
          }
      stripTile<Sum>(rows, t);
      if (finish.to && cols < strip) finishPart(finish, t.c, rows, cols);
      t.a += most * kWideRow;
      t.c += most * kNarrowPanel;
      finish = moved(finish, most, 0);
      if (cols == strip) t.leave.finish = finish;
      if (t.leave.xScale) t.leave.xScale += most;
    }
  }
}

/// Where the panel of output n begins in a packed weight of k inputs.
inline size_t panelAt(int n, int k) { return static_cast<size_t>(n / kNarrowPanel) * kNarrowPanel * k; }

/// The bf16 product X2 W2^T, last of a sum. `finish` as last of multiply().
template <class Last>
inline void multiplyLora(const Group& g, const uint16_t* x2, long ldx2, const uint16_t* w2, int k2, Last last) {
  const int k = padded4(k2), step = hindsight::blockLength(k, kLanes);
  for (int k0 = 0; k0 < k; k0 += step) {
    const int lanes = k - k0 < step ? k - k0 : step;
    for (int r = 0; r < g.rows; ++r) widenHalves(x2 + (g.first + r) * ldx2 + k0, lanes, g.wide + r * kWideRow);
    const auto make = [&](int n) {
      widenStrip(w2 + panelAt(g.n0 + n, k) + static_cast<size_t>(k0) * kNarrowPanel + n % kNarrowPanel * 2, lanes / 2, g.strip);
      return g.strip;
    };
    const bool end = k0 + lanes == k;
    multiply<Vec>(g, lanes, true, Lines{}, make, [](int) { return Lines{}; }, [&](int n) { return end ? last(n) : Leave{}; });
  }
}

// ---- Y = X W^T ---------------------------------------------------------------------------------

enum class Kind { Halves, Bytes, BytesByHalves };

template <Kind kind, class Sum>
void linearGroup(const NarrowArgs& g, const Group& group) {
  constexpr int itemBytes = kind == Kind::Halves ? 2 : 1, perLine = 4 / itemBytes, perLane = kind == Kind::Bytes ? 2 : 1;
  const int k = padded4(g.k), step = hindsight::blockLength(k, kLanes * perLane);
  const char* w = static_cast<const char*>(g.w);
  const auto source = [&](int k0, int n) { return w + (panelAt(group.n0 + n, k) + static_cast<size_t>(k0) * kNarrowPanel + n % kNarrowPanel * perLine) * itemBytes; };
  const auto finish = [&](int n) {
    n += group.n0;
    const size_t to = static_cast<size_t>(group.first) * g.ldy + n;
    return Finish{g.y + to, g.ldy, g.bias ? g.bias + n : nullptr, g.residual ? g.residual + to : nullptr};
  };
  for (int k0 = 0; k0 < k; k0 += step) {
    const int length = k - k0 < step ? k - k0 : step;
    const bool last = k0 + length == k;
    for (int r = 0; r < group.rows; ++r) {
      const size_t from = static_cast<size_t>(group.first + r) * k + k0;
      float* to = group.wide + r * kWideRow;
      if (kind == Kind::Bytes) widenRow(g.xBytes + from, length / 4, to, g.xBytes + from + kRowsAhead * static_cast<size_t>(k));
      else widenHalves(g.x + from, length, to, g.x + from + kRowsAhead * static_cast<size_t>(k));
    }
    const auto make = [&](int n) {
      const char* from = source(k0, n);
      if (kind == Kind::Halves) widenStrip(reinterpret_cast<const uint16_t*>(from), length / 2, group.strip);
      else if (kind == Kind::Bytes) widenPairs(reinterpret_cast<const int8_t*>(from), length / 4, group.strip);
      else widenStrip(reinterpret_cast<const int8_t*>(from), length / 4, group.strip);
      return group.strip;
    };
    const auto next = [&](int n) -> Lines {
      const bool within = group.n0 + n + kWide < group.n1;
      if (!within && last) return {};
      return {within ? source(k0, n + kWide) : source(k0 + length, 0), 4 * kNarrowPanel, length / perLine, kWide / 16};
    };
    const auto leaves = [&](int n) {
      Leave leave;
      if (!last) return leave;
      if (kind != Kind::Halves) leave.scale = g.wScale + group.n0 + n;
      if (kind == Kind::Bytes) {
        leave.offset = g.wOffset + group.n0 + n;
        leave.xScale = g.xScale + group.first;
      }
      if (!g.k2) leave.finish = finish(n);
      return leave;
    };
    constexpr int rowBytes = kind == Kind::Bytes ? 1 : 2;
    const void* x = kind == Kind::Bytes ? static_cast<const void*>(g.xBytes) : g.x;
    multiply<Sum>(group, length / perLane, k0 > 0, rowsAhead(group, x, static_cast<long>(k) * rowBytes, static_cast<long>(k0 + length) * rowBytes, last, static_cast<long>(length) * rowBytes), make, next, leaves);
  }
  if (g.k2)
    multiplyLora(group, g.x2, g.ldx2, g.w2, g.k2, [&](int n) {
      Leave leave;
      leave.finish = finish(n);
      return leave;
    });
}

/// body(first row, rows, first panel, end panel, first row of the next) over groups.
template <class Body>
inline void groups(int r0, int r1, int p0, int p1, Body body) {
  const int tiles = blockCount(r1 - r0, kTileRows), parts = blockCount(r1 - r0, kGroupRows);
  const auto row = [&](int part) {
    const int at = r0 + kTileRows * blockStart(tiles, parts, part);
    return at < r1 ? at : r1;
  };
  for (int p = p0; p < p1; p += kGroupPanels)
    for (int part = 0; part < parts; ++part) body(row(part), row(part + 1) - row(part), p, p + kGroupPanels < p1 ? p + kGroupPanels : p1, row((part + 1) % parts));
}

void narrowLinear(const NarrowArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  groups(r0, r1, p0, p1, [&](int first, int rows, int from, int to, int next) {
    const int n1 = to * kNarrowPanel < g.n ? to * kNarrowPanel : g.n;
    const Group here = group(scratch, first, rows, from * kNarrowPanel, n1, next);
    if (g.xBytes) linearGroup<Kind::Bytes, VecI>(g, here);
    else if (g.wScale) linearGroup<Kind::BytesByHalves, Vec>(g, here);
    else linearGroup<Kind::Halves, Vec>(g, here);
  });
}

// ---- dX = dY W ---------------------------------------------------------------------------------

template <class Item>
void dxTerm(const NarrowDxArgs& g, int t, const Group& group) {
  const auto& term = g.term[t];
  constexpr int step = kLanes / kNarrowPanel * kNarrowPanel;
  const int k = padded4(g.k);
  const auto source = [&](int n, int input) { return static_cast<const Item*>(term.w) + panelAt(n, k) + static_cast<size_t>(group.n0 + input) * kNarrowPanel; };
  for (int n0 = 0; n0 < term.n; n0 += step) {
    const int lanes = term.n - n0 < step ? term.n - n0 : step;
    const bool last = n0 + lanes == term.n && t == g.terms - 1 && !g.k2;
    for (int r = 0; r < group.rows; ++r) {
      const uint16_t* dy = term.dy + (group.first + r) * term.lddy + n0;
      widenHalves(dy, lanes, group.wide + r * kWideRow, dy + kRowsAhead * term.lddy);
    }
    const auto make = [&](int input) {
      for (int n = 0; n < lanes; n += kNarrowPanel) {
        for (int i = 0; i < kWide; i += 16) {
          const int width = k - group.n0 - input - i;
          float* to = group.strip + n * kWide + i;
          if (width >= 16) turnStrip(source(n0 + n, input + i), to);
          else if (width > 0) turnPart(source(n0 + n, input + i), width, to);
        }
      }
      return group.strip;
    };
    // The inputs of a strip are one piece of memory of each panel of the weight.
    const auto next = [&](int input) -> Lines {
      const bool within = group.n0 + input + kWide < group.n1;
      if (!within && n0 + lanes == term.n) return {};
      return {within ? source(n0, input + kWide) : source(n0 + lanes, 0), static_cast<long>(sizeof(Item)) * kNarrowPanel * k, blockCount(lanes, kNarrowPanel), static_cast<int>(kWide * sizeof(Item))};
    };
    multiply<Vec>(group, lanes, t > 0 || n0 > 0, n0 + lanes < term.n ? rowsAhead(group, term.dy + n0 + lanes, 2 * term.lddy, 0, false, 2 * step) : Lines{}, make, next, [&](int input) {
      Leave leave;
      float* to = g.dx + group.first * g.lddx + group.n0 + input;
      if (last) leave.finish = Finish{to, g.lddx, nullptr, g.add ? to : nullptr};
      return leave;
    });
  }
}

void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  groups(r0, r1, p0, p1, [&](int first, int rows, int from, int to, int next) {
    const int n1 = to * kNarrowPanel < g.k ? to * kNarrowPanel : g.k;
    const Group here = group(scratch, first, rows, from * kNarrowPanel, n1, next);
    for (int t = 0; t < g.terms; ++t) {
      if (g.term[t].bytes) dxTerm<int8_t>(g, t, here);
      else dxTerm<uint16_t>(g, t, here);
    }
    if (g.k2)
      multiplyLora(here, g.x2, g.ldx2, g.w2, g.k2, [&](int input) {
        float* out = g.dx + first * g.lddx + here.n0 + input;
        Leave leave;
        leave.finish = Finish{out, g.lddx, nullptr, g.add ? out : nullptr};
        return leave;
      });
  });
}

double spinDots(Dtype dtype, long steps) {
  if (dtype != Dtype::Int8) return 0;  // FMA's peak
  __m256i acc[12], x = _mm256_set1_epi32(0x00010001);
  for (__m256i& a : acc) a = _mm256_setzero_si256();
  for (long i = 0; i < steps; ++i)
#pragma GCC unroll 12
    for (__m256i& a : acc) {
      __m256i product;
      asm volatile("vpmaddwd %2,%2,%1\n\tvpaddd %1,%0,%0" : "+x"(a), "=&x"(product) : "x"(x));
    }
  return steps * 12.0 * 32;
}

}  // namespace
