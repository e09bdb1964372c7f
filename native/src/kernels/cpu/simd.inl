// The fast kernels of fp32, once for every vector width. Included by one translation unit per vector width, which first
// defines in an anonymous namespace kWidth (vector.inl) and
//   kRowBlock   rows of the register tile (kRowBlock x 2 vectors of accumulators)
//
// GEMM method: the weight lies in panels of 2*kWidth outputs, [K][panel]; the rows in blocks
// [K][rows]. One register tile rows x panel runs over a block of K: one broadcast and two
// multiply-adds per row and step. The next block goes on from the sums in C, so every output is a
// plain sequential sum over k. Gradients of the inputs run the same tiles over weights that are turned a block at a time
// (linearDx), or swap the roles and turn the sums, where outputs are many and rows few (linearDxWide).
#include "kernels/cpu/vector.inl"

namespace {

using hindsight::AdamArgs;
using hindsight::AttentionArgs;
using hindsight::AttentionBackwardArgs;
using hindsight::kPage;
using hindsight::LinearArgs;
using hindsight::LinearDxArgs;
using hindsight::LinearDxWideArgs;
using hindsight::Ops;
using hindsight::RowPanel;

constexpr int kPanel = 2 * kWidth;

// ---- register tile ---------------------------------------------------------------------------

/// Steps of a tile between which it asks for other memory, and steps before its end at which it asks for what it will
/// write and add.
constexpr int kStretch = 64, kLateSteps = 48;

/// Steps of a stretch. A gradient's A is a packed weight: pieces of a panel's outputs.
template <int AMS>
constexpr int kStretchOf = AMS == 1 ? kStretch : AMS;

/// What a tile asks for at each stretch of its steps, for the second-level cache: `lines` cache lines, the next ones `jump`
/// bytes on (0: behind them).
struct Asked {
  Asked() = default;
  Asked(const float* from, int lines, long jump = 0) : from(reinterpret_cast<const char*>(from)), jump(jump ? jump : 64L * lines), lines(lines) {}
  inline __attribute__((always_inline)) void step() {
    for (int line = 0; line < lines; ++line) __builtin_prefetch(from + 64 * line, 0, 2);
    from += jump;
  }

 private:
  const char* from = nullptr;
  long jump = 0;
  int lines = 0;
};

/// Operands of one tile: A(m,k) = a[m*AMS + k*aStep], B(k,n) = b[k*bStep + n], twice (base, LoRA).
struct Tile {
  long aJump = 0;  // of A from stretch to stretch, where it is not one piece
  int k = 0, k2 = 0;
  const float *a = nullptr, *b = nullptr, *a2 = nullptr, *b2 = nullptr;
  long aStep = 0, bStep = 0, a2Step = 0, b2Step = 0;
  const float* start = nullptr;  // what the sums go on from: C itself, or a bias (ldStart 0)
  long ldStart = 0;
  const float* residual = nullptr;
  float* c = nullptr;
  long ldc = 0;
  const float* next = nullptr;  // C of the next tile, where its sums start there
  Asked ahead, far;
  bool stream = false;  // C, whole lines of it, is written past the caches
};

template <int Rows, int Vecs, int AMS>
inline __attribute__((always_inline)) void accumulate(Vec (&acc)[Rows][Vecs], int k, const float* a,
                                                      long aStep, const float* b, long bStep) {
#pragma GCC unroll 2
  for (int i = 0; i < k; ++i) {
    Vec w[Vecs];
#pragma GCC unroll 2
    for (int v = 0; v < Vecs; ++v) w[v] = load(b + v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec x = splat(a[r * AMS]);
#pragma GCC unroll 2
      for (int v = 0; v < Vecs; ++v) acc[r][v] += x * w[v];
    }
    a += aStep;
    b += bStep;
  }
}

template <int Rows, int Vecs, int AMS>
void runTile(const Tile& t) {
  Vec acc[Rows][Vecs] = {};
  if (t.start)
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vecs; ++v) acc[r][v] = load(t.start + r * t.ldStart + v * kWidth);
  constexpr int stretch = kStretchOf<AMS>;
  const float *a = t.a, *b = t.b;
  const long aStep = t.aStep, bStep = t.bStep, aJump = t.aJump ? t.aJump : stretch * aStep, bJump = stretch * bStep;
  Asked ahead = t.ahead, far = t.far;
  int left = t.k;
  const auto untilLeft = [&](int end) __attribute__((always_inline)) {
    for (; left >= end; left -= stretch, a += aJump, b += bJump) {
      ahead.step();
      far.step();
      accumulate<Rows, Vecs, AMS>(acc, stretch, a, aStep, b, bStep);
    }
  };
  untilLeft(stretch + kLateSteps);
  if (t.k > 2 * kLateSteps && !t.stream)  // attention's products are shorter, and C is near there
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
      for (int line = 0; line < Vecs * kWidth; line += 16) {
        bringToWrite(t.c + r * t.ldc + line);
        if (t.residual) __builtin_prefetch(t.residual + r * t.ldc + line);
        if (t.next) bringToWrite(t.next + r * t.ldc + line);
      }
  untilLeft(stretch);
  if (left > 0) {
    ahead.step();
    far.step();
    accumulate<Rows, Vecs, AMS>(acc, left, a, aStep, b, bStep);
  }
  if (t.k2) accumulate<Rows, Vecs, 1>(acc, t.k2, t.a2, t.a2Step, t.b2, t.b2Step);
  if (t.residual)
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vecs; ++v) acc[r][v] += load(t.residual + r * t.ldc + v * kWidth);
  const auto leave = [&](auto write) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vecs; ++v) write(t.c + r * t.ldc + v * kWidth, acc[r][v]);
  };
  if (kLineVectors && t.stream) leave(storeFar);
  else leave(store);
}

