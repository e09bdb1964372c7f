#include "kernels/cpu/math.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace hindsight {
namespace {

/// Multiply-adds below which a loop stays on the calling thread: waking a worker costs about 5 us.
constexpr double kParallelWork = 400e3;
/// The same for decode, whose loops are many and short: a worker that has lost its core to another
/// program holds up the token for milliseconds, which a small loop can never win back.
constexpr double kParallelDecode = 4e6;
/// Row blocks whose packed rows stay in the second-level cache while all panels pass by.
constexpr int kRowSpan = 16;
/// Rows that share a turned weight of linearDx().
constexpr int kTurnedRows = 512;
/// Most panels of inputs of a call of linearDx(), whose sums go from block to block and from term to term.
constexpr int kTurnedGrain = 6;
/// Bytes of a product's result from which it may be written past the caches.
constexpr double kStreamBytes = 1 << 20;

/// Row r of bf16 rows of n numbers, `width` apart (0: padded4(n)), with the zeros behind it.
uint16_t* endRow(uint16_t* halves, int r, int n, long width = 0) {
  if (!width) width = padded4(n);
  uint16_t* row = halves + static_cast<size_t>(r) * width;
  for (long i = n; i < width; ++i) row[i] = 0;
  return row;
}

/// Whether a gradient through n outputs turns its sums (linearDxWide), not the weight. Turning the weight costs the more the
/// fewer rows share it, and the sums of several blocks of outputs pass through memory. Short vectors multiply more slowly and
/// turn as fast, so that more is turned there.
bool turnsSums(const Ops& ops, int m, int n) { return ops.panel < kMostPanel ? n > std::min(6 * m, 2048) : n > std::min(2 * m, 1024); }

int panels(const Ops& ops, int n) { return (n + ops.panel - 1) / ops.panel; }

size_t packedSize(const Ops& ops, int n, int k) {
  return static_cast<size_t>(panels(ops, n)) * ops.panel * k;
}

}  // namespace

PackedWeight packWeight(const Ops& ops, const float* w, int n, int k, Dtype dtype, Arena* home) {
  const auto room = [&](size_t floats) { return home ? Floats(home->take(floats), FreeFloats{true}) : allocateFloats(floats); };
  PackedWeight packed;
  packed.n = n;
  packed.k = k;
  packed.dtype = dtype;
  if (dtype == Dtype::Fp32) {
    packed.data = room(packedSize(ops, n, k));
    ops.pack(w, n, k, packed.data.get());
    return packed;
  }
  const size_t bytes = narrowBytes(dtype, n, k);
  packed.data = room(bytes / sizeof(float));
  std::memset(packed.data.get(), 0, bytes);
  if (dtype == Dtype::Bf16) {
    packBf16(w, n, k, reinterpret_cast<uint16_t*>(packed.data.get()));
    return packed;
  }
  const size_t rows = narrowPanels(n) * kNarrowPanel;
  packed.scale = allocateFloats(rows);
  std::memset(packed.scale.get(), 0, rows * sizeof(float));
  packed.offset.assign(rows, 0);
  packInt8(w, n, k, reinterpret_cast<int8_t*>(packed.data.get()), packed.scale.get(), packed.offset.data());
  return packed;
}

void setBias(const Ops& ops, PackedWeight& weight, const float* bias) {
  const int panel = weight.dtype == Dtype::Fp32 ? ops.panel : kNarrowPanel;
  const size_t size = static_cast<size_t>((weight.n + panel - 1) / panel) * panel;
  weight.bias = allocateFloats(size);
  std::memset(weight.bias.get(), 0, size * sizeof(float));
  std::memcpy(weight.bias.get(), bias, weight.n * sizeof(float));
}

