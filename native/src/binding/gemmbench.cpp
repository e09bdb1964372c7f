#include "binding/gemmbench.h"

#include <algorithm>
#include <chrono>

#include "serve/random.h"

namespace hindsight {
namespace {

template <class Body>
double medianSeconds(int runs, int repeats, const Body& body) {
  std::vector<double> seconds;
  body();
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < repeats; ++j) body();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repeats);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
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
  result.peak = math.peak(dtype);
  const int repeats = std::max(1, std::min(50, static_cast<int>(result.peak * 0.03 / work)));
  Rows rows{x.get(), m, k};  // converted once, as for the linears that share their input
  result.forward = work / medianSeconds(runs, repeats, [&] {
    math.linear(rows, w, nullptr, nullptr, y.get(), nullptr);
  });
  if (dtype != Dtype::Int8)
  {
    Rows gradient{dy.get(), m, n};
    gradient.halfLd = spacedRow(n);
    const PackedWeight* weight = &w;
    result.backward = work / medianSeconds(runs, repeats, [&] {
      if (dtype == Dtype::Fp32) math.linearDx(gradient, w, dx.get(), k, false);
      else math.linearDx(&gradient, &weight, 1, nullptr, nullptr, dx.get(), false);
    });
  }
  result.peak = std::max(result.peak, math.peak(dtype));
  return result;
}

}  // namespace hindsight