typedef void (*TileFn)(const Tile&);
template <int Vecs, int AMS, int... Rows>
struct TileTable {
  static constexpr TileFn at[sizeof...(Rows)] = {runTile<Rows, Vecs, AMS>...};
};
template <int Vecs, int AMS, int Left, int... Rows>
struct MakeTable : MakeTable<Vecs, AMS, Left - 1, Left, Rows...> {};
template <int Vecs, int AMS, int... Rows>
struct MakeTable<Vecs, AMS, 0, Rows...> : TileTable<Vecs, AMS, Rows...> {};

/// One tile of rows x cols, cols <= kPanel; a partial panel goes through a buffer.
template <int AMS>
inline void tile(const Tile& t, int rows, int cols) {
  const int vecs = cols > kWidth ? 2 : 1;
  const TileFn run = vecs == 2 ? MakeTable<2, AMS, kRowBlock>::at[rows - 1]
                               : MakeTable<1, AMS, kRowBlock>::at[rows - 1];
  if (cols == vecs * kWidth) {
    run(t);
    return;
  }
  float buffer[kRowBlock * kPanel];
  Tile inner = t;
  inner.c = buffer;
  inner.ldc = kPanel;
  inner.residual = nullptr;
  inner.stream = false;
  run(inner);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols; ++c) {
      const long at = r * t.ldc + c;
      t.c[at] = (t.residual ? t.residual[at] : 0.0f) + buffer[r * kPanel + c];
    }
}

/// C[m,n] (+)= A B for small blocks of attention. AMS as in Tile.
template <int AMS>
void smallGemm(int m, int n, int k, const float* a, long aStep, const float* b, long bStep, float* c,
               long ldc, bool add) {
  const int blocks = blockCount(m, kRowBlock);
  Tile t;
  t.k = k;
  t.aStep = aStep;
  t.bStep = bStep;
  t.ldc = ldc;
  for (int n0 = 0; n0 < n; n0 += kPanel) {
    const int cols = n - n0 < kPanel ? n - n0 : kPanel;
    t.b = b + n0;
    BlockWalk block(m, blocks, 0);
    for (int i = 0; i < blocks; ++i, block.next()) {
      t.a = a + static_cast<long>(block.start()) * AMS;
      t.c = c + block.start() * ldc + n0;
      t.residual = add ? t.c : nullptr;
      tile<AMS>(t, block.rows(), cols);
    }
  }
}

// ---- linear ----------------------------------------------------------------------------------

void pack(const float* w, int n, int k, float* out) {
  for (int n0 = 0; n0 < n; n0 += kPanel) {
    const int cols = n - n0 < kPanel ? n - n0 : kPanel;
    float* panel = out + static_cast<size_t>(n0) * k;
    if (cols < kPanel)
      for (size_t i = 0; i < static_cast<size_t>(k) * kPanel; ++i) panel[i] = 0.0f;
    transposeBlock(w + static_cast<size_t>(n0) * k, k, cols, k, 1.0f, panel, kPanel);
  }
}

void packRows(const float* x, long ldx, int rows, int k, float* out) {
  transposeBlock(x, ldx, rows, k, 1.0f, out, rows);
}

/// Most inputs of a block of linear(): fewer, and the sums pass through memory once more; more, and its rows and panel leave
/// the second-level cache, which costs little where tiles ask for them. Most panels that go from block to block together,
/// so that their sums stay near.
constexpr int kLinearK = kWidth == 16 ? 1536 : 1024, kPanelGroup = 16;

