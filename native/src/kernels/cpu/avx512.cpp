// The avx512 op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 16;
constexpr int kRowBlock = 12;
}  // namespace

#include "kernels/cpu/simd.inl"

namespace hindsight {
const Ops* avx512Ops() {
  static constexpr Ops ops = table("avx512");
  return &ops;
}
}  // namespace hindsight
