#include "kernels/cpu/math.h"

#include <cstring>

namespace hindsight {
namespace {

/// Multiply-adds below which a loop stays on the calling thread: waking a worker costs about 5 us.
constexpr double kParallelWork = 400e3;
/// The same for decode, whose loops are many and short: a worker that has lost its core to another
/// program holds up the token for milliseconds, which a small loop can never win back.
constexpr double kParallelDecode = 4e6;

int panels(const Ops& ops, int n) { return (n + ops.panel - 1) / ops.panel; }

size_t packedSize(const Ops& ops, int n, int k) {
  return static_cast<size_t>(panels(ops, n)) * ops.panel * k;
}

}  // namespace

PackedWeight packWeight(const Ops& ops, const float* w, int n, int k) {
  PackedWeight packed;
  packed.n = n;
  packed.k = k;
  packed.data = allocateFloats(packedSize(ops, n, k));
  ops.pack(w, n, k, packed.data.get());
  return packed;
}

void setBias(const Ops& ops, PackedWeight& weight, const float* bias) {
  const size_t size = static_cast<size_t>(panels(ops, weight.n)) * ops.panel;
  weight.bias = allocateFloats(size);
  std::memset(weight.bias.get(), 0, size * sizeof(float));
  std::memcpy(weight.bias.get(), bias, weight.n * sizeof(float));
}

void unpackRow(const Ops& ops, const PackedWeight& weight, int row, float* out) {
  const float* panel = weight.data.get() + static_cast<size_t>(row / ops.panel) * ops.panel * weight.k;
  const int lane = row % ops.panel;
  for (int k = 0; k < weight.k; ++k) out[k] = panel[static_cast<size_t>(k) * ops.panel + lane];
}

void Math::reserve(size_t count) {
  for (Scratch& scratch : scratch_) scratch.atLeast(count);
}

void Math::packAll(Rows& x, int slot) {
  float* out = slots_[slot].atLeast(static_cast<size_t>(x.rows) * x.cols);
  const int blocks = blockCount(x.rows, ops_.rowBlock);
  const auto body = [&](int first, int last, int) {
    for (int i = first; i < last; ++i) {
      const int r0 = blockStart(x.rows, blocks, i), rows = blockStart(x.rows, blocks, i + 1) - r0;
      ops_.packRows(x.data + static_cast<size_t>(r0) * x.cols, x.cols, rows, x.cols,
                    out + static_cast<size_t>(r0) * x.cols);
    }
  };
  if (static_cast<double>(x.rows) * x.cols < kParallelWork / 4) body(0, blocks, 0);
  else ranges(blocks, 8, body);
  x.packed = out;
}

void Math::packRows(Rows& x, int slot) {
  if (x.rows > kSmallRows && !x.packed) packAll(x, slot);
}

void Math::packDy(Rows& dy, int slot) {
  if (!dy.packed) packAll(dy, slot);
}

void Math::linear(Rows& x, const PackedWeight& w, const PackedLora* lora, float* xa, float* y,
                  const float* residual) {
  packRows(x, 0);
  Rows inner;
  if (lora) {
    linear(x, lora->a, nullptr, nullptr, xa, nullptr);
    inner.data = xa;
    inner.rows = x.rows;
    inner.cols = lora->a.n;
    packRows(inner, 1);
  }
  LinearArgs g;
  g.m = x.rows;
  g.n = w.n;
  g.k = w.k;
  g.x = x.data;
  g.ldx = x.cols;
  g.xPacked = x.packed;
  g.w = w.data.get();
  g.bias = w.bias.get();
  if (lora) {
    g.k2 = lora->a.n;
    g.x2 = inner.data;
    g.ldx2 = inner.cols;
    g.x2Packed = inner.packed;
    g.w2 = lora->b.data.get();
  }
  g.residual = residual;
  g.y = y;
  g.ldy = w.n;
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
    // Row groups keep the packed rows in the second-level cache while all panels pass by.
    for (int b = 0; b < blocks; b += 16)
      ops_.linear(g, b, b + 16 < blocks ? b + 16 : blocks, 0, columns);
    return;
  }
  const int columnGrain = columns > 32 ? 16 : columns > 4 ? (columns + 3) / 4 : columns;
  const int rowGrain = blocks >= 4 * threads() ? 8 : (blocks + threads() - 1) / threads();
  const int columnChunks = (columns + columnGrain - 1) / columnGrain;
  const int rowChunks = (blocks + rowGrain - 1) / rowGrain;
  pool_.run(columnChunks * rowChunks, [&](int i, int) {
    const int b0 = i % rowChunks * rowGrain, p0 = i / rowChunks * columnGrain;
    ops_.linear(g, b0, b0 + rowGrain < blocks ? b0 + rowGrain : blocks, p0,
                p0 + columnGrain < columns ? p0 + columnGrain : columns);
  });
}