void linear(const LinearArgs& g, int b0, int b1, int p0, int p1) {
  const int blocks = blockCount(g.m, kRowBlock), step = hindsight::blockLength(g.k, kLinearK);
  const int group = step < g.k ? blockCount(p1 - p0, blockCount(p1 - p0, kPanelGroup)) : p1 - p0;
  for (int first = p0, k0 = 0; first < p1;) {
    const int end = first + group < p1 ? first + group : p1;
    Tile t;
    t.k = g.k - k0 < step ? g.k - k0 : step;
    t.bStep = kPanel;
    t.ldc = g.ldy;
    const bool last = k0 + t.k == g.k;
    if (last) t.k2 = g.k2;
    t.b2Step = kPanel;
    // Each tile asks for its share of the next panel, and those of the first panel for the next rows: nobody has read
    // their part of this block yet.
    const int stretches = blockCount(t.k, kStretch), each = blockCount(blockCount(t.k * kPanel / 16, b1 - b0), stretches), eachOfRows = blockCount(t.k * kRowBlock / 16, stretches);
    const int nextFirst = last ? end : first, nextK = last ? 0 : k0 + step;
    for (int p = first; p < end; ++p) {
      const int n0 = p * kPanel, cols = g.n - n0 < kPanel ? g.n - n0 : kPanel;
      t.b = g.w + static_cast<size_t>(n0) * g.k + static_cast<size_t>(k0) * kPanel;
      if (t.k2) t.b2 = g.w2 + static_cast<size_t>(n0) * g.k2;
      const float* next = p + 1 < end ? t.b + static_cast<size_t>(g.k) * kPanel : nextFirst < p1 ? g.w + static_cast<size_t>(nextFirst) * kPanel * g.k + static_cast<size_t>(nextK) * kPanel : nullptr;
      BlockWalk block(g.m, blocks, b0);
      for (int i = b0; i < b1; ++i, block.next()) {
        const int r0 = block.start(), rows = block.rows();
        t.a = g.xPacked + static_cast<size_t>(r0) * g.k + static_cast<size_t>(k0) * rows;
        t.aStep = rows;
        t.ahead = next ? Asked(next + 16L * each * stretches * (i - b0), each) : Asked();
        t.far = p == first && i + 1 < b1 ? Asked(t.a + static_cast<size_t>(rows) * g.k, eachOfRows) : Asked();
        t.c = g.y + r0 * g.ldy + n0;
        if (k0 > 0) {
          t.start = t.c;
          t.ldStart = t.ldc;
          t.next = i + 1 < b1 ? t.c + rows * g.ldy : nullptr;
        } else {
          t.start = g.bias ? g.bias + n0 : nullptr;
        }
        if (last && g.residual) t.residual = g.residual + r0 * g.ldy + n0;
        if (t.k2) {
          t.a2 = g.x2Packed + static_cast<size_t>(r0) * g.k2;
          t.a2Step = rows;
        }
        tile<1>(t, rows, cols);
      }
    }
    first = nextFirst;
    k0 = nextK;
  }
}

/// Decode: Rows of X against Panels neighbouring panels at once, so that enough independent sums
/// hide the latency of the multiply-add. Same order over k as the register tile.
template <int Rows, int Panels>
void smallPanels(const LinearArgs& g, int p0) {
  Vec acc[Rows][Panels][2];
  const float* w[Panels];
#pragma GCC unroll 4
  for (int p = 0; p < Panels; ++p) {
    w[p] = g.w + static_cast<size_t>(p0 + p) * kPanel * g.k;
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v)
        acc[r][p][v] = g.start ? load(g.start + r * g.ldy + (p0 + p) * kPanel + v * kWidth) : g.bias ? load(g.bias + (p0 + p) * kPanel + v * kWidth) : Vec{};
  }
  for (int k = 0; k < g.k; ++k) {
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p) {
      const Vec w0 = load(w[p] + static_cast<long>(k) * kPanel);
      const Vec w1 = load(w[p] + static_cast<long>(k) * kPanel + kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        const Vec x = splat(g.x[r * g.ldx + k]);
        acc[r][p][0] += x * w0;
        acc[r][p][1] += x * w1;
      }
    }
  }
  for (int k = 0; k < g.k2; ++k) {
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p) {
      const float* w2 = g.w2 + (static_cast<size_t>(p0 + p) * g.k2 + k) * kPanel;
      const Vec w0 = load(w2), w1 = load(w2 + kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        const Vec x = splat(g.x2[r * g.ldx2 + k]);
        acc[r][p][0] += x * w0;
        acc[r][p][1] += x * w1;
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < Panels; ++p) {
    const int n0 = (p0 + p) * kPanel;
    const int cols = g.n - n0 < kPanel ? g.n - n0 : kPanel;
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      float* y = g.y + r * g.ldy + n0;
      const float* add = g.residual ? g.residual + r * g.ldy + n0 : nullptr;
      if (cols == kPanel) {
        store(y, add ? load(add) + acc[r][p][0] : acc[r][p][0]);
        store(y + kWidth, add ? load(add + kWidth) + acc[r][p][1] : acc[r][p][1]);
      } else {
        float line[kPanel];
        store(line, acc[r][p][0]);
        store(line + kWidth, acc[r][p][1]);
        for (int c = 0; c < cols; ++c) y[c] = (add ? add[c] : 0.0f) + line[c];
      }
    }
  }
}

template <int Rows>
void smallRange(const LinearArgs& g, int p0, int p1) {
  constexpr int wide = Rows == 1 ? 4 : Rows == 2 ? 2 : 1;
  int p = p0;
  for (; p + wide <= p1; p += wide) smallPanels<Rows, wide>(g, p);
  for (; p < p1; ++p) smallPanels<Rows, 1>(g, p);
}

