// Tiles of narrow.inl in the matrix registers of Intel's AMX: eight registers of 16 rows x 64 bytes. One instruction adds
// the product of 16 rows x 16 lanes of A (a lane is 2 bf16 or 4 byte inputs) and of 16 lanes x 16 outputs of B, which is
// how the packed weights lie already. A tile is 32 rows x 32 outputs: four registers of sums, two of A, two of B, so that
// each part that is loaded is used twice; 16 rows and fewer are one register of A and 64 outputs.
//
// Lanes are taken 16 at a time, with zeros behind the last of a product. So an element's sum depends on K only.
#include <immintrin.h>

#define NARROW_TRANSPOSE
#define NARROW_ROUNDS
#define NARROW_MATRIX_TILES
#include "kernels/cpu/narrow.inl"
#include "kernels/cpu/turn512.inl"

namespace {

constexpr int kMatrix = 16;  // rows, and lanes of a row, of a register

// ---- registers 0 to 3: sums; 4, 5: A; 6, 7: B --------------------------------------------------

struct MatrixShapes {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};
};
thread_local int shapedTop = 0, shapedBottom = 0;

/// Rows of the upper and the lower registers of A and of the sums.
inline void shape(int top, int bottom) {
  if (top == shapedTop && bottom == shapedBottom) return;
  MatrixShapes s;
  for (int i = 0; i < 8; ++i) {
    s.rowBytes[i] = 64;
    s.rows[i] = static_cast<uint8_t>(i > 5 ? kMatrix : i == 2 || i == 3 || i == 5 ? bottom : top);
  }
  asm volatile("ldtilecfg %0" : : "m"(s));
  shapedTop = top;
  shapedBottom = bottom;
}
/// The kernel need not keep the registers of a thread that has released them; and what was streamed is there for others.
void release() {
  _mm_sfence();
  if (!shapedTop) return;
  asm volatile("tilerelease");
  shapedTop = shapedBottom = 0;
}

template <int Register>
inline void loadMatrix(const void* p, long rowBytes) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(Register), "r"(p), "r"(rowBytes) : "memory");
}
template <int Register>
inline void storeMatrix(void* p, long rowBytes) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(Register), "r"(p), "r"(rowBytes) : "memory");
}
template <int Register>
inline void zeroMatrix() {
  asm volatile("tilezero %%tmm%c0" : : "i"(Register));
}
/// Sum += A B.
template <bool Bytes, int Sum, int A, int B>
inline void addProduct() {
  if constexpr (Bytes) asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(A), "i"(B));
  else asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(A), "i"(B));
}

// ---- a tile ------------------------------------------------------------------------------------

/// A product of whole registers: `steps` of 16 lanes; distances in bytes.
struct Whole {
  const char* a;
  long lda;
  const char* b;
  long ldb;
  int steps;
};
/// Cache lines that a tile asks for, some with each step.
struct Lines {
  const char* at;
  int left, each;
};
inline void bring(Lines& lines) {
  for (int i = lines.left < lines.each ? lines.left : lines.each; i > 0; --i, --lines.left, lines.at += 64) __builtin_prefetch(lines.at, 0, 2);
}

/// Sums [rows][32 or 16] of one register pair of columns: from C or zero, over all products, to `to`. Distances in bytes.
template <bool Bytes, bool Bottom>
inline void addColumns(const Whole* parts, int count, int column, const char* c, long ldc, bool add, char* to, long ldto, Lines& lines) {
  if (add) {
    loadMatrix<0>(c, ldc);
    loadMatrix<1>(c + 64, ldc);
    if (Bottom) loadMatrix<2>(c + kMatrix * ldc, ldc), loadMatrix<3>(c + kMatrix * ldc + 64, ldc);
  } else {
    zeroMatrix<0>();
    zeroMatrix<1>();
    if (Bottom) zeroMatrix<2>(), zeroMatrix<3>();
  }
  for (int i = 0; i < count; ++i) {
    const Whole& part = parts[i];
    const char *a = part.a, *b = part.b + 4 * column;
    for (int s = 0; s < part.steps; ++s, a += 64, b += kMatrix * part.ldb) {
      loadMatrix<6>(b, part.ldb);
      loadMatrix<4>(a, part.lda);
      loadMatrix<7>(b + 64, part.ldb);
      if (Bottom) loadMatrix<5>(a + kMatrix * part.lda, part.lda);
      addProduct<Bytes, 0, 4, 6>();
      addProduct<Bytes, 1, 4, 7>();
      if (Bottom) addProduct<Bytes, 2, 5, 6>(), addProduct<Bytes, 3, 5, 7>();
      bring(lines);
    }
  }
  storeMatrix<0>(to, ldto);
  storeMatrix<1>(to + 64, ldto);
  if (Bottom) storeMatrix<2>(to + kMatrix * ldto, ldto), storeMatrix<3>(to + kMatrix * ldto + 64, ldto);
}

