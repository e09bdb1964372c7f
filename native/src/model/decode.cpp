// Forward pass of a few rows of several sequences (decode): one pass over the weights for all of
// them, each row with its sequence's adapter and its own keys and values. Same numbers as forward().
#include <cmath>

#include "kernels/cpu/few.h"
#include "model/transformer.h"

namespace hindsight {

void Transformer::decode(const std::vector<Slice>& slices, float* hidden) {
  int rows = 0;
  std::vector<std::vector<float*>> pages;
  std::vector<FewSegment> segments;
  for (const Slice& slice : slices) {
    ensureRope(slice.kv->length + slice.rows);
    slice.kv->extend(layout_, slice.rows);
    if (slice.adapter) slice.adapter->pack(math_.ops(), weights_.dtype, Pass::Serving);
    embed(slice.tokens, slice.rows, hidden + static_cast<size_t>(rows) * config_.hidden);
    pages.emplace_back();
    for (const auto& page : slice.kv->pages) pages.back().push_back(page->data.get());
    segments.push_back({rows, slice.rows, nullptr, {}, slice.adapter ? slice.adapter->rank : 0});
    rows += slice.rows;
  }
  // Neighbours on one adapter share its LoRA product.
  std::vector<Adapter*> adapters;
  std::vector<FewSegment> merged;
  for (size_t i = 0; i < slices.size(); ++i) {
    if (!adapters.empty() && adapters.back() == slices[i].adapter) {
      merged.back().rows += slices[i].rows;
      continue;
    }
    adapters.push_back(slices[i].adapter);
    merged.push_back(segments[i]);
  }
  const int segmentCount = static_cast<int>(merged.size());

  serveArena_.reset();
  LayerState s = takeState(rows, nullptr, serveArena_, false);
  const LayerScratch t = takeScratch(rows, serveArena_, false);
  s.hIn = hidden;
  const auto product = [&](int layer, int target, int count, const float* x, int width, const FewLinear* linears) {
    for (int i = 0; i < segmentCount; ++i) {
      merged[i].group = adapters[i] ? adapters[i]->groupFor(layer, groupOf(target)) : nullptr;
      for (int j = 0; j < count; ++j) merged[i].lora[j] = merged[i].group ? adapters[i]->packedFor(layer, target + j) : nullptr;
    }
    Rows input{x, rows, width, nullptr};
    math_.few(input, linears, count, merged.data(), segmentCount);
  };
  std::vector<Place> places(slices.size());
  for (int layer = 0; layer < config_.layers; ++layer) {
    const LayerWeights& w = weights_.layers[layer];
    math_.rmsnorm(s.hIn, w.inputNorm.get(), rows, config_.hidden, config_.normEps, t.x);
    const FewLinear qkv[] = {{&w.linear[kQ], s.q, nullptr}, {&w.linear[kK], s.k, nullptr}, {&w.linear[kV], s.v, nullptr}};
    product(layer, kQ, 3, t.x, config_.hidden, qkv);
    for (size_t i = 0; i < slices.size(); ++i)
      places[i] = {pages[i].data(), layout_.keyOffset(layer), layout_.valueOffset(layer), slices[i].kv->length, segments[i].first, slices[i].rows};
    normRope(s.q, w.qNorm.get(), places, config_.heads, s.q);
    normRope(s.k, w.kNorm.get(), places, config_.kvHeads, s.k);
    storeKv(s.k, s.v, places);
    attend(places, s.q, s.attn, nullptr);
    const FewLinear o[] = {{&w.linear[kO], s.hMid, s.hIn}};
    product(layer, kO, 1, s.attn, config_.qWidth(), o);
    math_.rmsnorm(s.hMid, w.postNorm.get(), rows, config_.hidden, config_.normEps, t.x);
    const FewLinear gateUp[] = {{&w.linear[kGate], s.gate, nullptr}, {&w.linear[kUp], s.up, nullptr}};
    product(layer, kGate, 2, t.x, config_.hidden, gateUp);
    math_.swiglu(s.gate, s.up, rows, config_.intermediate, t.act);
    const FewLinear down[] = {{&w.linear[kDown], hidden, s.hMid}};
    product(layer, kDown, 1, t.act, config_.intermediate, down);
  }
  for (const Slice& slice : slices) slice.kv->length += slice.rows;
}

void Transformer::headOfFew(const float* hidden, int rows, float* x, float* logits) {
  math_.rmsnorm(hidden, weights_.finalNorm.get(), rows, config_.hidden, config_.normEps, x);
  Rows normed{x, rows, config_.hidden, nullptr};
  const FewLinear linear[] = {{&weights_.head, logits, nullptr}};
  const FewSegment all{0, rows, nullptr, {}, 0};
  math_.few(normed, linear, 1, &all, 1);
}

}  // namespace hindsight