void linearSmall(const LinearArgs& g, int p0, int p1) {
  switch (g.m) {
    case 1: return smallRange<1>(g, p0, p1);
    case 2: return smallRange<2>(g, p0, p1);
    case 3: return smallRange<3>(g, p0, p1);
    default: return smallRange<4>(g, p0, p1);
  }
}

template <int Count, int Vecs>
void rowPanelsOf(const RowPanel* items, int k) {
  Vec acc[Count][Vecs] = {};
  for (int i = 0; i < k; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Count; ++j) {
      const Vec x = splat(items[j].x[i]);
#pragma GCC unroll 2
      for (int v = 0; v < Vecs; ++v) acc[j][v] += x * load(items[j].w + static_cast<long>(i) * kPanel + v * kWidth);
    }
  for (int j = 0; j < Count; ++j) {
    float line[kPanel] = {};
    const bool whole = items[j].cols == Vecs * kWidth;
#pragma GCC unroll 2
    for (int v = 0; v < Vecs; ++v) store((whole ? items[j].y : line) + v * kWidth, acc[j][v]);
    for (int c = 0; !whole && c < items[j].cols; ++c) items[j].y[c] = line[c];
  }
}

template <int Vecs>
int rowPanelsFirst(const RowPanel* items, int count, int k) {
  if (count >= 4) return rowPanelsOf<4, Vecs>(items, k), 4;
  if (count >= 2) return rowPanelsOf<2, Vecs>(items, k), 2;
  return rowPanelsOf<1, Vecs>(items, k), 1;
}

void rowPanels(const RowPanel* items, int count, int k) {
  const auto half = [](const RowPanel& item) { return item.cols <= kWidth; };
  for (int i = 0; i < count;) {
    int same = 1;  // neighbours whose panels are as wide
    while (i + same < count && half(items[i + same]) == half(items[i])) ++same;
    i += half(items[i]) ? rowPanelsFirst<1>(items + i, same, k) : rowPanelsFirst<2>(items + i, same, k);
  }
}

/// Outputs of a block of linearDx: turned, a panel of inputs of it stays in the second-level cache while all rows pass by.
constexpr int kTurnedBlock = kWidth == 16 ? 1024 : 1536, kFewOutputs = 2 * kPanel;
static_assert((kTurnedBlock + kFewOutputs) * kPanel <= hindsight::narrowDxScratch(), "a block and LoRA's");

/// out[n - n0][panel] = W[n, k0 : k0+panel] for n in [n0,n1); n0 is a multiple of the panel.
void turnPanel(const float* w, int n0, int n1, int k, int k0, float* out) {
  const int cols = k - k0 < kPanel ? k - k0 : kPanel;
  for (int n = n0; n < n1; n += kPanel) {
    const float* piece = w + static_cast<size_t>(n) * k + static_cast<size_t>(k0) * kPanel;
    transposeBlock<false, false, kPanel>(piece, kPanel, cols, n1 - n < kPanel ? n1 - n : kPanel, 1.0f, out + static_cast<size_t>(n - n0) * kPanel, kPanel);
  }
}

/// The forward product's tiles over weights that are turned block by block. A last term of few outputs, LoRA's, goes with
/// the block before it.
void linearDx(const LinearDxArgs& g, int b0, int b1, int p0, int p1, float* scratch) {
  const int blocks = blockCount(g.m, kRowBlock);
  const bool second = g.terms > 1 && g.term[g.terms - 1].n <= kFewOutputs;
  const int terms = g.terms - second;
  const auto& lora = g.term[g.terms - 1];
  float* loraTurned = scratch + kTurnedBlock * kPanel;
  const bool lines = kLineVectors && g.stream && !g.add && g.lddx % kWidth == 0 && (reinterpret_cast<uintptr_t>(g.dx) & 63) == 0;
  constexpr int pieceLines = kPanel * kPanel / 16;  // of a panel of outputs and one of inputs
  bool first = true;
  for (int term = 0; term < terms; ++term) {
    const auto& from = g.term[term];
    const int step = (hindsight::blockLength(from.n, kTurnedBlock) + kPanel - 1) / kPanel * kPanel;
    for (int n0 = 0; n0 < from.n; n0 += step, first = false) {
      const int n1 = from.n - n0 < step ? from.n : n0 + step;
      const bool end = n1 == from.n && term + 1 == terms;
      for (int p = p0; p < p1; ++p) {
        const int k0 = p * kPanel, cols = g.k - k0 < kPanel ? g.k - k0 : kPanel;
        turnPanel(from.w, n0, n1, g.k, k0, scratch);
        Tile t;
        t.k = n1 - n0;
        t.b = scratch;
        t.bStep = t.b2Step = kPanel;
        t.ldc = g.lddx;
        if (end && second) {
          turnPanel(lora.w, 0, lora.n, g.k, k0, loraTurned);
          t.k2 = lora.n;
          t.b2 = loraTurned;
        }
        t.stream = lines && first && end;
        // What is turned next, whose pieces lie far apart: tiles ask for a share of one each.
        const bool beside = p + 1 < p1;
        const int n2 = beside ? n0 : n1, pieces = blockCount((from.n - n2 < step ? from.n - n2 : step), kPanel);
        const float* next = from.w + static_cast<size_t>(n2) * g.k + static_cast<size_t>(beside ? p + 1 : p0) * kPanel * kPanel;
        const int sharers = pieces && b1 - b0 > pieces ? (b1 - b0) / pieces : 1, share = blockCount(pieceLines, sharers), each = blockCount(share, blockCount(t.k, kStretch));
        BlockWalk block(g.m, blocks, b0);
        for (int i = b0, piece = 0, sharer = 0; i < b1; ++i, block.next()) {
          const int r0 = block.start(), rows = block.rows();
          t.a = from.dyPacked + static_cast<size_t>(r0) * from.n + static_cast<size_t>(n0) * rows;
          t.aStep = t.a2Step = rows;
          if (t.k2) t.a2 = lora.dyPacked + static_cast<size_t>(r0) * lora.n;
          t.c = g.dx + r0 * g.lddx + k0;
          if (!first || g.add) {
            t.start = t.c;
            t.ldStart = t.ldc;
            t.next = i + 1 < b1 ? t.c + rows * g.lddx : nullptr;
          }
          t.ahead = piece < pieces ? Asked(next + static_cast<size_t>(piece) * kPanel * g.k + 16 * share * sharer, each) : Asked();
          if (++sharer == sharers) {
            sharer = 0;
            ++piece;
          }
          tile<1>(t, rows, cols);
        }
      }
    }
  }
  if (lines) endFarStores();
}

