// The avx512bf16 table with the products of bf16 and int8 weights in AMX's matrix registers. Intel's
// processors start vdpbf16ps every other cycle, half the rate of fp32's multiply-adds: there bf16 pays through AMX alone.
#include <immintrin.h>

namespace {
constexpr int kWidth = 16;
constexpr int kRowBlock = 12;
}  // namespace

#include "kernels/cpu/simd.inl"
#include "kernels/cpu/amx.inl"

namespace hindsight {
const Ops* avx512AmxOps() {
  static constexpr NarrowOps narrow = narrowTable();
  static constexpr Ops ops = table("avx512amx", &narrow);
  return &ops;
}
}  // namespace hindsight