void unpackRow(const Ops& ops, const PackedWeight& weight, int row, float* out) {
  if (weight.dtype == Dtype::Fp32) {
    const float* panel = weight.data.get() + static_cast<size_t>(row / ops.panel) * ops.panel * weight.k;
    const int lane = row % ops.panel;
    for (int k = 0; k < weight.k; ++k) out[k] = panel[static_cast<size_t>(k) * ops.panel + lane];
    return;
  }
  const size_t panel = static_cast<size_t>(row / kNarrowPanel) * kNarrowPanel * padded4(weight.k);
  const int lane = row % kNarrowPanel;
  if (weight.dtype == Dtype::Bf16) {
    const auto* from = reinterpret_cast<const uint16_t*>(weight.data.get()) + panel + 2 * lane;
    for (int k = 0; k < weight.k; ++k) {
      const uint32_t bits = static_cast<uint32_t>(from[static_cast<size_t>(k / 2) * 2 * kNarrowPanel + k % 2]) << 16;
      std::memcpy(out + k, &bits, 4);
    }
    return;
  }
  const auto* from = reinterpret_cast<const int8_t*>(weight.data.get()) + panel + 4 * lane;
  for (int k = 0; k < weight.k; ++k)
    out[k] = weight.scale[row] * static_cast<float>(from[static_cast<size_t>(k / 4) * 4 * kNarrowPanel + k % 4]);
}

/// Stretches of rows that threads work on: as many as threads where each is long enough to be worth its weights, so
/// that a thread finds the rows that it wrote itself.
int Math::rowPieces(int m) const {
  constexpr int enough = 170;
  const int most = m / enough < threads() ? m / enough : threads(), least = leastPieces(m);
  return most > 1 ? (least + most - 1) / most * most : least;
}

/// As many as kNarrowSpan asks for.
int Math::leastPieces(int m) const {
  const int tile = ops_.narrow->tileRows;
  return blockCount(blockCount(m, tile), kNarrowSpan / tile);
}

/// Row where piece i of `pieces` begins: pieces are whole tiles of narrow weights.
int Math::pieceStart(int m, int pieces, int i) const {
  const int tile = ops_.narrow->tileRows;
  return std::min(m, tile * blockStart(blockCount(m, tile), pieces, i));
}

/// Rows of the longest piece, in whole tiles.
int Math::pieceRows(int m, int pieces) const {
  const int tile = ops_.narrow->tileRows;
  return tile * blockCount(blockCount(m, tile), pieces);
}

/// Chunks of at most `panels` panels each: few enough that what is made of rows serves several of them, and enough, `each` for a
/// thread, that all threads end together.
int Math::panelChunks(int columns, int pieces, int each) const {
  const int panels = ops_.narrow->panels, all = columns * pieces, least = std::min(panels / 6, all / threads());
  const int chunks = blockCount(columns, threads() == 1 ? panels : std::clamp(std::max(all / (each * threads()), least), 1, panels));
  return pieces > 1 ? chunks : std::min(columns, blockCount(chunks, threads()) * threads());
}

void Math::reserve(size_t count) {
  for (Scratch& scratch : scratch_) scratch.atLeast(count);
}

void Math::packRows(Rows& x, int slot) {
  if (x.packed) return;
  const int blocks = blockCount(x.rows, ops_.rowBlock);
  x.packed = packBlocks(x, slot, blocks, [&](int i) { return blockStart(x.rows, blocks, i); });
}

const float* Math::packBlocks(const Rows& x, int slot, int blocks, const std::function<int(int)>& start) {
  float* out = slots_[slot].atLeast(static_cast<size_t>(x.rows) * x.cols);
  const auto body = [&](int first, int last, int) {
    for (int i = first; i < last; ++i) {
      const int r0 = start(i);
      ops_.packRows(x.data + static_cast<size_t>(r0) * x.stride(), x.stride(), start(i + 1) - r0, x.cols, out + static_cast<size_t>(r0) * x.cols);
    }
  };
  if (static_cast<double>(x.rows) * x.cols < kParallelWork / 4) body(0, blocks, 0);
  else ranges(blocks, 8, body);
  return out;
}

uint16_t* Math::halfRoom(int rows, long width, int slot) {
  return reinterpret_cast<uint16_t*>(halves_[slot].atLeast((static_cast<size_t>(rows) * width + 1) / 2));
}


