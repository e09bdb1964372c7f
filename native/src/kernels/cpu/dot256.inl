// The products of narrow.h, and the fp32 dX of the head, for AVX2, which has no dot products of bf16 and none of bytes
// that cannot saturate.
//
// Method (Goto's): the contraction is cut into blocks of lanes, a lane being one fp32 input or a pair of 16-bit ones; most
// contractions are one block. Of a block, the rows of A are widened once for up to kPanels panels of 64 outputs, six
// side by side in the order in which tiles read them, and pass from the third-level cache while the weight, widened strip by
// strip, stays in the second: [lanes][strip]. Between blocks the sums wait in C [panels][rows][64]. Several terms, LoRA's behind the
// base's or those of a gradient, are one contraction, and a block may hold lanes of some of them. bf16 is widened to fp32 and multiplied
// by FMA, int8 x int8 to 16 bits and multiplied by vpmaddwd, which is exact; both in tiles of 6 rows x 16 outputs, 12 sums in
// registers. A tile asks for its share of the weights that come next.
//
// Every sum runs over the lanes in their order, whatever the blocks.
#include <immintrin.h>

#define NARROW_OWN_PRODUCTS
#include "kernels/cpu/narrow.inl"

namespace {

/// A tile: vectors and number of outputs.
constexpr int kTileVecs = 2, kWide = kTileVecs * kWidth;
/// Most lanes of a block of a product. Their strip lies in the second-level cache, or in the first where rows are few, so that
/// making it is much of the work.
inline int blockLanes(int rows) { return rows < 192 ? 320 : 1536; }
/// Lanes that bf16Tile widens at a time, and the distance of its widened rows, which is not a multiple of 1 KB: that would
/// crowd them into few sets of the cache.
constexpr int kTileLanes = 320, kWideRow = kTileLanes + 16;

/// How the sums of a tile leave it. `scale` times `offset`'s difference where int8 met int8.
struct Leave {
  const int32_t* offset = nullptr;  // bytes: the sums end as numbers, (sum - offset[n]) * xScale[row] * scale[n]
  const float *xScale = nullptr, *scale = nullptr;
  Finish finish;
};

/// C[rows][strip] (+)= A B; A lies [lanes][rows], or in rows a known distance apart.
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
template <int Distance, int Rows>
inline __attribute__((always_inline)) void addLane(Vec (&acc)[Rows][2], const float* a, const float* b) {
  const Vec w0 = load(b), w1 = load(b + kWidth);
  Vec x;
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r)
    asm("vbroadcastss %3,%2\n\tvfmadd231ps %4,%2,%0\n\tvfmadd231ps %5,%2,%1"
        : "+x"(acc[r][0]), "+x"(acc[r][1]), "=&x"(x) : "m"(a[r * Distance]), "x"(w0), "x"(w1));
}
template <int Distance, int Rows>
inline __attribute__((always_inline)) void addLane(VecI (&acc)[Rows][2], const float* a, const float* b) {
  const Vec w0 = load(b), w1 = load(b + kWidth);
  Vec x, product;
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r)
    asm("vbroadcastss %4,%2\n\tvpmaddwd %5,%2,%3\n\tvpmaddwd %6,%2,%2\n\tvpaddd %3,%0,%0\n\tvpaddd %2,%1,%1"
        : "+x"(acc[r][0]), "+x"(acc[r][1]), "=&x"(x), "=&x"(product) : "m"(a[r * Distance]), "x"(w0), "x"(w1));
}

template <class Sum, int Distance, int Rows>
void runStrip(const StripTile& t) {
  constexpr int vecs = kTileVecs, strip = kWide, distance = Distance ? Distance : 1, step = Distance ? 1 : Rows;
  Sum acc[Rows][vecs] = {};
  if (t.add)
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v) acc[r][v] = (Sum)load(t.c + r * t.ldc + v * kWidth);
  const float *a = t.a, *b = t.b;
  int i = 0;
  for (; i + 4 <= t.lanes; i += 4, a += 4 * step, b += 4 * strip) {
    addLane<distance>(acc, a, b);
    addLane<distance>(acc, a + step, b + strip);
    addLane<distance>(acc, a + 2 * step, b + 2 * strip);
    addLane<distance>(acc, a + 3 * step, b + 3 * strip);
  }
  for (; i < t.lanes; ++i, a += step, b += strip) addLane<distance>(acc, a, b);
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

