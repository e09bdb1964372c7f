#include "binding/gemmbench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

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

/// Worst error of some of out[m,n] = sum over i < k of left(row, i) * right(column, i).
template <class Left, class Right>
double worstError(Random& random, int m, int n, int k, const float* out, const Left& left, const Right& right) {
  constexpr int samples = 64;
  double worst = 0;
  for (int s = 0; s < samples; ++s) {
    const int row = static_cast<int>(random.uniform() * m), column = static_cast<int>(random.uniform() * n);
    double sum = 0, squares = 0;
    for (int i = 0; i < k; ++i) {
      const double term = static_cast<double>(left(row, i)) * right(column, i);
      sum += term;
      squares += term * term;
    }
    const double error = std::fabs(out[static_cast<size_t>(row) * n + column] - sum) / std::sqrt(squares);
    if (!(error <= worst)) worst = error;  // also NaN
  }
  return worst;
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
  const Floats weight = fill(static_cast<size_t>(n) * k);
  const PackedWeight w = packWeight(math.ops(), weight.get(), n, k, dtype);
  const Floats x = fill(static_cast<size_t>(m) * k), dy = fill(static_cast<size_t>(m) * n);
  Floats y = allocateFloats(static_cast<size_t>(m) * n), dx = allocateFloats(static_cast<size_t>(m) * k);
  Rows rows{x.get(), m, k};  // converted once, as for the linears that share their input
  result.forwardShare = medianShare(math, dtype, work, runs, [&] { math.linear(rows, w, nullptr, nullptr, y.get(), nullptr); }, result.peak);
  result.error = worstError(random, m, n, k, y.get(), [&](int row, int i) { return x[static_cast<size_t>(row) * k + i]; }, [&](int column, int i) { return weight[static_cast<size_t>(column) * k + i]; });
  if (dtype == Dtype::Int8) return result;
  Rows gradient{dy.get(), m, n};
  gradient.halfLd = spacedRow(n);
  const PackedWeight* packed = &w;
  result.backwardShare = medianShare(math, dtype, work, runs, [&] { math.linearDx(&gradient, &packed, 1, nullptr, nullptr, dx.get(), false); }, result.peak);
  const double error = worstError(random, m, k, n, dx.get(), [&](int row, int i) { return dy[static_cast<size_t>(row) * n + i]; }, [&](int column, int i) { return weight[static_cast<size_t>(i) * k + column]; });
  if (!(error <= result.error)) result.error = error;
  return result;
}

}  // namespace hindsight
