#include "serve/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hindsight {

int argmax(const float* z, int vocab) {
  int best = 0;
  for (int i = 1; i < vocab; ++i)
    if (z[i] > z[best]) best = i;
  return best;
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

int sample(const float* z, int vocab, const Sampling& s, Random& random) {
  if (s.temperature <= 0) return argmax(z, vocab);
  const double inverse = 1.0 / s.temperature, peak = z[argmax(z, vocab)];
  const bool allTokens = s.topK <= 0 || s.topK >= vocab, allMass = s.topP >= 1;
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