/// Outputs of a block of linearDxWide: its rows, the next ones, weights and sums stay in half of a second-level cache (whose
/// other half is a sibling's), and where vectors are short the block of a panel of rows in the first-level cache, while all
/// weights pass by.
constexpr bool kNearRows = kPanel <= 16;
constexpr int kDxBlock = 256;

/// dX^T, whose rows are inputs and whose lanes are rows of dY: so the packed weight is read as it lies, and nothing but
/// the sums is turned.
void linearDxWide(const LinearDxWideArgs& g, int r0, int r1, int p0, int p1, float* scratch) {
  const int k0 = p0 * kPanel, inputs = (p1 * kPanel < g.k ? p1 * kPanel : g.k) - k0;
  const int tiles = blockCount(inputs, kRowBlock), blocks = blockCount(r1 - r0, kPanel);
  const auto height = [&](int i) { return r1 - r0 - i * kPanel < kPanel ? r1 - r0 - i * kPanel : kPanel; };
  const bool far = kLineVectors && g.stream && !g.add && g.lddx % kWidth == 0 && (reinterpret_cast<uintptr_t>(g.dx) & 63) == 0;
  /// The sums of row block i to dX.
  const auto turn = [&](int i) {
    for (int k = 0; k < inputs; k += kWidth) {
      const float* sums = scratch + (static_cast<size_t>(i) * inputs + k) * kPanel;
      float* dx = g.dx + (r0 + i * kPanel) * g.lddx + k0 + k;
      const int count = inputs - k < kWidth ? inputs - k : kWidth;
      if (i + 1 < blocks && !far)
        for (int r = 0; r < height(i + 1); ++r) bringToWrite(dx + (kPanel + r) * g.lddx);
      if (far) transposeBlock<false, true, kPanel>(sums, kPanel, count, height(i), 1.0f, dx, g.lddx);
      else if (g.add) transposeBlock<true, false, kPanel>(sums, kPanel, count, height(i), 1.0f, dx, g.lddx);
      else transposeBlock<false, false, kPanel>(sums, kPanel, count, height(i), 1.0f, dx, g.lddx);
    }
  };
  constexpr int pieceLines = kRowBlock * kPanel / 16;  // of a tile's weights in one panel
  const int sharers = kNearRows ? 1 : blocks, each = blockCount(pieceLines, sharers);
  const int step = (hindsight::blockLength(g.n, kDxBlock) + kPanel - 1) / kPanel * kPanel;
  for (int n0 = 0; n0 < g.n; n0 += step) {
    const float* w = g.w + static_cast<size_t>(n0) * g.k + static_cast<size_t>(k0) * kPanel;
    const int left = g.n - n0 - step;  // after this block
    Tile t;
    t.k = left > 0 ? step : g.n - n0;
    t.aStep = 1;
    t.aJump = static_cast<long>(kPanel) * g.k;
    t.ldc = kPanel;
    // The next block of dY comes from far away where N is large: each tile asks for its share.
    const int stretches = blockCount(t.k, kPanel), share = blockCount((left < step ? left : step) * kPanel / 16, tiles), eachOfRows = blockCount(share, stretches);
    const auto product = [&](int i, int j, const BlockWalk& tileOf) {
      const int first = tileOf.start(), count = tileOf.rows(), rows = height(i);
      t.a = w + first * kPanel;
      t.b = g.dyPacked + static_cast<size_t>(r0 + i * kPanel) * g.n + static_cast<size_t>(n0) * rows;
      t.bStep = rows;
      t.c = scratch + (static_cast<size_t>(i) * inputs + first) * kPanel;
      if (n0 > 0) {
        t.start = t.c;
        t.ldStart = kPanel;
      }
      if (left > 0) t.far = Asked(t.b + static_cast<size_t>(step) * rows + 16L * share * j, eachOfRows);
      const float* next = j + 1 < tiles ? w + (first + count) * kPanel : left > 0 ? w + static_cast<size_t>(step) * g.k : nullptr;
      t.ahead = next && each * i < pieceLines ? Asked(next + each * i * 16, each, 4 * t.aJump) : Asked();
      tile<kPanel>(t, count, rows > kWidth ? kPanel : kWidth);
    };
    if (kNearRows) {
      for (int i = 0; i < blocks; ++i) {
        BlockWalk tileOf(inputs, tiles, 0);
        for (int j = 0; j < tiles; ++j, tileOf.next()) product(i, j, tileOf);
        if (left <= 0) turn(i);
      }
      continue;
    }
    BlockWalk tileOf(inputs, tiles, 0);
    for (int j = 0; j < tiles; ++j, tileOf.next())
      for (int i = 0; i < blocks; ++i) product(i, j, tileOf);
    if (left <= 0)
      for (int i = 0; i < blocks; ++i) turn(i);
  }
  if (far) endFarStores();
}