/// Distance of A's rows; 0: it lies [lanes][rows].
template <class Sum, int Distance>
inline void stripTile(int rows, const StripTile& t) {
  static constexpr void (*at[])(const StripTile&) = {runStrip<Sum, Distance, 1>, runStrip<Sum, Distance, 2>, runStrip<Sum, Distance, 3>, runStrip<Sum, Distance, 4>, runStrip<Sum, Distance, 5>, runStrip<Sum, Distance, 6>};
  at[rows - 1](t);
}

// ---- widening ----------------------------------------------------------------------------------

/// n bf16 numbers to fp32; may write up to 7 beyond.
inline void widenHalves(const uint16_t* x, int n, float* out) {
  for (int i = 0; i < n; i += 8)
    storeInts(out + i, (VecI)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))), 16));
}
/// Groups of four bytes around 128 to two pairs of words: (0, 2) and (1, 3).
inline void widenRow(const uint8_t* x, int groups, float* out) {
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
  constexpr int most = kTileLanes, rowsAtOnce = 66;
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
          stripTile<Vec, kWideRow>(height - r < kTileRows ? height - r : kTileRows, {a + r * kWideRow, b, lanes, t.c + (r0 + r) * t.ldc + s, t.ldc, add, leave});
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

// ---- a product of some rows ----------------------------------------------------------------------

/// Rows [first, first + rows) of a product and the outputs [n0, n1), at most kPanels panels; n0 begins a panel.
struct Group {
  int first, rows, n0, n1;
  float* sums;   // C, which one block alone writes for a strip that is not whole only
  float* wide;   // A of a block, [tiles][lanes][rows of a tile]
  float* strip;  // B
  float* c(int n) const { return sums + (n - n0) / kNarrowPanel * static_cast<size_t>(rows) * kNarrowPanel + n % kNarrowPanel; }
};

/// What a lane of a term is: the number of a row and that of a packed weight, a pair of neighbouring bytes of either, a number
/// and a byte; or, turned, an output of a packed weight.
enum class Way { Halves, BytePairs, Bytes, TurnedHalves, TurnedBytes };
/// A term X W of a sum: rows of X, `ldx` numbers apart, with a packed weight of k inputs.
struct Term {
  Way way;
  const void* x;
  long ldx;
  const void* w;
  int k, lanes;

  bool turned() const { return way == Way::TurnedHalves || way == Way::TurnedBytes; }
  int perLane() const { return way == Way::BytePairs ? 2 : 1; }
  int xBytes() const { return way == Way::BytePairs ? 1 : 2; }
  int wBytes() const { return way == Way::Halves || way == Way::TurnedHalves ? 2 : 1; }
  const char* row(int r, int lane) const { return static_cast<const char*>(x) + (r * ldx + lane * perLane()) * xBytes(); }
  /// The weight of a lane and of output (turned: input) n.
  const char* weight(int lane, int n) const {
    const size_t across = static_cast<size_t>(kNarrowPanel) * k, panel = static_cast<size_t>(turned() ? lane : n) / kNarrowPanel * across;
    return static_cast<const char*>(w) + (panel + (turned() ? static_cast<size_t>(n) * kNarrowPanel : static_cast<size_t>(lane) * perLane() * kNarrowPanel + n % kNarrowPanel * (4 / wBytes()))) * wBytes();
  }
};

/// Lanes [first, first + lanes) of a term.
struct Segment {
  const Term* term;
  int first, lanes;
};
/// Terms of a sum: NarrowDxArgs's and LoRA's.
constexpr int kMostTerms = 5;
struct Block {
  Segment segment[kMostTerms];
  int count = 0, lanes = 0;
};
/// Cuts a sum of terms into blocks of nearly equal length. Turned, a segment begins with a panel.
class Cut {
 public:
  Cut(const Term* terms, int count, int most) : term_(terms), end_(terms + count), most_(most) {
    int total = 0;
    for (int i = 0; i < count; ++i) total += terms[i].lanes;
    length_ = hindsight::blockLength(total, most);
  }
  /// @returns no lanes at the end
  Block next() {
    Block block;
    while (term_ != end_ && block.lanes < length_) {
      const int step = term_->turned() ? kNarrowPanel : 4, room = (most_ - block.lanes) / step * step, left = term_->lanes - at_;
      int take = (length_ - block.lanes + step - 1) / step * step;
      take = take < room ? take : room;
      take = take < left ? take : left;
      if (take <= 0) break;
      block.segment[block.count++] = {term_, at_, take};
      block.lanes += take;
      at_ += take;
      if (take < left) break;
      ++term_;
      at_ = 0;
    }
    return block;
  }

 private:
  const Term *term_, *end_;
  const int most_;
  int at_ = 0, length_;
};

/// Eight lanes of a row.
template <Way way>
inline __attribute__((always_inline)) Vec eightLanes(const char* x) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  if constexpr (way != Way::BytePairs) return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16);
  // Groups of four bytes around 128 to two pairs of words: (0, 2) and (1, 3).
  const __m128i even = _mm_and_si128(v, _mm_set1_epi16(0xff)), odd = _mm_srli_epi16(v, 8);
  return (Vec)_mm256_set_m128i(_mm_unpackhi_epi32(even, odd), _mm_unpacklo_epi32(even, odd));
}
/// Eight lanes of six rows: out[8][6], and two numbers beyond: each lane's vector is overwritten by the next where it is too long.
inline __attribute__((always_inline)) void storeLanes(const Vec (&row)[kTileRows], float* out) {
  __m256d abcd[4], ef[4];  // of lanes i and i + 4
#pragma GCC unroll 2
  for (int i = 0; i < 4; i += 2) {
    const auto pairs = [&](int r) __attribute__((always_inline)) {
      const __m256 a = (__m256)row[r], b = (__m256)row[r + 1];
      return _mm256_castps_pd(i ? _mm256_unpackhi_ps(a, b) : _mm256_unpacklo_ps(a, b));
    };
    const __m256d ab = pairs(0), cd = pairs(2);
    abcd[i] = _mm256_unpacklo_pd(ab, cd);
    abcd[i + 1] = _mm256_unpackhi_pd(ab, cd);
    ef[i] = pairs(4);
    ef[i + 1] = _mm256_permute_pd(ef[i], 5);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) store(out + kTileRows * i, (Vec)_mm256_insertf128_pd(abcd[i], _mm256_castpd256_pd128(ef[i]), 1));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) store(out + kTileRows * (i + 4), (Vec)_mm256_permute2f128_pd(abcd[i], ef[i], 0x31));
}
/// A of a tile of `rows` rows: out[lanes][rows]. eight(r, lane) are eight lanes of row r, also where fewer are left.
template <class Eight>
inline __attribute__((always_inline)) void packLanes(int lanes, int rows, float* out, Eight eight) {
  for (int lane = 0; lane < lanes; lane += 8, out += 8 * rows) {
    Vec x[kTileRows];
#pragma GCC unroll 6
    for (int r = 0; r < kTileRows; ++r) x[r] = eight(r, lane);
    if (lane + 10 <= lanes && rows == kTileRows) {
      storeLanes(x, out);
      continue;
    }
    float part[8 * kTileRows + 2];
    storeLanes(x, part);
    const int count = lanes - lane < 8 ? lanes - lane : 8;
    for (int i = 0; i < count; ++i)
      for (int r = 0; r < rows; ++r) out[i * rows + r] = part[i * kTileRows + r];
  }
}
/// The rows [first, first + rows) of a segment. Reads up to 7 lanes beyond it.
template <Way way>
inline void packTile(const Segment& s, int first, int rows, float* out) {
  const Term& t = *s.term;
  const char* row[kTileRows];
  for (int r = 0; r < kTileRows; ++r) row[r] = t.row(first + (r < rows ? r : rows - 1), s.first);
  const long laneBytes = t.perLane() * t.xBytes(), next = kTileRows * t.ldx * t.xBytes();
  packLanes(s.lanes, rows, out, [&](int r, int lane) __attribute__((always_inline)) {
    if (lane % 32 == 0) __builtin_prefetch(row[r] + lane * laneBytes + next);
    return eightLanes<way>(row[r] + lane * laneBytes);
  });
}
/// The same of all segments of a block, for all rows of a group.
inline void packRows(const Group& g, const Block& block) {
  for (int r = 0; r < g.rows; r += kTileRows) {
    const int rows = g.rows - r < kTileRows ? g.rows - r : kTileRows;
    float* out = g.wide + static_cast<size_t>(r) * block.lanes;
    for (int i = 0; i < block.count; out += block.segment[i++].lanes * rows) {
      const Segment& s = block.segment[i];
      if (s.term->way == Way::BytePairs) packTile<Way::BytePairs>(s, g.first + r, rows, out);
      else packTile<Way::Halves>(s, g.first + r, rows, out);
    }
  }
}

