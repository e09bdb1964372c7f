// Few-row products over the pool: shapes and method in few.h.
#include "kernels/cpu/few.h"

#include <algorithm>

#include "kernels/cpu/math.h"

namespace hindsight {
namespace {

/// Bytes of weights below which a second thread gains less than it may lose: a worker that has lost
/// its core to another program holds up the token for milliseconds.
constexpr double kParallelBytes = 1e6;
/// The same for LoRA's fp32 products of several adapters, in multiply-adds.
constexpr double kParallelLora = 100e3;

}  // namespace

void Math::toWords(Rows& x) {
  const size_t width = padded4(x.cols);
  auto* out = reinterpret_cast<uint8_t*>(bytes_.atLeast(2 * x.rows * width / 4));
  float* scale = byteScale_.atLeast(x.rows);
  for (int r = 0; r < x.rows; ++r)
    scale[r] = ops_.narrow->toWords(x.data + static_cast<size_t>(r) * x.stride(), x.cols, out + r * width, out + (x.rows + r) * width);
  x.bytes = out;
  x.byteScale = scale;
}

/// fp32: all rows meet the weights together, and LoRA's terms go on from those sums, which is the
/// order that a prompt's products have.
void Math::fewPlain(Rows& x, const FewLinear* linears, int count, const FewSegment* segments, int segmentCount) {
  std::vector<size_t> at(segmentCount, 0);  // of x A^T
  size_t width = 0;
  for (int s = 0; s < segmentCount; ++s) {
    at[s] = width;
    if (segments[s].group) width += static_cast<size_t>(segments[s].rows) * segments[s].group->width;
  }
  float* inner = fewInner_.atLeast(width);
  double work = static_cast<double>(width) * x.cols;
  for (int i = 0; i < count; ++i) {
    linear(x, *linears[i].w, nullptr, nullptr, linears[i].y, nullptr);
    work += static_cast<double>(x.rows) * linears[i].w->n * segments[0].rank;
  }
  const int panel = ops_.panel;
  /// x A^T of the segments [from, to). What is left of a segment after blocks of kSmallRows rows goes
  /// together with the others' rows.
  const auto inward = [&](int from, int to) {
    std::vector<RowPanel> whole, last;
    for (int s = from; s < to; ++s) {
      const FewSegment& segment = segments[s];
      if (!segment.group) continue;
      const PackedWeight& a = segment.group->a;
      const auto row = [&](int r) { return x.data + static_cast<size_t>(segment.first + r) * x.stride(); };
      int r = 0;
      for (; r + kSmallRows <= segment.rows; r += kSmallRows) {
        LinearArgs g;
        g.m = kSmallRows;
        g.n = g.ldy = a.n;
        g.k = a.k;
        g.x = row(r);
        g.ldx = x.stride();
        g.w = a.data.get();
        g.y = inner + at[s] + static_cast<size_t>(r) * a.n;
        ops_.linearSmall(g, 0, (a.n + panel - 1) / panel);
      }
      for (int n = 0; n < a.n; n += panel)
        for (int i = r; i < segment.rows; ++i)
          (n + panel <= a.n ? whole : last).push_back({row(i), a.data.get() + static_cast<size_t>(n) * a.k, inner + at[s] + static_cast<size_t>(i) * a.n + n, std::min(panel, a.n - n)});
    }
    ops_.rowPanels(whole.data(), static_cast<int>(whole.size()), x.cols);
    ops_.rowPanels(last.data(), static_cast<int>(last.size()), x.cols);
  };
  const auto outward = [&](int s) {
    const FewSegment& segment = segments[s];
    for (int i = 0; i < count; ++i) {
      const PackedLora* b = segment.group ? segment.lora[i] : nullptr;
      if (!b && !linears[i].residual) continue;
      const int n = linears[i].w->n;
      for (int done = 0; done < segment.rows; done += kSmallRows) {
        const size_t row = static_cast<size_t>(segment.first + done) * n;
        LinearArgs g;
        g.m = std::min(kSmallRows, segment.rows - done);
        g.n = g.ldy = n;
        g.w = linears[i].w->data.get();
        g.y = linears[i].y + row;
        g.start = g.y;
        g.residual = linears[i].residual ? linears[i].residual + row : nullptr;
        if (b) {
          g.k2 = segment.rank;
          g.ldx2 = segment.group->width;
          g.x2 = inner + at[s] + static_cast<size_t>(done) * g.ldx2 + b->offset;
          g.w2 = b->b.data.get();
        }
        ops_.linearSmall(g, 0, (n + panel - 1) / panel);
      }
    }
  };
  const int pieces = work > kParallelLora ? std::min(segmentCount, 2 * threads()) : 1;
  pool_.run(pieces, [&](int i, int) {
    const int from = segmentCount * i / pieces, to = segmentCount * (i + 1) / pieces;
    inward(from, to);
    for (int s = from; s < to; ++s) outward(s);
  });
}

void Math::few(Rows& x, const FewLinear* linears, int count, const FewSegment* segments, int segmentCount) {
  if (linears[0].w->dtype == Dtype::Fp32) return fewPlain(x, linears, count, segments, segmentCount);
  const NarrowOps& ops = *ops_.narrow;
  const size_t scratch = narrowScratch(), width = padded4(x.cols);
  reserve(scratch);
  toHalf(x, 0);

  // x A^T of every segment, then to bf16.
  size_t inner = 0;
  int pieces = 0;
  std::vector<size_t> at(segmentCount, 0);
  std::vector<std::pair<int, int>> panels;  // of a segment
  for (int s = 0; s < segmentCount; ++s) {
    if (!segments[s].group) continue;
    at[s] = inner;
    inner += static_cast<size_t>(segments[s].rows) * segments[s].group->width;
    for (size_t p = 0; p < narrowPanels(segments[s].group->width); ++p) panels.emplace_back(s, static_cast<int>(p));
    ++pieces;
  }
  float* innerRows = fewInner_.atLeast(inner);
  auto* innerHalf = reinterpret_cast<uint16_t*>(fewHalf_.atLeast(inner / 2 + 1));
  const auto innerPanel = [&](int i, int worker) {
    const FewSegment& segment = segments[panels[i].first];
    FewArgs g;
    g.m = segment.rows;
    g.n = segment.group->width;
    g.k = x.cols;
    g.x = x.half + segment.first * width;
    g.w = segment.group->a.data.get();
    g.y = innerRows + at[panels[i].first];
    ops.few(g, panels[i].second, scratch_[worker].atLeast(scratch));
  };
  if (pieces > 1) pool_.run(static_cast<int>(panels.size()), innerPanel);
  else for (int i = 0; i < static_cast<int>(panels.size()); ++i) innerPanel(i, 0);
  if (inner) ops.toBf16(innerRows, inner, innerHalf);

  bool words = false;
  for (int i = 0; i < count; ++i) words = words || (linears[i].w->dtype == Dtype::Int8 && byteActivations_);
  if (words) toWords(x);
  FewArgs args[3];
  FewLora lora[3][kFewRows];
  int first[4] = {0, 0, 0, 0};  // panels before each linear
  double bytes = 0;
  for (int i = 0; i < count; ++i) {
    const PackedWeight& w = *linears[i].w;
    FewArgs& g = args[i];
    g.m = x.rows;
    g.n = w.n;
    g.k = w.k;
    if (w.dtype == Dtype::Int8 && byteActivations_) {
      g.xBytes = x.bytes;
      g.xScale = x.byteScale;
    } else {
      g.x = x.half;
    }
    g.w = w.data.get();
    g.wScale = w.scale.get();
    g.wOffset = w.offset.data();
    g.bias = w.bias.get();
    g.residual = linears[i].residual;
    g.y = linears[i].y;
    g.segments = segmentCount;
    g.lora = lora[i];
    for (int s = 0; s < segmentCount; ++s) {
      const FewSegment& segment = segments[s];
      lora[i][s] = FewLora{};
      if (!segment.group || !segment.lora[i]) continue;
      lora[i][s] = {segment.first, segment.rows, segment.rank, innerHalf + at[s] + segment.lora[i]->offset, segment.group->width, reinterpret_cast<const uint16_t*>(segment.lora[i]->b.data.get())};
    }
    first[i + 1] = first[i] + static_cast<int>(narrowPanels(w.n));
    bytes += static_cast<double>(w.n) * w.k * (w.dtype == Dtype::Int8 ? 1 : 2);
  }
  const int total = first[count];
  const auto run = [&](int from, int to, int worker) {
    float* own = scratch_[worker].atLeast(scratch);
    for (int p = from, i = 0; p < to; ++p) {
      while (p >= first[i + 1]) ++i;
      ops.few(args[i], p - first[i], own);
    }
  };
  if (threads() == 1 || bytes < kParallelBytes) return run(0, total, 0);
  // Long runs of weights for the prefetcher, but pieces enough that both end together.
  const int grain = total / (12 * threads()) > 1 ? total / (12 * threads()) : 1;
  ranges(total, grain, run, kDecodeWorth);
}

}  // namespace hindsight
