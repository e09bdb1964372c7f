// The avx512 table with AVX512-VNNI only: int8 products by instruction, bf16 by widening.
#include <immintrin.h>

namespace {
constexpr int kWidth = 16;
}  // namespace

#include "kernels/cpu/vector.inl"
#define NARROW_PLAIN_BF16
#include "kernels/cpu/dot512.inl"

namespace hindsight {
const NarrowOps* avx512VnniProducts() {
  static constexpr NarrowOps narrow = narrowTable();
  return &narrow;
}
}  // namespace hindsight
