#include "binding/selftest.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/arena.h"
#include "kernels/cpu/few.h"
#include "kernels/cpu/math.h"
#include "serve/random.h"

namespace hindsight {
namespace {

class Bench {
 public:
  Bench(const Ops& fast, uint64_t seed) : fast_(fast), plain_(*referenceOps()), random_(seed) {}

  int size(int most) { return 1 + static_cast<int>(random_.uniform() * most); }
  Floats fill(size_t count, double scale = 1) {
    Floats out = allocateFloats(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>((2 * random_.uniform() - 1) * scale);
    return out;
  }
  Floats copy(const Floats& from, size_t count) {
    Floats out = allocateFloats(count);
    for (size_t i = 0; i < count; ++i) out[i] = from[i];
    return out;
  }
  void compare(const std::string& op, const std::string& shape, const float* fast, const float* plain, size_t count) {
    double worst = 0;
    for (size_t i = 0; i < count; ++i) {
      const double error = std::fabs(static_cast<double>(fast[i]) - plain[i]) / (1 + std::fabs(static_cast<double>(plain[i])));
      if (!(error <= worst)) worst = error;  // also NaN
    }
    checks_.push_back({op, shape, worst});
  }

  void linear();
  void linearDx();
  void linearDxWide(int more = 0);  // outputs
  void narrow();
  void outer();
  void norms();
  void attention(bool half);
  void pointwise();
  std::vector<OpCheck> take() { return std::move(checks_); }

 private:
  /// X [M,K] in row blocks, as Math does it; `height`: of exactly so many rows, save the last.
  Floats packRows(const Ops& ops, const float* x, int m, int k, int height = 0) {
    Floats out = allocateFloats(static_cast<size_t>(m) * k);
    const int blocks = blockCount(m, height ? height : ops.rowBlock);
    for (int i = 0; i < blocks; ++i) {
      const int r0 = height ? i * height : blockStart(m, blocks, i), rows = (height ? std::min(r0 + height, m) : blockStart(m, blocks, i + 1)) - r0;
      ops.packRows(x + static_cast<size_t>(r0) * k, k, rows, k, out.get() + static_cast<size_t>(r0) * k);
    }
    return out;
  }

  const Ops &fast_, &plain_;
  Random random_;
  std::vector<OpCheck> checks_;
};

std::string dims(std::initializer_list<int> sizes) {
  std::string text;
  for (const int s : sizes) text += (text.empty() ? "" : "x") + std::to_string(s);
  return text;
}

void Bench::linear() {
  const int m = size(70), n = size(150), k = size(4) == 1 ? 900 + size(1900) : size(200), r = size(20);
  const Floats x = fill(static_cast<size_t>(m) * k, k > 200 ? 0.1 : 1), w = fill(static_cast<size_t>(n) * k), x2 = fill(static_cast<size_t>(m) * r), w2 = fill(static_cast<size_t>(n) * r);
  const Floats bias = fill(n), residual = fill(static_cast<size_t>(m) * n);
  Floats out[2] = {allocateFloats(static_cast<size_t>(m) * n), allocateFloats(static_cast<size_t>(m) * n)};
  for (const bool small : {false, true}) {
    const int rows = small && m > kSmallRows ? 1 + m % kSmallRows : m;
    if (small && rows > kSmallRows) continue;
    for (int side = 0; side < 2; ++side) {
      const Ops& ops = side ? plain_ : fast_;
      PackedWeight pw = packWeight(ops, w.get(), n, k), pw2 = packWeight(ops, w2.get(), n, r);
      setBias(ops, pw, bias.get());
      const Floats xp = packRows(ops, x.get(), rows, k), xp2 = packRows(ops, x2.get(), rows, r);
      LinearArgs g;
      g.m = rows;
      g.n = n;
      g.k = k;
      g.k2 = r;
      g.x = x.get();
      g.ldx = k;
      g.xPacked = xp.get();
      g.w = pw.data.get();
      g.bias = pw.bias.get();
      g.x2 = x2.get();
      g.ldx2 = r;
      g.x2Packed = xp2.get();
      g.w2 = pw2.data.get();
      g.residual = residual.get();
      g.y = out[side].get();
      g.ldy = n;
      const int panels = (n + ops.panel - 1) / ops.panel;
      if (small) ops.linearSmall(g, 0, panels);
      else ops.linear(g, 0, blockCount(rows, ops.rowBlock), 0, panels);
    }
    compare(small ? "linearSmall" : "linear", dims({rows, n, k, r}), out[0].get(), out[1].get(), static_cast<size_t>(rows) * n);
  }
  // Rows with a weight each, the last panel of a weight beside whole ones.
  const int own = 1 + m % 5;
  const Floats many = fill(static_cast<size_t>(own) * n * k);
  Floats products[2] = {allocateFloats(static_cast<size_t>(own) * n), allocateFloats(static_cast<size_t>(own) * n)};
  for (int side = 0; side < 2; ++side) {
    const Ops& ops = side ? plain_ : fast_;
    std::vector<PackedWeight> weights;
    std::vector<RowPanel> items;
    for (int i = 0; i < own; ++i) {
      weights.push_back(packWeight(ops, many.get() + static_cast<size_t>(i) * n * k, n, k));
      for (int n0 = 0; n0 < n; n0 += ops.panel)
        items.push_back({x.get() + static_cast<size_t>(i % m) * k, weights[i].data.get() + static_cast<size_t>(n0) * k, products[side].get() + static_cast<size_t>(i) * n + n0, std::min(ops.panel, n - n0)});
    }
    ops.rowPanels(items.data(), static_cast<int>(items.size()), k);
  }
  compare("rowPanels", dims({own, n, k}), products[0].get(), products[1].get(), static_cast<size_t>(own) * n);
  // The unpacked row of a packed weight is the row.
  const PackedWeight pw = packWeight(fast_, w.get(), n, k);
  Floats row = allocateFloats(k);
  unpackRow(fast_, pw, n / 2, row.get());
  compare("unpackRow", dims({n, k}), row.get(), w.get() + static_cast<size_t>(n / 2) * k, k);
}

/// Of up to three linears and LoRA.
void Bench::linearDx() {
  const int m = size(110), k = size(300), terms = 1 + size(4) % 4;
  std::vector<int> n;
  std::vector<Floats> dy, w;
  for (int t = 0; t < terms; ++t) {
    n.push_back(t == 3 ? size(48) : size(t ? 300 : 1500));
    dy.push_back(fill(static_cast<size_t>(m) * n[t], 0.1));
    w.push_back(fill(static_cast<size_t>(n[t]) * k));
  }
  const Floats start = fill(static_cast<size_t>(m) * k);
  Floats out[2] = {copy(start, static_cast<size_t>(m) * k), copy(start, static_cast<size_t>(m) * k)};
  for (int side = 0; side < 2; ++side) {
    const Ops& ops = side ? plain_ : fast_;
    std::vector<PackedWeight> packed;
    std::vector<Floats> rows;
    LinearDxArgs g;
    for (int t = 0; t < terms; ++t) {
      packed.push_back(packWeight(ops, w[t].get(), n[t], k));
      rows.push_back(packRows(ops, dy[t].get(), m, n[t]));
      g.term[g.terms++] = {n[t], rows[t].get(), packed[t].data.get()};
    }
    g.m = m;
    g.k = k;
    g.dx = out[side].get();
    g.lddx = k;
    g.add = m % 3 == 0;
    g.stream = m % 2 == 0;
    Floats scratch = allocateFloats(narrowDxScratch());
    ops.linearDx(g, 0, blockCount(m, ops.rowBlock), 0, (k + ops.panel - 1) / ops.panel, scratch.get());
  }
  compare("linearDx", dims({m, n[0], k, terms}), out[0].get(), out[1].get(), static_cast<size_t>(m) * k);
}

void Bench::linearDxWide(int more) {
  const int m = size(more ? 50 : 110), n = more + size(more ? 200 : 2300), k = size(kWidePanels * fast_.panel);
  const Floats dy = fill(static_cast<size_t>(m) * n, more ? 0.03 : 0.1), w = fill(static_cast<size_t>(n) * k);
  const Floats start = fill(static_cast<size_t>(m) * k);
  Floats out[2] = {copy(start, static_cast<size_t>(m) * k), copy(start, static_cast<size_t>(m) * k)};
  for (int side = 0; side < 2; ++side) {
    const Ops& ops = side ? plain_ : fast_;
    const PackedWeight packed = packWeight(ops, w.get(), n, k);
    const Floats columns = packRows(ops, dy.get(), m, n, ops.panel);
    LinearDxWideArgs g;
    g.n = n;
    g.k = k;
    g.dyPacked = columns.get();
    g.w = packed.data.get();
    g.dx = out[side].get();
    g.lddx = k;
    g.add = m % 2 == 0;
    Floats scratch = allocateFloats(narrowDxScratch());
    ops.linearDxWide(g, 0, m, 0, (k + ops.panel - 1) / ops.panel, scratch.get());
  }
  compare("linearDxWide", dims({m, n, k}), out[0].get(), out[1].get(), static_cast<size_t>(m) * k);
}

/// bf16 and int8 products: both sides read the same packed bytes.
void Bench::narrow() {
  // At times more rows than a tile of any instruction set has; few() takes kFewRows at most.
  const int m = size(3) == 1 ? kFewRows + size(80) : size(kFewRows), n = size(700), k = size(700), r = size(20);
  const Floats x = fill(static_cast<size_t>(m) * k, 0.3), w = fill(static_cast<size_t>(n) * k, 0.3), x2 = fill(static_cast<size_t>(m) * r), w2 = fill(static_cast<size_t>(n) * r, 0.3);
  const Floats a = fill(static_cast<size_t>(k) * r, 0.3), dy = fill(static_cast<size_t>(m) * n, 0.01), bias = fill(n), residual = fill(static_cast<size_t>(m) * n);
  const auto halves = [&](const float* from, int rows, int cols) {
    std::vector<uint16_t> out(static_cast<size_t>(rows) * padded4(cols) + 2 * kSlack, 0);
    for (int i = 0; i < rows; ++i) fast_.narrow->toBf16(from + static_cast<size_t>(i) * cols, cols, out.data() + static_cast<size_t>(i) * padded4(cols));
    return out;
  };
  const std::vector<uint16_t> xh = halves(x.get(), m, k), x2h = halves(x2.get(), m, r), dyh = halves(dy.get(), m, n);
  std::vector<uint8_t> bytes(static_cast<size_t>(m) * padded4(k) + kSlack);
  std::vector<float> byteScale(m);
  // A multiply-add rounds once, so a number halfway between two bytes, one in many thousands, may go to either: what counts
  // is how far beyond halfway a byte lies.
  for (const Ops* ops : {&plain_, &fast_}) {
    float beyond = 0, scaleError = 0;
    const float zero = 0;
    for (int i = 0; i < m; ++i) {
      const float* row = x.get() + static_cast<size_t>(i) * k;
      uint8_t* made = bytes.data() + static_cast<size_t>(i) * padded4(k);
      byteScale[i] = ops->narrow->toBytes(row, k, made);
      float top = 0;
      for (int j = 0; j < k; ++j) top = std::max(top, std::fabs(row[j]));
      scaleError = std::max(scaleError, std::fabs(byteScale[i] / (top / 127.0f) - 1));
      for (int j = 0; j < padded4(k); ++j) {
        const double exact = j < k ? static_cast<double>(row[j]) * (127.0f / top) : 0.0;
        beyond = std::max(beyond, static_cast<float>(std::fabs(exact - (made[j] - 128)) - 0.5));
      }
    }
    compare("toBytes", dims({m, k}), &beyond, &zero, 1);
    compare("toBytes.scale", dims({m, k}), &scaleError, &zero, 1);
  }
  const int panels = static_cast<int>(narrowPanels(std::max(n, k))), lanes = 3 * (n + k);
  Floats scratch = allocateFloats(std::max({narrowScratch(), plain_.narrow->scratch(m, panels, lanes), fast_.narrow->scratch(m, panels, lanes)}));
  const PackedWeight pb = packWeight(fast_, w2.get(), n, r, Dtype::Bf16), pa = packWeight(fast_, a.get(), k, r, Dtype::Bf16);
  for (const Dtype dtype : {Dtype::Bf16, Dtype::Int8}) {
    PackedWeight pw = packWeight(fast_, w.get(), n, k, dtype);
    setBias(fast_, pw, bias.get());
    for (const bool byteRows : {false, true}) {
      if (byteRows && dtype == Dtype::Bf16) continue;
      Floats out[2] = {allocateFloats(static_cast<size_t>(m) * n), allocateFloats(static_cast<size_t>(m) * n)};
      for (int side = 0; side < 2; ++side) {
        NarrowArgs g;
        g.n = n;
        g.k = k;
        g.k2 = r;
        g.x = byteRows ? nullptr : xh.data();
        g.xBytes = byteRows ? bytes.data() : nullptr;
        g.xScale = byteScale.data();
        g.w = pw.data.get();
        g.wScale = pw.scale.get();
        g.wOffset = pw.offset.data();
        g.x2 = x2h.data();
        g.ldx2 = padded4(r);
        g.w2 = reinterpret_cast<const uint16_t*>(pb.data.get());
        g.bias = pw.bias.get();
        g.residual = residual.get();
        g.y = out[side].get();
        g.ldy = n;
        (side ? plain_ : fast_).narrow->linear(g, 0, m, 0, static_cast<int>(narrowPanels(n)), scratch.get());
      }
      compare(dtype == Dtype::Bf16 ? "bf16" : byteRows ? "int8" : "int8 x bf16", dims({m, n, k, r}), out[0].get(), out[1].get(), static_cast<size_t>(m) * n);
    }
    // Few rows: two adapters' rows and one without, bytes as words of 16 bits.
    std::vector<uint8_t> words(2 * static_cast<size_t>(m) * padded4(k) + kSlack);
    std::vector<float> wordScale(m);
    for (int i = 0; i < m; ++i)
      wordScale[i] = fast_.narrow->toWords(x.get() + static_cast<size_t>(i) * k, k, words.data() + static_cast<size_t>(i) * padded4(k), words.data() + static_cast<size_t>(m + i) * padded4(k));
    for (const bool wordRows : {false, true}) {
      if ((wordRows && dtype == Dtype::Bf16) || m > kFewRows) continue;
      Floats few[2] = {allocateFloats(static_cast<size_t>(m) * n), allocateFloats(static_cast<size_t>(m) * n)};
      const int half = m / 2;
      const FewLora lora[2] = {{0, half, half ? r : 0, x2h.data(), padded4(r), reinterpret_cast<const uint16_t*>(pb.data.get())}, {half, m - half, 0, nullptr, 0, nullptr}};
      for (int side = 0; side < 2; ++side) {
        FewArgs g;
        g.m = m;
        g.n = n;
        g.k = k;
        g.x = wordRows ? nullptr : xh.data();
        g.xBytes = wordRows ? words.data() : nullptr;
        g.xScale = wordScale.data();
        g.w = pw.data.get();
        g.wScale = pw.scale.get();
        g.wOffset = pw.offset.data();
        g.bias = pw.bias.get();
        g.residual = residual.get();
        g.y = few[side].get();
        g.segments = 2;
        g.lora = lora;
        for (size_t p = 0; p < narrowPanels(n); ++p) (side ? plain_ : fast_).narrow->few(g, static_cast<int>(p), scratch.get());
      }
      compare(wordRows ? "few int8 x 16 bit" : dtype == Dtype::Bf16 ? "few bf16" : "few int8 x bf16", dims({m, n, k, r}), few[0].get(), few[1].get(), static_cast<size_t>(m) * n);
    }
    const Floats start = fill(static_cast<size_t>(m) * k);
    Floats out[2] = {copy(start, static_cast<size_t>(m) * k), copy(start, static_cast<size_t>(m) * k)};
    for (int side = 0; side < 2; ++side) {
      NarrowDxArgs g;
      g.k = k;
      g.terms = 2;  // the same term twice
      for (int t = 0; t < 2; ++t) g.term[t] = {dyh.data(), padded4(n), pw.data.get(), dtype == Dtype::Int8, n};
      g.k2 = r;
      g.x2 = x2h.data();
      g.ldx2 = padded4(r);
      g.w2 = reinterpret_cast<const uint16_t*>(pa.data.get());
      g.dx = out[side].get();
      g.lddx = k;
      g.add = m % 2 == 0;
      const int panels = static_cast<int>(narrowPanels(k));
      for (int p = 0; p < panels; p += kDxPanels) (side ? plain_ : fast_).narrow->dx(g, 0, m, p, std::min(p + kDxPanels, panels), scratch.get());
    }
    compare(dtype == Dtype::Bf16 ? "bf16Dx" : "int8Dx", dims({m, n, k, r}), out[0].get(), out[1].get(), static_cast<size_t>(m) * k);
  }
}

void Bench::outer() {
  const int m = size(120), r = size(40), n = size(150);
  const Floats p = fill(static_cast<size_t>(m) * r), q = fill(static_cast<size_t>(m) * n), start = fill(static_cast<size_t>(r) * n);
  Floats out[2] = {copy(start, static_cast<size_t>(r) * n), copy(start, static_cast<size_t>(r) * n)};
  fast_.outer(m, r, p.get(), r, q.get(), n, 0, n, out[0].get(), n);
  plain_.outer(m, r, p.get(), r, q.get(), n, 0, n, out[1].get(), n);
  compare("outer", dims({m, r, n}), out[0].get(), out[1].get(), static_cast<size_t>(r) * n);

  // bf16: P lies transposed.
  const long ldp = padded4(m), ldq = padded4(n);
  std::vector<uint16_t> ph(static_cast<size_t>(r) * ldp + 2 * kSlack, 0), qh(static_cast<size_t>(m) * ldq + 2 * kSlack, 0);
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < r; ++j) fast_.narrow->toBf16(p.get() + static_cast<size_t>(i) * r + j, 1, ph.data() + j * ldp + i);
    fast_.narrow->toBf16(q.get() + static_cast<size_t>(i) * n, n, qh.data() + i * ldq);
  }
  const Floats scratch = allocateFloats(narrowScratch());
  for (int side = 0; side < 2; ++side) {
    out[side] = copy(start, static_cast<size_t>(r) * n);
    const NarrowOuterArgs g{m, r, n, ph.data(), ldp, qh.data(), ldq, out[side].get()};
    for (size_t panel = 0; panel < narrowPanels(n); ++panel) (side ? plain_ : fast_).narrow->outer(g, static_cast<int>(panel), scratch.get());
  }
  compare("bf16Outer", dims({m, r, n}), out[0].get(), out[1].get(), static_cast<size_t>(r) * n);
}

void Bench::norms() {
  const int n = 2 * size(100);
  const Floats x = fill(n), w = fill(n), dy = fill(n), start = fill(n);
  Floats a = copy(start, n), b = copy(start, n);
  fast_.rmsnorm(x.get(), w.get(), n, 1e-6f, a.get());
  plain_.rmsnorm(x.get(), w.get(), n, 1e-6f, b.get());
  compare("rmsnorm", dims({n}), a.get(), b.get(), n);
  for (const bool add : {false, true}) {
    a = copy(start, n);
    b = copy(start, n);
    fast_.rmsnormBackward(x.get(), w.get(), dy.get(), n, 1e-6f, a.get(), add);
    plain_.rmsnormBackward(x.get(), w.get(), dy.get(), n, 1e-6f, b.get(), add);
    compare("rmsnormBackward", dims({n}), a.get(), b.get(), n);
  }
  a = copy(x, n);
  b = copy(x, n);
  fast_.rope(a.get(), w.get(), dy.get(), n, -1.0f);
  plain_.rope(b.get(), w.get(), dy.get(), n, -1.0f);
  compare("rope", dims({n}), a.get(), b.get(), n);
}

/// half: keys and values in bf16, and bf16 products.
void Bench::attention(bool half) {
  const int group = size(3), kvHeads = size(3), heads = group * kvHeads, d = 2 * size(20), s = size(150), start = size(s) - 1;
  const int parts = s > kAttentionTile ? size(kBackwardParts) : 1, width = heads * d, kvWidth = kvHeads * d, count = (s + kPage - 1) / kPage;
  const Floats q = fill(static_cast<size_t>(s) * width, 2), k = fill(static_cast<size_t>(s) * kvWidth, 2), v = fill(static_cast<size_t>(s) * kvWidth), dOut = fill(static_cast<size_t>(s) * width);
  const size_t kvSize = static_cast<size_t>(kvWidth) * kPage / (half ? 2 : 1), pageFloats = 2 * kvSize;
  Floats memory = allocateFloats(pageFloats * count);
  std::vector<const float*> pages;
  for (size_t i = 0; i < pageFloats * count; ++i) memory[i] = 0;
  for (int p = 0; p < count; ++p) pages.push_back(memory.get() + p * pageFloats);
  for (int t = 0; t < s; ++t)
    for (int i = 0; i < kvWidth; ++i) {
      float* page = memory.get() + (t / kPage) * pageFloats;
      const size_t from = static_cast<size_t>(t) * kvWidth + i;
      if (half) {
        auto *keys = reinterpret_cast<uint16_t*>(page), *values = reinterpret_cast<uint16_t*>(page + kvSize);
        fast_.narrow->toBf16(k.get() + from, 1, keys + static_cast<size_t>(i / 2) * 2 * kPage + t % kPage * 2 + i % 2);
        fast_.narrow->toBf16(v.get() + from, 1, values + static_cast<size_t>(i / d) * kPage * d + static_cast<size_t>(t % kPage / 2) * 2 * d + i % d * 2 + t % 2);
        continue;
      }
      page[static_cast<size_t>(i) * kPage + t % kPage] = k[static_cast<size_t>(t) * kvWidth + i];
      page[static_cast<size_t>(kvWidth) * kPage + (static_cast<size_t>(i / d) * kPage + t % kPage) * d + i % d] = v[static_cast<size_t>(t) * kvWidth + i];
    }
  const int span = size(2) == 1 ? 1 : group;  // heads of a call
  Floats scratch = allocateFloats(attentionScratch(d, group) + attentionBackwardScratch(s, d));
  const auto forward = [&](const Ops& ops, int from, float* out, float* lse, bool alone = false) {
    AttentionArgs g;
    g.half = half;
    g.headDim = d;
    g.heads = heads;
    g.kvHeads = kvHeads;
    g.rows = s - from;
    g.start = from;
    g.scale = 0.3f;
    g.q = q.get() + static_cast<size_t>(from) * width;
    g.pages = pages.data();
    g.valueOffset = kvSize;
    g.out = out;
    g.lse = lse;
    const int together = alone || !half ? 1 : span, most = alone ? 1 : kPage;
    for (int h = 0; h < heads; h += together)
      for (int r0 = 0; r0 < g.rows; r0 += most) {
        const int r1 = r0 + most < g.rows ? r0 + most : g.rows;
        half ? ops.narrow->attention(g, h, together, r0, r1, scratch.get()) : ops.attention(g, h, r0, r1, scratch.get());
      }
  };
  const size_t size = static_cast<size_t>(s) * width;
  Floats a = allocateFloats(size), b = allocateFloats(size), lseA = allocateFloats(static_cast<size_t>(s) * heads), lseB = allocateFloats(static_cast<size_t>(s) * heads);
  forward(fast_, start, a.get(), lseA.get());
  forward(plain_, start, b.get(), lseB.get());
  const std::string name = half ? "attention.bf16" : "attention";
  compare(name, dims({s - start, start, heads, kvHeads, d}), a.get(), b.get(), static_cast<size_t>(s - start) * width);
  compare(name + ".lse", dims({s - start, heads}), lseA.get(), lseB.get(), static_cast<size_t>(s - start) * heads);
  // What a row is does not depend on what it is computed with: a token's log-prob is the same whether it decoded or is scored.
  forward(fast_, start, b.get(), lseB.get(), true);
  float changed = 0;
  for (size_t i = 0; i < static_cast<size_t>(s - start) * width; ++i) changed += a[i] != b[i];
  for (size_t i = 0; i < static_cast<size_t>(s - start) * heads; ++i) changed += lseA[i] != lseB[i];
  const float none = 0;
  compare(name + ".alone", dims({s - start, start, heads, kvHeads, d}), &changed, &none, 1);
  forward(plain_, 0, b.get(), lseB.get());
  const size_t copies = static_cast<size_t>(group / span * parts) * s * kvWidth, sizes[3] = {size, copies, copies};
  Floats grads[2][3];
  for (int side = 0; side < 2; ++side) {
    AttentionBackwardArgs g;
    g.half = half && fast_.narrow->attentionBackward != fast_.attentionBackward;  // with AVX2 fp32's own stands in
    g.headDim = d;
    g.heads = heads;
    g.kvHeads = kvHeads;
    g.rows = s;
    g.scale = 0.3f;
    g.q = q.get();
    g.k = k.get();
    g.v = v.get();
    g.out = b.get();
    g.dOut = dOut.get();
    g.lse = lseB.get();
    g.parts = parts;
    g.span = span;
    g.copySize = static_cast<size_t>(s) * kvWidth;
    for (int i = 0; i < 3; ++i) {
      grads[side][i] = allocateFloats(sizes[i]);
      for (size_t j = 0; j < sizes[i]; ++j) grads[side][i][j] = 0;
    }
    g.dq = grads[side][0].get();
    g.dk = grads[side][1].get();
    g.dv = grads[side][2].get();
    for (int item = 0; item < g.items(); ++item) {
      const Ops& ops = side ? plain_ : fast_;
      (half ? ops.narrow->attentionBackward : ops.attentionBackward)(g, item, scratch.get());
    }
  }
  const char* names[3] = {".dq", ".dk", ".dv"};
  for (int i = 0; i < 3; ++i) compare(name + names[i], dims({s, heads, kvHeads, d}), grads[0][i].get(), grads[1][i].get(), sizes[i]);
}

void Bench::pointwise() {
  const int n = size(300);
  const Floats g = fill(n, 20), u = fill(n, 3), d = fill(n), start = fill(n);
  Floats a = allocateFloats(n), b = allocateFloats(n), a2 = allocateFloats(n), b2 = allocateFloats(n);
  fast_.swiglu(g.get(), u.get(), n, a.get());
  plain_.swiglu(g.get(), u.get(), n, b.get());
  compare("swiglu", dims({n}), a.get(), b.get(), n);
  fast_.swigluBackward(g.get(), u.get(), d.get(), n, a.get(), a2.get());
  plain_.swigluBackward(g.get(), u.get(), d.get(), n, b.get(), b2.get());
  compare("swigluBackward.gate", dims({n}), a.get(), b.get(), n);
  compare("swigluBackward.up", dims({n}), a2.get(), b2.get(), n);
  const auto widened = [](const std::vector<uint16_t>& halves, float* out) {
    for (size_t i = 0; i < halves.size(); ++i) {
      const uint32_t bits = static_cast<uint32_t>(halves[i]) << 16;
      std::memcpy(out + i, &bits, 4);
    }
  };
  std::vector<uint16_t> half(n), half2(n);
  const auto compareHalves = [&](const char* op, const std::vector<uint16_t>& fast, const std::vector<uint16_t>& plain) {
    widened(fast, a.get());
    widened(plain, b.get());
    compare(op, dims({n}), a.get(), b.get(), n);
  };
  std::vector<uint16_t> plain(n), plain2(n);
  fast_.narrow->toBf16(g.get(), n, half.data());
  plain_.narrow->toBf16(g.get(), n, plain.data());
  compareHalves("toBf16", half, plain);
  fast_.narrow->swigluBackward(g.get(), u.get(), d.get(), n, half.data(), half2.data());
  plain_.narrow->swigluBackward(g.get(), u.get(), d.get(), n, plain.data(), plain2.data());
  compareHalves("swigluBackward.bf16.gate", half, plain);
  compareHalves("swigluBackward.bf16.up", half2, plain2);
  const float x = static_cast<float>(fast_.logSumExp(g.get(), n, 1.4f)), y = static_cast<float>(plain_.logSumExp(g.get(), n, 1.4f));
  compare("logSumExp", dims({n}), &x, &y, 1);
  for (const bool add : {false, true}) {
    a = copy(start, n);
    b = copy(start, n);
    fast_.softmaxScaled(g.get(), n, 1.4f, y, -2.5f, a.get(), add);
    plain_.softmaxScaled(g.get(), n, 1.4f, y, -2.5f, b.get(), add);
    compare("softmaxScaled", dims({n}), a.get(), b.get(), n);
  }
  Floats m1 = copy(d, n), m2 = copy(d, n), v1 = allocateFloats(n), v2 = allocateFloats(n);
  for (int i = 0; i < n; ++i) v1[i] = v2[i] = d[i] * d[i];
  a = copy(start, n);
  b = copy(start, n);
  const AdamArgs args{1e-2f, 0.9f, 0.98f, 1e-8f, 0.1f, 0.5f, 0.19f, 0.04f};
  fast_.adamw(a.get(), m1.get(), v1.get(), u.get(), n, args);
  plain_.adamw(b.get(), m2.get(), v2.get(), u.get(), n, args);
  compare("adamw", dims({n}), a.get(), b.get(), n);
}

}  // namespace

std::vector<OpCheck> selfTest(const Ops& ops, uint64_t seed) {
  Bench bench(ops, seed);
  bench.linear();
  bench.linearDx();
  bench.linearDxWide();
  bench.narrow();
  bench.outer();
  bench.norms();
  for (const bool half : {false, true}) bench.attention(half);
  bench.pointwise();
  if (seed % 8 == 0) bench.linearDxWide(16384);  // the head's
  return bench.take();
}

}  // namespace hindsight
