// The avx512 table with AVX512-VNNI only: int8 products by instruction, bf16 by widening.
#include <immintrin.h>

namespace {
constexpr int kWidth = 16;
constexpr int kRowBlock = 12;
}  // namespace

#include "kernels/cpu/simd.inl"
#define NARROW_PLAIN_BF16
#include "kernels/cpu/dot512.inl"

namespace hindsight {
const Ops* avx512VnniOps() {
  static constexpr NarrowOps narrow = narrowTable();
  static constexpr Ops ops = table("avx512vnni", &narrow);
  return &ops;
}
}  // namespace hindsight