void Math::toHalf(Rows& x, int slot, const float* columnScale) {
  if (x.half) return;
  const long width = x.halfStride();
  uint16_t* out = halfRoom(x.rows, width, slot);
  if (columnScale) reserve(x.cols);
  const auto body = [&](int first, int last, int worker) {
    for (int r = first; r < last; ++r) {
      const float* row = x.data + static_cast<size_t>(r) * x.stride();
      if (columnScale) {
        float* scaled = scratch_[worker].atLeast(x.cols);
        for (int i = 0; i < x.cols; ++i) scaled[i] = row[i] * columnScale[i];
        row = scaled;
      }
      ops_.narrow->toBf16(row, x.cols, endRow(out, r, x.cols, width));
    }
  };
  if (static_cast<double>(x.rows) * x.cols < kParallelWork / 4) body(0, x.rows, 0);
  else ranges(x.rows, 32, body);
  x.half = out;
}

void Math::toBytes(Rows& x) {
  if (x.bytes) return;
  const size_t width = padded4(x.cols);
  auto* out = reinterpret_cast<uint8_t*>(bytes_.atLeast(x.rows * width / 4));
  float* scale = byteScale_.atLeast(x.rows);
  const auto body = [&](int first, int last, int) {
    for (int r = first; r < last; ++r) scale[r] = ops_.narrow->toBytes(x.data + static_cast<size_t>(r) * x.stride(), x.cols, out + r * width);
  };
  if (static_cast<double>(x.rows) * x.cols < kParallelWork / 4) body(0, x.rows, 0);
  else ranges(x.rows, 32, body);
  x.bytes = out;
  x.byteScale = scale;
}

void Math::narrowLinear(Rows& x, const PackedWeight& w, Rows* inner, const PackedWeight* b, float* y,
                        const float* residual, long ldy) {
  NarrowArgs g;
  g.n = w.n;
  g.k = w.k;
  if (w.dtype == Dtype::Int8 && byteActivations_) {
    toBytes(x);
    g.xBytes = x.bytes;
    g.xScale = x.byteScale;
  } else {
    toHalf(x, 0);
    g.x = x.half;
  }
  g.w = w.data.get();
  g.wScale = w.scale.get();
  g.wOffset = w.offset.data();
  if (inner) {
    toHalf(*inner, 1);
    g.k2 = inner->cols;
    g.x2 = inner->half;
    g.ldx2 = padded4(inner->cols);
    g.w2 = reinterpret_cast<const uint16_t*>(b->data.get());
  }
  g.bias = w.bias.get();
  g.residual = residual;
  g.y = y;
  g.ldy = ldy;
  g.stream = 4.0 * x.rows * w.n >= kStreamBytes;
  const int columns = static_cast<int>(narrowPanels(w.n)), m = x.rows;
  const double work = static_cast<double>(m) * w.n * w.k;
  const bool alone = threads() == 1 || work < (m <= kSmallRows ? kParallelDecode : kParallelWork);
  const int pieces = alone ? leastPieces(m) : rowPieces(m);
  // Of very many panels more go together than share what is made of rows.
  const int chunks = std::min(panelChunks(columns, pieces, 4), blockCount(columns, std::max(1, columns * pieces / (32 * threads()))));
  const size_t scratch = ops_.narrow->scratch(pieceRows(m, pieces), blockCount(columns, chunks), padded4(w.k) + padded4(g.k2));
  reserve(scratch);
  const auto body = [&](int i, int worker) {
    const int part = i / chunks, chunk = i % chunks;
    ops_.narrow->linear(g, pieceStart(m, pieces, part), pieceStart(m, pieces, part + 1), blockStart(columns, chunks, chunk), blockStart(columns, chunks, chunk + 1), scratch_[worker].atLeast(scratch));
  };
  if (alone) for (int i = 0; i < chunks * pieces; ++i) body(i, 0);
  else pool_.run(chunks * pieces, body);
}