void outer(int m, int r, const float* p, long ldp, const float* q, long ldq, int n0, int n1,
           float* out, long ldo) {
  smallGemm<1>(r, n1 - n0, m, p, ldp, q + n0, ldq, out + n0, ldo, true);
}

// ---- norms, rope, swiglu ---------------------------------------------------------------------

void rmsnorm(const float* x, const float* weight, int n, float eps, float* out) {
  const float inverse = 1.0f / __builtin_sqrtf(dot(x, x, n) / n + eps);
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, load(weight + i) * (load(x + i) * inverse));
  for (; i < n; ++i) out[i] = weight[i] * (x[i] * inverse);
}

void rmsnormBackward(const float* x, const float* weight, const float* dy, int n, float eps,
                     float* dx, bool add) {
  const float inverse = 1.0f / __builtin_sqrtf(dot(x, x, n) / n + eps);
  Vec sum{};
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) sum += load(dy + i) * load(weight + i) * load(x + i);
  float projection = sumLanes(sum);
  for (; i < n; ++i) projection += dy[i] * weight[i] * x[i];
  const float pull = projection * inverse * inverse * inverse / n;
  for (i = 0; i + kWidth <= n; i += kWidth) {
    const Vec d = load(dy + i) * load(weight + i) * inverse - load(x + i) * pull;
    store(dx + i, add ? load(dx + i) + d : d);
  }
  for (; i < n; ++i) {
    const float d = dy[i] * weight[i] * inverse - x[i] * pull;
    dx[i] = add ? dx[i] + d : d;
  }
}

void rope(float* x, const float* cosine, const float* sine, int headDim, float sign) {
  const int half = headDim / 2;
  int i = 0;
  for (; i + kWidth <= half; i += kWidth) {
    const Vec c = load(cosine + i), s = load(sine + i) * sign;
    const Vec a = load(x + i), b = load(x + half + i);
    store(x + i, a * c - b * s);
    store(x + half + i, b * c + a * s);
  }
  for (; i < half; ++i) {
    const float c = cosine[i], s = sine[i] * sign, a = x[i], b = x[half + i];
    x[i] = a * c - b * s;
    x[half + i] = b * c + a * s;
  }
}

void swiglu(const float* gate, const float* up, size_t n, float* out) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, silu(load(gate + i)) * load(up + i));
  if (i < n) {
    float g[kWidth], u[kWidth], o[kWidth];
    padded(gate + i, static_cast<int>(n - i), g);
    padded(up + i, static_cast<int>(n - i), u);
    store(o, silu(load(g)) * load(u));
    for (size_t j = i; j < n; ++j) out[j] = o[j - i];
  }
}

// ---- attention -------------------------------------------------------------------------------

/// exp(row - top) of the first `valid` of `Keys` scores in place, zero beyond; @returns the sum.
template <int Keys>
inline float expRow(float* row, int valid, float top) {
  for (int i = valid; i < Keys; ++i) row[i] = -1e30f;
  Vec sum{};
#pragma GCC unroll 8
  for (int i = 0; i < Keys; i += kWidth) {
    const Vec p = expVec(load(row + i) - top);
    store(row + i, p);
    sum += p;
  }
  return sumLanes(sum);
}