/// The same for 64 columns of up to 16 rows, which decode: weights come from memory, so they are asked for well ahead.
template <bool Bytes>
inline void addRows(const Whole* parts, int count, const char* c, long ldc, bool add, char* to, long ldto, Lines& lines) {
  constexpr long far = 6 * kMatrix;  // lanes; to the second-level cache, which has room for more requests than the first
  if (add) loadMatrix<0>(c, ldc), loadMatrix<1>(c + 64, ldc), loadMatrix<2>(c + 128, ldc), loadMatrix<3>(c + 192, ldc);
  else zeroMatrix<0>(), zeroMatrix<1>(), zeroMatrix<2>(), zeroMatrix<3>();
  for (int i = 0; i < count; ++i) {
    const Whole& part = parts[i];
    const char *a = part.a, *b = part.b;
    for (int s = 0; s < part.steps; ++s, a += 64, b += kMatrix * part.ldb) {
      for (int g = 0; g < kMatrix; ++g)
        for (int line = 0; line < 4; ++line) __builtin_prefetch(b + (far + g) * part.ldb + 64 * line, 0, 2);
      loadMatrix<4>(a, part.lda);
      loadMatrix<6>(b, part.ldb);
      addProduct<Bytes, 0, 4, 6>();
      loadMatrix<7>(b + 64, part.ldb);
      addProduct<Bytes, 1, 4, 7>();
      loadMatrix<6>(b + 128, part.ldb);
      addProduct<Bytes, 2, 4, 6>();
      loadMatrix<7>(b + 192, part.ldb);
      addProduct<Bytes, 3, 4, 7>();
      bring(lines);
    }
  }
  storeMatrix<0>(to, ldto), storeMatrix<1>(to + 64, ldto), storeMatrix<2>(to + 128, ldto), storeMatrix<3>(to + 192, ldto);
}

/// The last lanes of a product with zeros behind them.
struct Tail {
  alignas(64) char a[kTileRows * 64];
  alignas(64) char b[kMatrix * 4 * kNarrowPanel];
  Whole make(int rows, int columns, const char* from, long lda, const char* weights, long ldb, int lanes) {
    for (int r = 0; r < rows; ++r) _mm512_store_si512(a + 64 * r, _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1 << lanes) - 1), from + r * lda));
    for (int g = 0; g < kMatrix; ++g)
      for (int i = 0; i < columns; i += kMatrix)
        _mm512_store_si512(b + 4 * (g * kNarrowPanel + i), g < lanes ? _mm512_loadu_si512(weights + g * ldb + 4 * i) : _mm512_setzero_si512());
    return {a, 64, b, 4 * kNarrowPanel, 1};
  }
};

/// C or `to` [rows][16 strips] = (add ? C : 0) + the products. Distances in bytes.
template <bool Bytes>
void addProducts(int rows, int strips, const Whole* parts, int count, const void* from, long ldc, bool add, void* target, long ldto, const Ahead& ahead) {
  const char* c = static_cast<const char*>(from);
  char* to = static_cast<char*>(target);
  const bool bottom = rows > kMatrix;
  shape(bottom ? kMatrix : rows, bottom ? rows - kMatrix : rows);
  int steps = 0;
  for (int i = 0; i < count; ++i) steps += parts[i].steps;
  Lines lines{static_cast<const char*>(ahead.from), ahead.lines, 0};
  const int passes = bottom ? (strips + 1) / 2 : 1;
  if (lines.left) lines.each = (lines.left + steps * passes - 1) / (steps * passes);
  if (!bottom && strips == 4) return addRows<Bytes>(parts, count, c, ldc, add, to, ldto, lines);
  for (int s = 0; s < strips; s += 2) {
    const int column = kMatrix * s;
    if (bottom) addColumns<Bytes, true>(parts, count, column, c + 4 * column, ldc, add, to + 4 * column, ldto, lines);
    else addColumns<Bytes, false>(parts, count, column, c + 4 * column, ldc, add, to + 4 * column, ldto, lines);
  }
}