void Math::linearDx(const Rows& dy, const PackedWeight& w, const Rows* dxa, const PackedWeight* a,
                    float* dx, bool add) {
  LinearDxArgs g;
  g.m = dy.rows;
  g.n = w.n;
  g.k = w.k;
  g.dyPacked = dy.packed;
  g.w = w.data.get();
  if (dxa && a) {
    g.r = a->n;
    g.dxaPacked = dxa->packed;
    g.a = a->data.get();
  }
  g.dx = dx;
  g.lddx = w.k;
  g.add = add;
  const size_t scratch = dxScratch(ops_.panel, g.r);
  reserve(scratch);
  const int columns = panels(ops_, w.k), blocks = blockCount(g.m, ops_.rowBlock);
  if (threads() == 1 || static_cast<double>(g.m) * g.n * g.k < kParallelWork) {
    ops_.linearDx(g, 0, blocks, 0, columns, scratch_[0].atLeast(scratch));
    return;
  }
  // Few panels (LoRA's inner rows): split the rows instead, at the price of unpacking twice.
  const int rowChunks = columns >= 2 * threads() ? 1 : threads();
  pool_.run(columns * rowChunks, [&](int i, int worker) {
    const int part = i / columns, p = i % columns;
    ops_.linearDx(g, blocks * part / rowChunks, blocks * (part + 1) / rowChunks, p, p + 1,
                  scratch_[worker].atLeast(scratch));
  });
}

void Math::outer(const Rows& p, const Rows& q, float* out) {
  const auto body = [&](int first, int last, int) {
    ops_.outer(p.rows, p.cols, p.data, p.cols, q.data, q.cols, first, last, out, q.cols);
  };
  if (threads() == 1 || static_cast<double>(p.rows) * p.cols * q.cols < kParallelWork) body(0, q.cols, 0);
  else ranges(q.cols, ops_.panel * 4, body);
}

void Math::rmsnorm(const float* x, const float* weight, int rows, int n, float eps, float* out) {
  const auto body = [&](int first, int last, int) {
    for (int r = first; r < last; ++r)
      ops_.rmsnorm(x + static_cast<size_t>(r) * n, weight, n, eps, out + static_cast<size_t>(r) * n);
  };
  if (static_cast<double>(rows) * n < kParallelWork / 2) body(0, rows, 0);
  else ranges(rows, 32, body);
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

void Math::attention(const AttentionArgs& g) {
  const size_t scratch = attentionScratch(g.headDim);
  reserve(scratch);
  const int tiles = (g.rows + kPage - 1) / kPage;
  const auto body = [&](int first, int last, int worker) {
    for (int i = first; i < last; ++i) {
      // Late tiles see the most keys: hand them out first, so that no thread ends with a long one.
      const int tile = tiles - 1 - i / g.heads, r0 = tile * kPage;
      ops_.attention(g, i % g.heads, r0, r0 + kPage < g.rows ? r0 + kPage : g.rows,
                     scratch_[worker].atLeast(scratch));
    }
  };
  const double work = 2.0 * g.rows * (g.start + g.rows) * g.heads * g.headDim;
  if (threads() == 1 || work < kParallelWork) body(0, tiles * g.heads, 0);
  else ranges(tiles * g.heads, 1, body);
}

void Math::attentionBackward(const AttentionBackwardArgs& g) {
  const size_t scratch = attentionBackwardScratch(g.rows, g.headDim);
  reserve(scratch);
  const auto body = [&](int first, int last, int worker) {
    for (int head = first; head < last; ++head)
      ops_.attentionBackward(g, head, scratch_[worker].atLeast(scratch));
  };
  ranges(g.heads, 1, body);
}

void Math::swiglu(const float* gate, const float* up, size_t n, float* out) {
  if (n < kParallelWork / 8) return ops_.swiglu(gate, up, n, out);
  constexpr int grain = 1 << 14;
  ranges(static_cast<int>((n + grain - 1) / grain), 1, [&](int i, int, int) {
    const size_t first = static_cast<size_t>(i) * grain, count = n - first < grain ? n - first : grain;
    ops_.swiglu(gate + first, up + first, count, out + first);
  });
}

void Math::swigluBackward(const float* gate, const float* up, const float* dOut, size_t n,
                          float* dGate, float* dUp) {
  constexpr int grain = 1 << 13;
  ranges(static_cast<int>((n + grain - 1) / grain), 1, [&](int i, int, int) {
    const size_t first = static_cast<size_t>(i) * grain, count = n - first < grain ? n - first : grain;
    ops_.swigluBackward(gate + first, up + first, dOut + first, count, dGate + first, dUp + first);
  });
}

}  // namespace hindsight