void attention(const AttentionArgs& g, int head, int r0, int r1, float* scratch) {
  const int d = g.headDim, rows = r1 - r0, width = g.heads * d;
  float* qt = scratch;                          // [D][rows]
  float* out = qt + kPage * d + hindsight::kSlack;  // [rows][D]
  float* scores = out + kPage * d + hindsight::kSlack;  // [rows][kPage]
  float top[kPage], sum[kPage];
  transposeBlock(g.q + static_cast<size_t>(r0) * width + head * d, width, rows, d, g.scale, qt, rows);
  for (int i = 0; i < rows * d; ++i) out[i] = 0.0f;
  for (int i = 0; i < rows; ++i) {
    top[i] = -1e30f;
    sum[i] = 0.0f;
  }
  const size_t kvHead = static_cast<size_t>(head / (g.heads / g.kvHeads)) * d * kPage;
  const int last = g.start + r1 - 1;
  for (int base = 0; base <= last; base += kPage) {
    const float* page = g.pages[base / kPage];
    const int keys = last - base + 1 < kPage ? last - base + 1 : kPage;
    smallGemm<1>(rows, kPage, d, qt, rows, page + g.keyOffset + kvHead, kPage, scores, kPage, false);
    for (int i = 0; i < rows; ++i) {
      float* row = scores + i * kPage;
      int valid = g.start + r0 + i - base + 1;
      if (valid <= 0) {
        for (int j = 0; j < kPage; ++j) row[j] = 0.0f;
        continue;
      }
      if (valid > kPage) valid = kPage;
      float peak = top[i];
      for (int j = valid; j < kPage; ++j) row[j] = -1e30f;
      Vec best = load(row);
#pragma GCC unroll 8
      for (int j = kWidth; j < kPage; j += kWidth) best = larger(best, load(row + j));
      const float here = maxLanes(best);
      if (here > peak) {
        peak = here;
        if (base > 0) {
          float line[kWidth];
          store(line, expVec(splat(top[i] - peak)));
          const float shrink = line[0];
          sum[i] *= shrink;
          for (int j = 0; j < d; ++j) out[i * d + j] *= shrink;
        }
        top[i] = peak;
      }
      sum[i] += expRow<kPage>(row, valid, peak);
    }
    smallGemm<kPage>(rows, d, keys, scores, 1, page + g.valueOffset + kvHead, d, out, d, true);
  }
  for (int i = 0; i < rows; ++i) {
    float* target = g.out + static_cast<size_t>(r0 + i) * width + head * d;
    const float inverse = 1.0f / sum[i];
    for (int j = 0; j < d; ++j) target[j] = out[i * d + j] * inverse;
    if (g.lse) g.lse[static_cast<size_t>(head) * g.rows + r0 + i] = top[i] + __builtin_logf(sum[i]);
  }
}

void attentionBackward(const AttentionBackwardArgs& g, int item, float* scratch) {
  constexpr int n = hindsight::kAttentionTile;  // queries, and keys, of a block
  const int d = g.headDim, s = g.rows, first = item / g.parts * g.span, kvHead = first / (g.heads / g.kvHeads), part = item % g.parts;
  const int start = hindsight::backwardStart(s, g.parts, part), end = hindsight::backwardStart(s, g.parts, part + 1), blocks = (end + n - 1) / n;
  const int width = g.heads * d, kvWidth = g.kvHeads * d;
  const float* keys = g.k + kvHead * d;
  const float* values = g.v + kvHead * d;
  float* kt = scratch;                                                       // [blocks][D][n]
  float* vt = kt + static_cast<size_t>(blocks) * d * n;
  float* qt = vt + static_cast<size_t>(blocks) * d * n + hindsight::kSlack;  // [D][rows], scaled
  float* ot = qt + n * d + hindsight::kSlack;                                       // dOut^T [D][rows]
  float* q = ot + n * d + hindsight::kSlack;                                        // [rows][D], scaled
  float* p = q + n * d + hindsight::kSlack;                                         // [rows][n]
  float* ds = p + n * n + hindsight::kSlack;                                        // [rows][n]
  for (int block = 0; block < blocks; ++block) {
    const int base = block * n, count = s - base < n ? s - base : n;
    float* keysT = kt + static_cast<size_t>(block) * d * n;
    float* valuesT = vt + static_cast<size_t>(block) * d * n;
    if (count < n)
      for (int i = 0; i < d * n; ++i) keysT[i] = valuesT[i] = 0.0f;
    transposeBlock(keys + static_cast<size_t>(base) * kvWidth, kvWidth, count, d, 1.0f, keysT, n);
    transposeBlock(values + static_cast<size_t>(base) * kvWidth, kvWidth, count, d, 1.0f, valuesT, n);
  }
  float* dk = g.dk + g.copy(item) + kvHead * d;
  float* dv = g.dv + g.copy(item) + kvHead * d;
  for (int r = 0; r < end; ++r)
    for (int i = 0; i < d; ++i) dk[static_cast<size_t>(r) * kvWidth + i] = dv[static_cast<size_t>(r) * kvWidth + i] = 0.0f;
  for (int head = first; head < first + g.span; ++head)
    for (int own = start / n; own < blocks; ++own) {
      const int r0 = own * n, rows = s - r0 < n ? s - r0 : n;
      const size_t at = static_cast<size_t>(r0) * width + head * d;
      const float* dOut = g.dOut + at;
      float* dq = g.dq + at;
      float delta[n];
      transposeBlock(g.q + at, width, rows, d, g.scale, qt, rows);
      transposeBlock(dOut, width, rows, d, 1.0f, ot, rows);
      for (int i = 0; i < rows; ++i) {
        delta[i] = dot(dOut + static_cast<size_t>(i) * width, g.out + at + static_cast<size_t>(i) * width, d);
        for (int j = 0; j < d; ++j) {
          q[i * d + j] = g.scale * g.q[at + static_cast<size_t>(i) * width + j];
          dq[static_cast<size_t>(i) * width + j] = 0.0f;
        }
      }
      for (int block = 0; block <= own; ++block) {
        const int base = block * n, count = s - base < n ? s - base : n;
        // Of the queries' own block only what is not after them, a panel of keys at a time.
        const int step = block == own ? kPanel : n;
        const float *keysT = kt + static_cast<size_t>(block) * d * n, *valuesT = vt + static_cast<size_t>(block) * d * n;
        for (int c = 0; c < count; c += step) {
          smallGemm<1>(rows - c, step, d, qt + c, rows, keysT + c, n, p + c * n + c, n, false);
          smallGemm<1>(rows - c, step, d, ot + c, rows, valuesT + c, n, ds + c * n + c, n, false);
        }
        for (int i = 0; i < rows; ++i) {
          const int valid = r0 + i - base + 1 < n ? r0 + i - base + 1 : n;
          expRow<n>(p + i * n, valid, g.lse[static_cast<size_t>(head) * s + r0 + i]);
#pragma GCC unroll 8
          for (int j = 0; j < n; j += kWidth)
            store(ds + i * n + j, j < valid ? load(p + i * n + j) * (load(ds + i * n + j) - delta[i]) : Vec{});
        }
        for (int c = 0; c < count; c += step) {
          const int some = count - c < step ? count - c : step, seen = c + step < count ? c + step : count;
          const size_t to = static_cast<size_t>(base + c) * kvWidth;
          smallGemm<n>(rows - c < step ? rows - c : step, d, seen, ds + c * n, 1, keys + static_cast<size_t>(base) * kvWidth, kvWidth, dq + static_cast<size_t>(c) * width, width, true);
          smallGemm<1>(some, d, rows - c, ds + c * n + c, n, q + c * d, d, dk + to, kvWidth, true);
          smallGemm<1>(some, d, rows - c, p + c * n + c, n, dOut + static_cast<size_t>(c) * width, width, dv + to, kvWidth, true);
        }
      }
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < d; ++j) dq[static_cast<size_t>(i) * width + j] *= g.scale;
    }
}

