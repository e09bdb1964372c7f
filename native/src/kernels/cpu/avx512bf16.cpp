// The avx512 table with the dot-product instructions of AVX512-BF16 and AVX512-VNNI (which every
// processor with the former has). Tiles are 6 rows x 4 vectors: 24 accumulators of the 32 registers.
// Inline assembly, because compilers surround the intrinsics with register moves that halve the rate.
#include <immintrin.h>

namespace {
constexpr int kWidth = 16;
}  // namespace

#include "kernels/cpu/vector.inl"
#include "kernels/cpu/dot512.inl"

namespace hindsight {
const NarrowOps* avx512Bf16Products() {
  static constexpr NarrowOps narrow = narrowTable();
  return &narrow;
}
}  // namespace hindsight