void Math::linear(Rows& x, const PackedWeight& w, Rows* inner, const PackedWeight* b, float* y,
                  const float* residual, long ldy) {
  if (!ldy) ldy = w.n;
  if (w.dtype != Dtype::Fp32) return narrowLinear(x, w, inner, b, y, residual, ldy);
  if (x.rows > kSmallRows) {
    packRows(x, 0);
    if (inner) packRows(*inner, 1);
  }
  LinearArgs g;
  g.m = x.rows;
  g.n = w.n;
  g.k = w.k;
  g.x = x.data;
  g.ldx = x.stride();
  g.xPacked = x.packed;
  g.w = w.data.get();
  g.bias = w.bias.get();
  if (inner) {
    g.k2 = inner->cols;
    g.x2 = inner->data;
    g.ldx2 = inner->stride();
    g.x2Packed = inner->packed;
    g.w2 = b->data.get();
  }
  g.residual = residual;
  g.y = y;
  g.ldy = ldy;
  const int columns = panels(ops_, w.n);
  const double work = static_cast<double>(g.m) * g.n * g.k;
  const bool alone = threads() == 1 || work < (g.m <= kSmallRows ? kParallelDecode : kParallelWork);
  if (g.m <= kSmallRows) {
    if (alone) ops_.linearSmall(g, 0, columns);
    else {
      // Chunks of whole groups of four panels, a few per thread.
      int grain = (columns / (threads() * 4) + 3) / 4 * 4;
      if (grain < 4) grain = 4;
      ranges(columns, grain, [&](int first, int last, int) { ops_.linearSmall(g, first, last); });
    }
    return;
  }
  const int blocks = blockCount(g.m, ops_.rowBlock);
  if (alone) {
    for (int b = 0; b < blocks; b += kRowSpan) ops_.linear(g, b, std::min(b + kRowSpan, blocks), 0, columns);
    return;
  }
  const int columnGrain = columns > 32 ? 16 : columns > 4 ? (columns + 3) / 4 : columns;
  const int rowGrain = blocks >= 4 * threads() ? kRowSpan / 2 : (blocks + threads() - 1) / threads();
  const int columnChunks = (columns + columnGrain - 1) / columnGrain;
  const int rowChunks = (blocks + rowGrain - 1) / rowGrain;
  pool_.run(columnChunks * rowChunks, [&](int i, int) {
    const int part = i % rowChunks, p0 = i / rowChunks * columnGrain;
    ops_.linear(g, blockStart(blocks, rowChunks, part), blockStart(blocks, rowChunks, part + 1), p0, std::min(p0 + columnGrain, columns));
  });
}

void Math::narrowDx(Rows* dy, const PackedWeight* const* w, int terms, Rows* dxa,
                    const PackedWeight* aTransposed, float* dx, bool add, long lddx) {
  NarrowDxArgs g;
  g.k = w[0]->k;
  g.terms = terms;
  int slot = dxa ? 2 : 0;
  for (int t = 0; t < terms; ++t) {
    Rows scaled = dy[t];
    const bool bytes = w[t]->dtype == Dtype::Int8;
    if (bytes) scaled.half = nullptr;
    toHalf(scaled, slot++, bytes ? w[t]->scale.get() : nullptr);
    if (!bytes) dy[t].half = scaled.half;
    g.term[t].dy = scaled.half;
    g.term[t].lddy = scaled.halfStride();
    g.term[t].w = w[t]->data.get();
    g.term[t].bytes = bytes;
    g.term[t].n = w[t]->n;
  }
  if (dxa) {
    toHalf(*dxa, 1);
    g.k2 = dxa->cols;
    g.x2 = dxa->half;
    g.ldx2 = padded4(dxa->cols);
    g.w2 = reinterpret_cast<const uint16_t*>(aTransposed->data.get());
  }
  g.dx = dx;
  g.lddx = lddx;
  g.add = add;
  g.stream = 4.0 * dy[0].rows * g.k >= kStreamBytes;
  const int columns = static_cast<int>(narrowPanels(g.k)), m = dy[0].rows, pieces = rowPieces(m);
  const int chunks = panelChunks(columns, pieces, 3);
  int lanes = padded4(g.k2);
  for (int t = 0; t < terms; ++t) lanes += g.term[t].n;
  const size_t scratch = ops_.narrow->scratch(pieceRows(m, pieces), blockCount(columns, chunks), lanes);
  reserve(scratch);
  pool_.run(chunks * pieces, [&](int i, int worker) {
    const int part = i / chunks, chunk = i % chunks;
    ops_.narrow->dx(g, pieceStart(m, pieces, part), pieceStart(m, pieces, part + 1), blockStart(columns, chunks, chunk), blockStart(columns, chunks, chunk + 1), scratch_[worker].atLeast(scratch));
  });
}