template <class Item>
inline void turnSegment(const Segment& s, int n, float* to) {
  const int width = s.term->k - n < kWide ? s.term->k - n : kWide;
  for (int lane = 0; lane < s.lanes; lane += kNarrowPanel, to += kNarrowPanel * kWide) {
    const auto* from = reinterpret_cast<const Item*>(s.term->weight(s.first + lane, n));
    if (width == kWide) turnStrip(from, to);
    else turnPart(from, width, to);
  }
}
/// B of a segment, for the outputs [n, n + kWide).
inline void makeStrip(const Segment& s, int n, float* to) {
  const char* from = s.term->weight(s.first, n);
  switch (s.term->way) {
    case Way::Halves: return widenStrip(reinterpret_cast<const uint16_t*>(from), s.lanes / 2, to);
    case Way::BytePairs: return widenPairs(reinterpret_cast<const int8_t*>(from), s.lanes / 2, to);
    case Way::Bytes: return widenStrip(reinterpret_cast<const int8_t*>(from), s.lanes / 4, to);
    case Way::TurnedHalves: return turnSegment<uint16_t>(s, n, to);
    case Way::TurnedBytes: return turnSegment<int8_t>(s, n, to);
  }
}

/// Asks for memory that will be wanted, some at a time: `pieces` of `lines` cache lines, `step` bytes apart.
class Asking {
 public:
  Asking() = default;
  Asking(const char* from, long step, int pieces, int lines, int times) : at_(from), step_(step), pieces_(pieces), lines_(lines), pace_(blockCount(pieces * lines, times)) {}
  void go() {
    const char* at = at_;
    int line = line_, pieces = pieces_;
    for (int i = 0; i < pace_ && pieces; ++i) {
      __builtin_prefetch(at + 64 * line, 0, 2);
      if (++line < lines_) continue;
      line = 0;
      at += step_;
      --pieces;
    }
    at_ = at;
    line_ = line;
    pieces_ = pieces;
  }

