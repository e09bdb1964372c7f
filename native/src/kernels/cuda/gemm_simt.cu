// fp32 products for the parity path: plain multiply-adds over 64 x 64 tiles of shared memory, each of 256
// threads with 4 x 4 outputs.
#include "kernels/cuda/gemm.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kTile = 64, kDepth = 16;

/// Element (row, k) of X and (k, col) of W lie at row * a + k * b.
struct Strides {
  long xRow, xK, wK, wCol;
};

__global__ void __launch_bounds__(256) multiplyFloats(GemmArgs g, Strides s1, Strides s2) {
  float* sx = reinterpret_cast<float*>(sharedMemory());
  float* sw = sx + kDepth * (kTile + 4);
  const int tid = static_cast<int>(threadIdx.x), m0 = static_cast<int>(blockIdx.y) * kTile, n0 = static_cast<int>(blockIdx.x) * kTile, tm = tid / 16 * 4, tn = tid % 16 * 4;
  float acc[4][4] = {};
  const int steps1 = (g.k + kDepth - 1) / kDepth, steps = steps1 + (g.k2 + kDepth - 1) / kDepth;
  const int first = static_cast<int>(static_cast<long>(steps) * blockIdx.z / g.splits), last = static_cast<int>(static_cast<long>(steps) * (blockIdx.z + 1) / g.splits);
  for (int step = first; step < last; ++step) {
    const bool lora = step >= steps1;
    const int k0 = (lora ? step - steps1 : step) * kDepth, k = lora ? g.k2 : g.k;
    const float* x = static_cast<const float*>(lora ? g.x2 : g.x);
    const float* w = static_cast<const float*>(lora ? g.w2 : g.w);
    const Strides s = lora ? s2 : s1;
    for (int i = tid; i < kTile * kDepth; i += 256) {
      const int r = i / kDepth, d = i % kDepth;
      const bool inK = k0 + d < k;
      sx[d * (kTile + 4) + r] = inK && m0 + r < g.m ? x[(m0 + r) * s.xRow + (k0 + d) * s.xK] : 0.0f;
      sw[d * (kTile + 4) + r] = inK && n0 + r < g.n ? w[(k0 + d) * s.wK + (n0 + r) * s.wCol] : 0.0f;
    }
    __syncthreads();
    for (int d = 0; d < kDepth; ++d)
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) acc[i][j] += sx[d * (kTile + 4) + tm + i] * sw[d * (kTile + 4) + tn + j];
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      const int row = m0 + tm + i, col = n0 + tn + j;
      if (row >= g.m || col >= g.n) continue;
      float* y = static_cast<float*>(g.y);
      float v = acc[i][j];
      if (g.splits > 1) {
        y[(static_cast<long>(blockIdx.z) * g.m + row) * g.n + col] = v;
        continue;
      }
      if (g.bias) v += g.bias[col];
      if (g.residual) v += g.residual[row * g.ldr + col];
      y[row * g.ldy + col] = v;
    }
}

}  // namespace

void gemmSimt(const Stream& stream, Product product, const GemmArgs& g) {
  const auto strides = [product](long ldx, long ldw) {
    switch (product) {
      case Product::Forward: return Strides{ldx, 1, 1, ldw};
      case Product::Gradient: return Strides{ldx, 1, ldw, 1};
      default: return Strides{1, ldx, ldw, 1};
    }
  };
  const dim3 grid(blocksFor(g.n, kTile), blocksFor(g.m, kTile), static_cast<unsigned>(g.splits));
  launch(multiplyFloats, grid, dim3(256), 2 * kDepth * (kTile + 4) * sizeof(float), stream.get(), g, strides(g.ldx, g.ldw), strides(g.ldx2, g.ldw2));
}

}  // namespace cuda
}  // namespace hindsight