void Math::packGradient(Rows& dy, int slot) {
  if (!turnsSums(ops_, dy.rows, dy.cols)) packRows(dy, slot);
  else if (!dy.columns) dy.columns = packBlocks(dy, slot, blockCount(dy.rows, ops_.panel), [&](int i) { return std::min(i * ops_.panel, dy.rows); });
}

void Math::linearDx(Rows* dy, const PackedWeight* const* w, int terms, Rows* dxa, const PackedWeight* a, float* dx, bool add, long lddx) {
  if (!lddx) lddx = w[0]->k;
  if (w[0]->dtype != Dtype::Fp32) return narrowDx(dy, w, terms, dxa, a, dx, add, lddx);
  LinearDxArgs g;
  g.m = dy[0].rows;
  g.k = w[0]->k;
  g.dx = dx;
  g.lddx = lddx;
  g.stream = 4.0 * g.m * g.k >= kStreamBytes;
  double work = 0;
  for (int t = 0; t < terms + (dxa ? 1 : 0); ++t) {
    Rows& d = t < terms ? dy[t] : *dxa;
    const PackedWeight& weight = t < terms ? *w[t] : *a;
    packGradient(d, t);
    if (d.columns) {
      wideDx(d, weight, dx, lddx, add);
      add = true;
      continue;
    }
    g.term[g.terms++] = {weight.n, d.packed, weight.data.get()};
    work += static_cast<double>(g.m) * weight.n * g.k;
  }
  if (!g.terms) return;
  g.add = add;
  reserve(narrowDxScratch());
  const int columns = panels(ops_, g.k), blocks = blockCount(g.m, ops_.rowBlock);
  const bool alone = threads() == 1 || work < kParallelWork;
  // Few panels (LoRA's inner rows): the rows are split.
  const int pieces = std::max(blockCount(g.m, kTurnedRows), alone || columns >= 2 * threads() ? 1 : threads());
  const int grain = std::clamp(columns / (3 * threads()), 1, kTurnedGrain), chunks = blockCount(columns, grain);
  const auto body = [&](int i, int worker) {
    const int part = i / chunks, p = i % chunks * grain, b0 = blockStart(blocks, pieces, part), b1 = blockStart(blocks, pieces, part + 1);
    if (b0 < b1) ops_.linearDx(g, b0, b1, p, std::min(p + grain, columns), scratch_[worker].atLeast(narrowDxScratch()));
  };
  if (alone) for (int i = 0; i < chunks * pieces; ++i) body(i, 0);
  else pool_.run(chunks * pieces, body);
}

void Math::wideDx(const Rows& dy, const PackedWeight& w, float* dx, long lddx, bool add) {
  const int m = dy.rows, columns = panels(ops_, w.k);
  LinearDxWideArgs g;
  g.n = w.n;
  g.k = w.k;
  g.dyPacked = dy.columns;
  g.w = w.data.get();
  g.dx = dx;
  g.lddx = lddx;
  g.add = add;
  g.stream = 4.0 * m * w.k >= kStreamBytes;
  reserve(narrowDxScratch());
  const bool alone = threads() == 1 || static_cast<double>(m) * w.n * w.k < kParallelWork;
  // Few panels (LoRA's inner rows): the rows are split.
  const int pieces = std::max(blockCount(m, kDxRows), alone || columns >= 2 * threads() ? 1 : threads());
  const int calls = std::max(blockCount(columns, kWidePanels), alone ? 1 : blockCount(3 * threads(), pieces));
  const int grain = blockCount(columns, calls), chunks = blockCount(columns, grain);
  const auto start = [&](int i) { return std::min(m, (blockStart(m, pieces, i) + ops_.panel - 1) / ops_.panel * ops_.panel); };
  const auto body = [&](int i, int worker) {
    const int part = i / chunks, p = i % chunks * grain;
    if (start(part) < start(part + 1)) ops_.linearDxWide(g, start(part), start(part + 1), p, std::min(p + grain, columns), scratch_[worker].atLeast(narrowDxScratch()));
  };
  if (alone) for (int i = 0; i < chunks * pieces; ++i) body(i, 0);
  else pool_.run(chunks * pieces, body);
}