 private:
  const char* at_ = nullptr;
  long step_ = 0;
  int pieces_ = 0, lines_ = 0, line_ = 0, pace_ = 0;
};
/// `times`: how often go() will be called.
inline Asking askStrip(const Segment& s, int n, int times) {
  const Term& t = *s.term;
  const char* from = t.weight(s.first, n);
  if (t.turned()) return {from, static_cast<long>(t.wBytes()) * kNarrowPanel * t.k, blockCount(s.lanes, kNarrowPanel), kWide * t.wBytes(), times};
  return {from, 4 * kNarrowPanel, s.lanes * t.perLane() * t.wBytes() / 4, kWide / 16, times};
}

/// C (+)= A B of one block. `then`: the block after it, if any. last(n), of the last block: how the sums of the first row
/// leave for the outputs from n on; where a strip is not whole they leave through C.
template <class Sum, class Last>
inline void multiply(const Group& g, const Block& here, const Block& then, bool add, Last last) {
  const int tiles = blockCount(g.rows, kTileRows);
  for (int n = g.n0; n < g.n1; n += kWide) {
    float* b = g.strip;
    for (int i = 0; i < here.count; b += here.segment[i++].lanes * kWide) makeStrip(here.segment[i], n, b);
    Asking ahead[kMostTerms];
    const bool within = n + kWide < g.n1;
    const Block& next = within ? here : then;
    for (int i = 0; i < next.count; ++i) ahead[i] = askStrip(next.segment[i], within ? n + kWide : g.n0, tiles);
    StripTile t{g.wide, g.strip, here.lanes, g.c(n), kNarrowPanel, add, then.count ? Leave{} : last(n)};
    const int cols = g.n1 - n < kWide ? g.n1 - n : kWide;
    Finish finish = t.leave.finish;
    if (cols < kWide) t.leave.finish = Finish{};
    for (int first = 0; first < g.rows; first += kTileRows) {
      const int rows = g.rows - first < kTileRows ? g.rows - first : kTileRows;
      for (int i = 0; i < next.count; ++i) ahead[i].go();
      if (finish.to)
        for (int r = 0; r < rows; ++r)
          for (int line = 0; line < kWide; line += 16) {
            bringToWrite(finish.to + r * finish.ldto + line);
            if (finish.residual && finish.residual != finish.to) __builtin_prefetch(finish.residual + r * finish.ldto + line);
          }
      stripTile<Sum, 0>(rows, t);
      if (finish.to && cols < kWide) finishPart(finish, t.c, rows, cols);
      t.a += kTileRows * here.lanes;
      t.c += kTileRows * kNarrowPanel;
      finish = moved(finish, kTileRows, 0);
      if (cols == kWide) t.leave.finish = finish;
      if (t.leave.xScale) t.leave.xScale += kTileRows;
    }
  }
}

