// Pages of keys and values: kPage tokens of all layers in one block of memory, so that sequences
// share a prefix by sharing pages. A page is written by the one sequence that owns it and never
// again once it is in the prefix cache.
#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cpu/arena.h"
#include "model/config.h"

namespace hindsight {

struct PageLayout {
  /// Keys and values are fp32 for fp32 weights, else bf16.
  PageLayout(const ModelConfig& c, Dtype dtype)
      : half(dtype != Dtype::Fp32), kvSize(static_cast<size_t>(c.kvWidth()) * kPage / (half ? 2 : 1)), floats(2 * kvSize * c.layers) {}
  size_t keyOffset(int layer) const { return 2 * kvSize * layer; }
  size_t valueOffset(int layer) const { return keyOffset(layer) + kvSize; }
  size_t bytes() const { return floats * sizeof(float); }

  bool half;
  size_t kvSize;  // floats that one layer's keys take in a page; their order is in ops.h and attention.inl
  size_t floats;
};

struct Page {
  explicit Page(const PageLayout& layout) : data(allocateFloats(layout.floats)) {
    std::memset(data.get(), 0, layout.bytes());
  }
  Floats data;
};

/// The pages of one running sequence and how many tokens they hold.
struct KvSequence {
  std::vector<std::shared_ptr<Page>> pages;
  int length = 0;

  /// Makes room for `count` more tokens.
  void extend(const PageLayout& layout, int count) {
    while (static_cast<int>(pages.size()) * kPage < length + count) pages.push_back(std::make_shared<Page>(layout));
  }
};

}  // namespace hindsight
