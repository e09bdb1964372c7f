// The portable op table; see simd.inl for the method. Compiled with this set's own flags.
namespace {
constexpr int kWidth = 4;
constexpr int kRowBlock = 4;
}  // namespace

#include "kernels/cpu/simd.inl"
#define NARROW_PLAIN_BF16
#define NARROW_PLAIN_INT8
#include "kernels/cpu/narrow.inl"

namespace hindsight {
const Ops* portableOps() {
  static constexpr NarrowOps narrow = narrowTable();
  static constexpr Ops ops = table("portable", &narrow);
  return &ops;
}
}  // namespace hindsight