/// C (+)= the sum of terms, in their order. `last` as of multiply().
template <class Sum, class Last>
inline void product(const Group& g, const Term* terms, int count, bool add, Last last) {
  Cut cut(terms, count, blockLanes(g.rows));
  for (Block here = cut.next(); here.count; add = true) {
    packRows(g, here);
    const Block then = cut.next();
    multiply<Sum>(g, here, then, add, last);
    here = then;
  }
}

/// B, then A, then C.
size_t productScratch(int rows, int panels, int lanes) {
  const int most = blockLanes(rows), block = lanes < most ? lanes : most;
  return static_cast<size_t>(most) * kWide + static_cast<size_t>(rows) * block + static_cast<size_t>(rows) * kNarrowPanel * (panels < kPanels ? panels : kPanels) + kWidth;
}
/// body(group) over the rows [r0,r1) and panels [p0,p1) of `n` outputs; `lanes` of all terms.
template <class Body>
inline void groups(int r0, int r1, int p0, int p1, int n, int lanes, float* scratch, Body body) {
  const int rows = r1 - r0, most = blockLanes(rows);
  float *wide = scratch + static_cast<size_t>(most) * kWide, *sums = wide + static_cast<size_t>(rows) * (lanes < most ? lanes : most);
  for (int p = p0; p < p1; p += kPanels) {
    const int end = (p + kPanels < p1 ? p + kPanels : p1) * kNarrowPanel;
    body(Group{r0, rows, p * kNarrowPanel, end < n ? end : n, sums, wide, scratch});
  }
}

// ---- Y = X W^T ---------------------------------------------------------------------------------

void narrowLinear(const NarrowArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  const int k = padded4(g.k), k2 = padded4(g.k2);
  const Way way = g.xBytes ? Way::BytePairs : g.wScale ? Way::Bytes : Way::Halves;
  const Term terms[] = {{way, g.xBytes ? static_cast<const void*>(g.xBytes) : g.x, k, g.w, k, g.xBytes ? k / 2 : k}, {Way::Halves, g.x2, g.ldx2, g.w2, k2, k2}};
  groups(r0, r1, p0, p1, g.n, terms[0].lanes + k2, scratch, [&](const Group& group) {
    const auto finished = [&](int n) {
      const size_t to = static_cast<size_t>(group.first) * g.ldy + n;
      Leave leave;
      leave.finish = Finish{g.y + to, g.ldy, g.bias ? g.bias + n : nullptr, g.residual ? g.residual + to : nullptr};
      return leave;
    };
    if (way == Way::Halves) return product<Vec>(group, terms, g.k2 ? 2 : 1, false, finished);
    // Bytes have a scale, which LoRA's term has not.
    const auto scaled = [&](int n) {
      Leave leave = g.k2 ? Leave{} : finished(n);
      leave.scale = g.wScale + n;
      if (way == Way::BytePairs) {
        leave.offset = g.wOffset + n;
        leave.xScale = g.xScale + group.first;
      }
      return leave;
    };
    if (way == Way::BytePairs) product<VecI>(group, terms, 1, false, scaled);
    else product<Vec>(group, terms, 1, false, scaled);
    if (g.k2) product<Vec>(group, terms + 1, 1, true, finished);
  });
}

// ---- dX = dY W ---------------------------------------------------------------------------------

void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  const int k = padded4(g.k), k2 = padded4(g.k2);
  Term terms[kMostTerms];
  int count = 0;
  for (int i = 0; i < g.terms; ++i) terms[count++] = {g.term[i].bytes ? Way::TurnedBytes : Way::TurnedHalves, g.term[i].dy, g.term[i].lddy, g.term[i].w, k, g.term[i].n};
  if (g.k2) terms[count++] = {Way::Halves, g.x2, g.ldx2, g.w2, k2, k2};
  int lanes = 0;
  for (int i = 0; i < count; ++i) lanes += terms[i].lanes;
  groups(r0, r1, p0, p1, g.k, lanes, scratch, [&](const Group& group) {
    product<Vec>(group, terms, count, false, [&](int n) {
      float* to = g.dx + group.first * g.lddx + n;
      Leave leave;
      leave.finish = Finish{to, g.lddx, nullptr, g.add ? to : nullptr};
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