/// Whether a target is streamed: a plain store to a line that is in no cache has to read it first, and the tiles behind it
/// wait for that: half of the time of a forward product in training. Streamed lines are whole ones.
inline bool streams(const Finish& f) { return f.stream && f.to && f.ldto % kMatrix == 0 && (reinterpret_cast<uintptr_t>(f.to) & 63) == 0; }
inline void finishFar(const Finish& f, int r, int i, Vec sum) {
  if (f.bias) sum += load(f.bias + i);
  if (f.residual) sum += load(f.residual + r * f.ldto + i);
  _mm512_stream_ps(f.to + r * f.ldto + i, (__m512)sum);
}

void bf16Tile(int rows, const BfTile& t) {
  Whole parts[8];
  Tail tails[4];
  int count = 0;
  for (int i = 0; i < t.parts; ++i) {
    const Part& part = t.part[i];
    const auto *a = reinterpret_cast<const char*>(part.a), *b = reinterpret_cast<const char*>(part.b);
    const int whole = part.groups / kMatrix * kMatrix;
    if (whole) parts[count++] = {a, 2 * part.lda, b, 2 * t.ldb, whole / kMatrix};
    if (whole < part.groups) parts[count++] = tails[i].make(rows, (t.strips + 1) / 2 * 2 * kMatrix, a + 4 * whole, 2 * part.lda, b + 2 * t.ldb * whole, 2 * t.ldb, part.groups - whole);
  }
  const Finish& f = t.finish;
  if (!f.to) return addProducts<false>(rows, t.strips, parts, count, t.c, 4 * t.ldc, t.add, t.c, 4 * t.ldc, t.ahead);
  const bool far = streams(f);
  if (!far && !f.bias && !f.residual) return addProducts<false>(rows, t.strips, parts, count, t.c, 4 * t.ldc, t.add, f.to, 4 * f.ldto, t.ahead);
  addProducts<false>(rows, t.strips, parts, count, t.c, 4 * t.ldc, t.add, t.c, 4 * t.ldc, t.ahead);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < 16 * t.strips; i += kWidth) {
      const Vec sum = load(t.c + r * t.ldc + i);
      far ? finishFar(f, r, i, sum) : finish(f, r, i, sum);
    }
}

void int8Tile(int rows, const ByteTile& t) {
  Whole parts[2];
  Tail tail;
  int count = 0;
  const auto *a = reinterpret_cast<const char*>(t.a), *b = reinterpret_cast<const char*>(t.b);
  constexpr long ldb = 4 * kNarrowPanel;
  const int whole = t.groups / kMatrix * kMatrix;
  if (whole) parts[count++] = {a, t.lda, b, ldb, whole / kMatrix};
  if (whole < t.groups) parts[count++] = tail.make(rows, kNarrowPanel, a + 4 * whole, t.lda, b + ldb * whole, ldb, t.groups - whole);
  addProducts<true>(rows, 4, parts, count, t.c, ldb, t.add, t.c, ldb, t.ahead);
  if (!t.offset) return;
  const bool far = streams(t.finish);
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < kNarrowPanel; i += kWidth) {
      int32_t* c = t.c + r * kNarrowPanel;
      const Vec sum = _mm512_cvtepi32_ps((__m512i)(loadInts(c + i) - loadInts(t.offset + i))) * (t.xScale[r] * load(t.wScale + i));
      far ? finishFar(t.finish, r, i, sum) : leave(t.finish, reinterpret_cast<float*>(c), r, i, sum);
    }
}

double spinDots(Dtype dtype, long steps) {
  if (dtype == Dtype::Fp32) return 0;
  const bool bytes = dtype == Dtype::Int8;
  const long count = steps / 4;
  shape(kMatrix, kMatrix);
  for (long i = 0; i < count; ++i) {
    if (bytes) addProduct<true, 0, 4, 6>(), addProduct<true, 1, 4, 7>(), addProduct<true, 2, 5, 6>(), addProduct<true, 3, 5, 7>();
    else addProduct<false, 0, 4, 6>(), addProduct<false, 1, 4, 7>(), addProduct<false, 2, 5, 6>(), addProduct<false, 3, 5, 7>();
  }
  release();
  return count * 4.0 * 2 * kMatrix * kMatrix * kMatrix * (bytes ? 4 : 2);
}

}  // namespace
