// The avx2 op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 8;
constexpr int kRowBlock = 6;
}  // namespace

#include "kernels/cpu/simd.inl"
#include "kernels/cpu/dot256.inl"

namespace hindsight {
const Ops* avx2Ops() {
  static constexpr NarrowOps narrow = narrowTable();
  static constexpr Ops ops = [] {
    Ops own = table("avx2", &narrow);
    own.rowSpan = 2 * kGroupRows / kRowBlock;
    own.packRows = nullptr;
    own.linear = floatLinear;
    own.linearDx = floatDx;
    return own;
  }();
  return &ops;
}
}  // namespace hindsight
