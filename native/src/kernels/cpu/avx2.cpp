// The avx2 op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 8;
constexpr int kRowBlock = 6;
}  // namespace

#include "kernels/cpu/simd.inl"
#include "kernels/cpu/dot256.inl"
#include "kernels/cpu/attention256.inl"

namespace hindsight {
const Ops* avx2Ops() {
  static constexpr NarrowOps narrow = narrowTable();
  static constexpr Ops ops = table("avx2", &narrow);
  return &ops;
}
}  // namespace hindsight
