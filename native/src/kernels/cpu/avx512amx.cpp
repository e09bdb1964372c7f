// The avx512bf16 table with the products of bf16 and int8 weights in AMX's matrix registers. Intel's
// processors start vdpbf16ps every other cycle, half the rate of fp32's multiply-adds: there bf16 pays through AMX alone.
#include <immintrin.h>

namespace {
constexpr int kWidth = 16;
}  // namespace

#include "kernels/cpu/vector.inl"
#include "kernels/cpu/amx.inl"

namespace hindsight {
const NarrowOps* avx512AmxProducts() {
  static constexpr NarrowOps narrow = narrowTable();
  return &narrow;
}
}  // namespace hindsight
