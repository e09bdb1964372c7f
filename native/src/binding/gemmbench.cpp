#include "binding/gemmbench.h"

#include <algorithm>
#include <chrono>

#include "serve/random.h"

namespace hindsight {
namespace {

/// @returns the median over `runs` of the share of the peak that was measured right before or after; `best`: the
/// best peak seen.
template <class Body>
double medianShare(Math& math, Dtype dtype, double work, int runs, const Body& body, double& best) {
  std::vector<double> shares;
  body();
  double before = math.peak(dtype);
  const int repeats = std::max(1, std::min(50, static_cast<int>(before * 0.03 / work)));
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < repeats; ++j) body();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repeats;
    const double after = math.peak(dtype), top = std::max(before, after);
    shares.push_back(work / seconds / top);
    best = std::max(best, top);
    before = after;
  }
  std::sort(shares.begin(), shares.end());
  return shares[shares.size() / 2];
}

}  // namespace

GemmResult benchGemm(Math& math, Dtype dtype, int m, int n, int k, int runs) {
  Random random(1);
  const auto fill = [&](size_t count) {
    Floats out = allocateFloats(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(2 * random.uniform() - 1);
    return out;
  };
  GemmResult result;
  const double work = 2.0 * m * n * k;
  const PackedWeight w = packWeight(math.ops(), fill(static_cast<size_t>(n) * k).get(), n, k, dtype);
  const Floats x = fill(static_cast<size_t>(m) * k), dy = fill(static_cast<size_t>(m) * n);
  Floats y = allocateFloats(static_cast<size_t>(m) * n), dx = allocateFloats(static_cast<size_t>(m) * k);
  Rows rows{x.get(), m, k};  // converted once, as for the linears that share their input
  result.forwardShare = medianShare(math, dtype, work, runs, [&] { math.linear(rows, w, nullptr, nullptr, y.get(), nullptr); }, result.peak);
  if (dtype == Dtype::Int8) return result;
  Rows gradient{dy.get(), m, n};
  gradient.halfLd = spacedRow(n);
  const PackedWeight* weight = &w;
  const auto backward = [&] {
    if (dtype == Dtype::Fp32) math.linearDx(gradient, w, dx.get(), k, false);
    else math.linearDx(&gradient, &weight, 1, nullptr, nullptr, dx.get(), false);
  };
  result.backwardShare = medianShare(math, dtype, work, runs, backward, result.peak);
  return result;
}

}  // namespace hindsight
