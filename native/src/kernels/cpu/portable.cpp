// The portable op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 4;
constexpr int kRowBlock = 4;
}  // namespace

#include "kernels/cpu/simd.inl"

namespace hindsight {
const Ops* portableOps() {
  static constexpr Ops ops = table("portable");
  return &ops;
}
}  // namespace hindsight
