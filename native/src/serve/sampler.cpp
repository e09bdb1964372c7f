#include "serve/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hindsight {

namespace {

/// In lanes of its own, for a comparison that waits for the last one takes longer than it.
float largest(const float* z, int vocab) {
  constexpr int lanes = 16;
  float best[lanes];
  std::fill(best, best + lanes, z[0]);
  int i = 0;
  for (; i + lanes <= vocab; i += lanes)
    for (int j = 0; j < lanes; ++j) best[j] = z[i + j] > best[j] ? z[i + j] : best[j];
  for (; i < vocab; ++i) best[0] = z[i] > best[0] ? z[i] : best[0];
  return *std::max_element(best, best + lanes);
}

}  // namespace

int argmax(const float* z, int vocab) {
  const float most = largest(z, vocab);
  for (int i = 0; i < vocab; ++i)
    if (z[i] == most) return i;
  return 0;  // not one number
}

std::vector<int32_t> topIds(const float* z, int vocab, int k) {
  const auto better = [z](int32_t a, int32_t b) { return z[a] != z[b] ? z[a] > z[b] : a < b; };
  if (k > vocab) k = vocab;
  std::vector<int32_t> heap;  // the worst of the kept on top
  heap.reserve(k + 1);
  for (int32_t i = 0; i < vocab; ++i) {
    if (static_cast<int>(heap.size()) == k && !better(i, heap.front())) continue;
    heap.push_back(i);
    std::push_heap(heap.begin(), heap.end(), better);
    if (static_cast<int>(heap.size()) > k) {
      std::pop_heap(heap.begin(), heap.end(), better);
      heap.pop_back();
    }
  }
  std::sort(heap.begin(), heap.end(), better);
  return heap;
}

namespace {

/// Of the whole softmax, a block at a time: no number per token of the vocabulary is kept.
int sampleAll(const Ops& ops, const float* z, int vocab, float inverse, float peak, Random& random) {
  constexpr int block = 2048, lanes = 8;
  float weights[block];
  const auto weigh = [&](int first) {
    const int count = std::min(block, vocab - first);
    ops.softmaxScaled(z + first, count, inverse, peak * inverse, 1.0f, weights, false);
    return count;
  };
  std::vector<double> sums;
  double total = 0;
  for (int first = 0; first < vocab; first += block) {
    const int count = weigh(first);
    double part[lanes] = {}, sum = 0;
    int i = 0;
    for (; i + lanes <= count; i += lanes)
      for (int j = 0; j < lanes; ++j) part[j] += weights[i + j];
    for (; i < count; ++i) sum += weights[i];
    for (const double p : part) sum += p;
    sums.push_back(sum);
    total += sum;
  }
  double left = random.uniform() * total;
  int last = -1;  // that can be drawn at all, where sums round differently
  for (size_t b = 0; b < sums.size(); ++b) {
    if (left >= sums[b] && b + 1 < sums.size()) {
      left -= sums[b];
      continue;
    }
    const int first = static_cast<int>(b) * block, count = weigh(first);
    for (int i = 0; i < count; ++i) {
      if (weights[i] > 0) last = first + i;
      left -= weights[i];
      if (left < 0) return first + i;
    }
  }
  return last >= 0 ? last : argmax(z, vocab);
}

}  // namespace

int sample(const Ops& ops, const float* z, int vocab, const Sampling& s, Random& random) {
  if (s.temperature <= 0) return argmax(z, vocab);
  const double inverse = 1.0 / s.temperature, peak = largest(z, vocab);
  const bool allTokens = s.topK <= 0 || s.topK >= vocab, allMass = s.topP >= 1;
  if (allTokens && allMass) return sampleAll(ops, z, vocab, static_cast<float>(inverse), static_cast<float>(peak), random);
  std::vector<int32_t> ids;
  if (allTokens) {
    ids.resize(vocab);
    std::iota(ids.begin(), ids.end(), 0);
  } else {
    ids = topIds(z, vocab, s.topK);
  }
  std::vector<double> weights(ids.size());
  double total = 0;
  for (size_t i = 0; i < ids.size(); ++i) total += weights[i] = std::exp((z[ids[i]] - peak) * inverse);
  if (!allMass) {
    // The smallest set, best first, that holds topP of the mass; a heap orders no more than needed.
    std::vector<int32_t> order(ids.size());
    std::iota(order.begin(), order.end(), 0);
    const auto worse = [&](int32_t a, int32_t b) { return weights[a] != weights[b] ? weights[a] < weights[b] : ids[a] > ids[b]; };
    std::make_heap(order.begin(), order.end(), worse);
    std::vector<int32_t> keptIds;
    std::vector<double> kept;
    double mass = 0;
    for (auto end = order.end(); end != order.begin() && (kept.empty() || mass < s.topP * total);) {
      std::pop_heap(order.begin(), end, worse);
      --end;
      keptIds.push_back(ids[*end]);
      kept.push_back(weights[*end]);
      mass += weights[*end];
    }
    ids.swap(keptIds);
    weights.swap(kept);
    total = mass;
  }
  double left = random.uniform() * total;
  for (size_t i = 0; i < ids.size(); ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  // Rounding: the last that can be drawn at all.
  for (size_t i = ids.size(); i-- > 0;)
    if (weights[i] > 0) return ids[i];
  return ids.back();
}

}  // namespace hindsight
