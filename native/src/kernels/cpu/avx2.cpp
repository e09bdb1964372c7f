// The avx2 op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 8;
constexpr int kRowBlock = 6;
}  // namespace

#include "kernels/cpu/simd.inl"

namespace hindsight {
const Ops* avx2Ops() {
  static constexpr Ops ops = table("avx2");
  return &ops;
}
}  // namespace hindsight