void Math::outer(const Rows& p, const Rows& q, float* out) {
  if (q.half) return narrowOuter(p, q, out);
  const auto body = [&](int first, int last, int) {
    ops_.outer(p.rows, p.cols, p.data, p.stride(), q.data, q.stride(), first, last, out, q.cols);
  };
  if (threads() == 1 || static_cast<double>(p.rows) * p.cols * q.cols < kParallelWork) body(0, q.cols, 0);
  else ranges(q.cols, ops_.panel * 4, body);
}

void Math::narrowOuter(const Rows& p, const Rows& q, float* out) {
  const int ldp = padded4(p.rows);
  auto* turned = reinterpret_cast<uint16_t*>(turned_.atLeast((static_cast<size_t>(p.cols) * ldp + 1) / 2));
  const size_t scratch = narrowScratch();
  reserve(scratch);
  float* columns = scratch_[0].atLeast(std::max(scratch, static_cast<size_t>(p.rows) * p.cols));
  ops_.packRows(p.data, p.stride(), p.rows, p.cols, columns);
  for (int j = 0; j < p.cols; ++j) {
    ops_.narrow->toBf16(columns + static_cast<size_t>(j) * p.rows, p.rows, turned + static_cast<size_t>(j) * ldp);
    for (int i = p.rows; i < ldp; ++i) turned[static_cast<size_t>(j) * ldp + i] = 0;
  }
  const NarrowOuterArgs g{p.rows, p.cols, q.cols, turned, ldp, q.half, padded4(q.cols), out};
  const int panels = static_cast<int>(narrowPanels(q.cols));
  const auto body = [&](int i, int worker) { ops_.narrow->outer(g, i, scratch_[worker].atLeast(scratch)); };
  if (static_cast<double>(p.rows) * p.cols * q.cols < kParallelWork)
    for (int i = 0; i < panels; ++i) body(i, 0);
  else pool_.run(panels, body);
}

template <class Make>
Rows Math::make(int rows, int n, int grain, double work, float* out, Forms forms, const Make& make) {
  const bool narrow = forms.half || forms.bytes;
  const size_t width = padded4(n);
  uint16_t* halves = forms.half ? halfRoom(rows, width, 0) : nullptr;
  auto* bytes = forms.bytes ? reinterpret_cast<uint8_t*>(bytes_.atLeast(rows * width / 4)) : nullptr;
  float* scale = forms.bytes ? byteScale_.atLeast(rows) : nullptr;
  if (narrow) reserve(n);
  const auto body = [&](int first, int last, int worker) {
    float* line = narrow ? scratch_[worker].atLeast(n) : nullptr;
    for (int r = first; r < last; ++r) {
      make(r, narrow ? line : out + static_cast<size_t>(r) * n);
      if (halves) ops_.narrow->toBf16(line, n, endRow(halves, r, n));
      if (bytes) scale[r] = ops_.narrow->toBytes(line, n, bytes + r * width);
    }
  };
  if (work < kParallelWork) body(0, rows, 0);
  else ranges(rows, grain, body);
  Rows made{narrow ? nullptr : out, rows, n};
  made.half = halves;
  made.bytes = bytes;
  made.byteScale = scale;
  return made;
}

Rows Math::rmsnorm(const float* x, const float* weight, int rows, int n, float eps, float* out, Forms forms) {
  return make(rows, n, 32, 2.0 * rows * n, out, forms, [&](int r, float* to) { ops_.rmsnorm(x + static_cast<size_t>(r) * n, weight, n, eps, to); });
}

void Math::rmsnormBackward(const float* x, const float* weight, const float* dy, int rows, int n,
                           float eps, float* dx, bool add) {
  const auto body = [&](int first, int last, int) {
    for (int r = first; r < last; ++r) {
      const size_t at = static_cast<size_t>(r) * n;
      ops_.rmsnormBackward(x + at, weight, dy + at, n, eps, dx + at, add);
    }
  };
  if (static_cast<double>(rows) * n < kParallelWork / 4) body(0, rows, 0);
  else ranges(rows, 32, body);
}