// ---- softmax, AdamW --------------------------------------------------------------------------

double logSumExp(const float* z, size_t n, float inverseTemperature) {
  Vec best = splat(-3e38f);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) best = larger(best, load(z + i));
  float peak = maxLanes(best);
  for (; i < n; ++i)
    if (z[i] > peak) peak = z[i];
  const float shift = peak * inverseTemperature;
  double total = 0;
  i = 0;
  while (i + kWidth <= n) {  // fp32 partial sums of at most 64 vectors, then fp64
    Vec sum{};
    for (int block = 0; block < 64 && i + kWidth <= n; ++block, i += kWidth)
      sum += expVec(load(z + i) * inverseTemperature - shift);
    total += sumLanes(sum);
  }
  for (; i < n; ++i) total += __builtin_expf(z[i] * inverseTemperature - shift);
  return shift + __builtin_log(total);
}

void softmaxScaled(const float* z, size_t n, float inverseTemperature, float lse, float factor,
                   float* out, bool add) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Vec p = factor * expVec(load(z + i) * inverseTemperature - lse);
    store(out + i, add ? load(out + i) + p : p);
  }
  for (; i < n; ++i) {
    const float p = factor * __builtin_expf(z[i] * inverseTemperature - lse);
    out[i] = add ? out[i] + p : p;
  }
}

void adamw(float* w, float* m, float* v, const float* g, size_t n, const AdamArgs& a) {
  const float step = a.lr / a.correction1, root = __builtin_sqrtf(a.correction2);
  const float decay = 1.0f - a.lr * a.weightDecay;
  for (size_t i = 0; i < n; ++i) {
    const float grad = g[i] * a.gradScale;
    m[i] = a.beta1 * m[i] + (1.0f - a.beta1) * grad;
    v[i] = a.beta2 * v[i] + (1.0f - a.beta2) * grad * grad;
    w[i] = w[i] * decay - step * m[i] / (__builtin_sqrtf(v[i]) / root + a.eps);
  }
}

constexpr Ops table(const char* name, const hindsight::NarrowOps* narrow) {
  return Ops{name,      kPanel,          kRowBlock, pack,   packRows,       linear,    linearSmall,
             rowPanels, linearDx,  linearDxWide,    outer,     rmsnorm,   rmsnormBackward,        rope,      attention,
             attentionBackward, swiglu,  swigluBackward,    logSumExp,      softmaxScaled, adamw,  narrow};
}

}  // namespace