void Math::attention(const std::vector<AttentionArgs>& sequences) {
  const AttentionArgs& model = sequences[0];
  double work = 0;
  int items = 0;  // of heads that share their keys
  for (const AttentionArgs& g : sequences) {
    items += blockCount(g.rows, kPage) * g.kvHeads;
    work += 2.0 * g.rows * (g.start + g.rows) * g.heads * g.headDim;
  }
  const bool alone = threads() == 1 || work < kParallelWork;
  const int group = model.heads / model.kvHeads, span = model.half && ops_.narrow->sharesKeys && (alone || items >= 4 * threads()) ? group : 1;
  const int chunks = items * (group / span);
  const size_t scratch = attentionScratch(model.headDim, span);
  reserve(scratch);
  const auto body = [&](int first, int last, int worker) {
    for (int i = first; i < last; ++i) {
      int at = i;
      const AttentionArgs* g = sequences.data();
      for (; at >= blockCount(g->rows, kPage) * g->heads / span; ++g) at -= blockCount(g->rows, kPage) * g->heads / span;
      // Late tiles see the most keys: hand them out first, so that no thread ends with a long one.
      const int tiles = blockCount(g->rows, kPage), r0 = (tiles - 1 - at % tiles) * kPage, r1 = std::min(r0 + kPage, g->rows), head = at / tiles * span;
      float* room = scratch_[worker].atLeast(scratch);
      g->half ? ops_.narrow->attention(*g, head, span, r0, r1, room) : ops_.attention(*g, head, r0, r1, room);
    }
  };
  if (alone) body(0, chunks, 0);
  else ranges(chunks, 1, body);
}

void Math::attentionBackward(const std::vector<AttentionBackwardArgs>& sequences) {
  int longest = 0;
  for (const AttentionBackwardArgs& g : sequences) longest = g.rows > longest ? g.rows : longest;
  const size_t scratch = attentionBackwardScratch(longest, sequences[0].headDim);
  reserve(scratch);
  int items = 0;
  for (const AttentionBackwardArgs& g : sequences) items += g.items();
  ranges(items, 1, [&](int i, int, int worker) {
    const AttentionBackwardArgs* g = sequences.data();
    for (; i >= g->items(); ++g) i -= g->items();
    (g->half ? ops_.narrow->attentionBackward : ops_.attentionBackward)(*g, i, scratch_[worker].atLeast(scratch));
  });
}

Rows Math::swiglu(const float* gate, const float* up, int rows, int n, float* out, Forms forms) {
  return make(rows, n, 8, 8.0 * rows * n, out, forms, [&](int r, float* to) {
    const size_t at = static_cast<size_t>(r) * n;
    ops_.swiglu(gate + at, up + at, n, to);
  });
}

std::array<Rows, 2> Math::swigluBackward(const float* gate, const float* up, const float* dOut, int rows, int n, float* dGate, float* dUp, bool half) {
  uint16_t *gates = half ? halfRoom(rows, padded4(n), 2) : nullptr, *ups = half ? halfRoom(rows, padded4(n), 3) : nullptr;
  ranges(rows, 8, [&](int first, int last, int) {
    for (int r = first; r < last; ++r) {
      const size_t at = static_cast<size_t>(r) * n;
      if (!half) ops_.swigluBackward(gate + at, up + at, dOut + at, n, dGate + at, dUp + at);
      else ops_.narrow->swigluBackward(gate + at, up + at, dOut + at, n, endRow(gates, r, n), endRow(ups, r, n));
    }
  });
  std::array<Rows, 2> made{Rows{half ? nullptr : dGate, rows, n}, Rows{half ? nullptr : dUp, rows, n}};
  made[0].half = gates;
  made[1].half = ups;
  return made;
}

double Math::peak(Dtype dtype) {
  constexpr long steps = 400000;
  const auto start = std::chrono::steady_clock::now();
  std::atomic<double> done{0};
  ranges(16 * threads(), 1, [&](int, int, int) { done.store(ops_.narrow->spin(dtype, steps)); });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return done.load() * 16 * threads() / seconds;
}

}  // namespace hindsight
