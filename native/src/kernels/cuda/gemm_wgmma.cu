// bf16 products for compute capability 9.0: wgmma fed by the bulk tensor copy engine through mbarriers.
// Persistent blocks of three warpgroups: one copies (a single thread of it), two multiply 64 rows each of
// a 128 x BN tile. While a tile's sums are written out, the next tile's copies are under way.
// The kernel is only used after chooseGemmBackend() has compared it with gemm_mma.cu on this very device.
#include <cuda.h>

#include <map>
#include <mutex>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/wgmma_layout.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kRows = 128, kThreads = 384;

template <int BN>
struct Ring {
  static constexpr int stages = BN == 256 ? 4 : 6;
  static constexpr uint32_t bytesX = kRows * kTileRowBytes, bytesW = BN * kTileRowBytes, bytes = bytesX + bytesW;
  static constexpr size_t shared = static_cast<size_t>(stages) * (bytes + 16);
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
__device__ __forceinline__ void barrierInit(uint64_t* barrier, int count) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(sharedAddress(barrier)), "r"(count) : "memory"); }
__device__ __forceinline__ void barrierExpect(uint64_t* barrier, uint32_t bytes) { asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(sharedAddress(barrier)), "r"(bytes) : "memory"); }
__device__ __forceinline__ void barrierArrive(uint64_t* barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(sharedAddress(barrier)) : "memory"); }
__device__ __forceinline__ void barrierWait(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
  while (!done)
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n" : "=r"(done) : "r"(sharedAddress(barrier)), "r"(parity) : "memory");
}
/// A box of a two-dimensional tensor, corner (inner, outer); zeros outside of the tensor.
__device__ __forceinline__ void copyBox(void* to, const CUtensorMap* map, int inner, int outer, uint64_t* barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(sharedAddress(to)), "l"(map), "r"(inner), "r"(outer), "r"(sharedAddress(barrier)) : "memory");
}
__device__ __forceinline__ void wgmmaFence() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void wgmmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int pending>
__device__ __forceinline__ void wgmmaWait() { asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(pending) : "memory"); }

#define HS_R4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define HS_R16(d, i) HS_R4(d, i), HS_R4(d, i + 4), HS_R4(d, i + 8), HS_R4(d, i + 12)
/// d[64 x 128] += A[64 x 16] B[16 x 128], both from shared memory; outer: B's summed index lies outside.
template <int outer>
__device__ __forceinline__ void wgmma(float (&d)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
      "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
      "%64, %65, 1, 1, 1, 0, %66;\n"
      : HS_R16(d, 0), HS_R16(d, 16), HS_R16(d, 32), HS_R16(d, 48)
      : "l"(a), "l"(b), "n"(outer));
}
#undef HS_R4
#undef HS_R16
#endif

template <Product product, int BN>
__global__ void __launch_bounds__(kThreads, 1) multiply(const __grid_constant__ CUtensorMap mapX, const __grid_constant__ CUtensorMap mapW, const __grid_constant__ CUtensorMap mapX2, const __grid_constant__ CUtensorMap mapW2, GemmArgs g) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using R = Ring<BN>;
  constexpr bool inner = product == Product::Forward;
  unsigned char* ring = sharedMemory();
  uint64_t* full = reinterpret_cast<uint64_t*>(ring + R::stages * R::bytes);
  uint64_t* empty = full + R::stages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < R::stages; ++i) {
      barrierInit(full + i, 1);
      barrierInit(empty + i, 2);
    }
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
  }
  __syncthreads();
  const int tilesM = (g.m + kRows - 1) / kRows, tilesN = (g.n + BN - 1) / BN, tiles = tilesM * tilesN;
  const int steps1 = (g.k + kWgmmaStep - 1) / kWgmmaStep, steps = steps1 + (g.k2 + kWgmmaStep - 1) / kWgmmaStep;
  const auto corner = [&](int id, int& m0, int& n0) {  // as in gemm_mma.cu
    const int perGroup = 8 * tilesN, group = id / perGroup, high = tilesM - group * 8 < 8 ? tilesM - group * 8 : 8;
    m0 = (group * 8 + id % perGroup % high) * kRows;
    n0 = id % perGroup / high * BN;
  };
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;\n");
    if (threadIdx.x == 0) {
      int turn = 0;
      for (int id = static_cast<int>(blockIdx.x); id < tiles; id += static_cast<int>(gridDim.x)) {
        int m0, n0;
        corner(id, m0, n0);
        for (int step = 0; step < steps; ++step, ++turn) {
          const int stage = turn % R::stages;
          barrierWait(empty + stage, (turn / R::stages & 1) ^ 1);  // the first round finds all free
          barrierExpect(full + stage, R::bytes);
          unsigned char* x = ring + stage * R::bytes;
          unsigned char* w = x + R::bytesX;
          const bool lora = step >= steps1;
          const int k0 = (lora ? step - steps1 : step) * kWgmmaStep;
          const CUtensorMap *mx = lora ? &mapX2 : &mapX, *mw = lora ? &mapW2 : &mapW;
          copyBox(x, mx, k0, m0, full + stage);
          if (inner) copyBox(w, mw, k0, n0, full + stage);
          else
            for (int c = 0; c < BN / 64; ++c) copyBox(w + c * kBoxBytes, mw, n0 + c * 64, k0, full + stage);
        }
      }
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;\n");
    const int tid = static_cast<int>(threadIdx.x) % 128, lane = tid % 32, warp = tid / 32;
    int turn = 0;
    for (int id = static_cast<int>(blockIdx.x); id < tiles; id += static_cast<int>(gridDim.x)) {
      int m0, n0;
      corner(id, m0, n0);
      float acc[BN / 128][64];
#pragma unroll
      for (int h = 0; h < BN / 128; ++h)
#pragma unroll
        for (int i = 0; i < 64; ++i) acc[h][i] = 0;
      for (int step = 0; step < steps; ++step, ++turn) {
        const int stage = turn % R::stages;
        barrierWait(full + stage, turn / R::stages & 1);
        const uint32_t x = sharedAddress(ring + stage * R::bytes) + static_cast<uint32_t>(warpgroup - 1) * 64 * kTileRowBytes, w = sharedAddress(ring + stage * R::bytes + R::bytesX);
        wgmmaFence();
#pragma unroll
        for (int k = 0; k < kWgmmaStep; k += 16) {
          const uint64_t a = matrixDescriptor(x + innerAdvance(k), 16, 8 * kTileRowBytes);
#pragma unroll
          for (int h = 0; h < BN / 128; ++h) {
            const uint32_t at = w + h * 128 * kTileRowBytes;
            const uint64_t b = inner ? matrixDescriptor(at + innerAdvance(k), 16, 8 * kTileRowBytes) : matrixDescriptor(at + outerAdvance(k), kBoxBytes, 8 * kTileRowBytes);
            wgmma<inner ? 0 : 1>(acc[h], a, b);
          }
        }
        wgmmaCommit();
        wgmmaWait<1>();  // the step before this one is done: its stage is free
        if (step > 0 && tid == 0) barrierArrive(empty + (turn - 1) % R::stages);
      }
      wgmmaWait<0>();
      if (tid == 0) barrierArrive(empty + (turn - 1) % R::stages);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = m0 + (warpgroup - 1) * 64 + warp * 16 + half * 8 + lane / 4;
        if (row >= g.m) continue;
#pragma unroll
        for (int h = 0; h < BN / 128; ++h)
#pragma unroll
          for (int j = 0; j < 16; ++j) {
            const int col = n0 + h * 128 + j * 8 + lane % 4 * 2;
            if (col >= g.n) continue;
            const bool both = col + 1 < g.n;
            float v[2] = {acc[h][j * 4 + half * 2], acc[h][j * 4 + half * 2 + 1]};
            if (g.bias) {
              v[0] += g.bias[col];
              if (both) v[1] += g.bias[col + 1];
            }
            if (g.residual) {
              const float* r = g.residual + row * g.ldr + col;
              v[0] += r[0];
              if (both) v[1] += r[1];
            }
            if (g.floats) {
              float* y = static_cast<float*>(g.y) + row * g.ldy + col;
              if (both) *reinterpret_cast<float2*>(y) = make_float2(v[0], v[1]);
              else y[0] = v[0];
            } else {
              Bf16* y = static_cast<Bf16*>(g.y) + row * g.ldy + col;
              if (both) *reinterpret_cast<uint32_t*>(y) = pack2(v[0], v[1]);
              else put(y[0], v[0]);
            }
          }
      }
    }
  }
#endif
}

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode encoder() {
  static const Encode found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult status{};
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &status);
    return error == cudaSuccess && status == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  return found;
}

/// [outer][inner] bf16 with `ld` elements a row, read in boxes of boxOuter x 64.
bool describe(CUtensorMap& map, const void* data, int inner, int outer, long ld, int boxOuter) {
  const cuuint64_t extent[2] = {static_cast<cuuint64_t>(inner), static_cast<cuuint64_t>(outer)}, strides[1] = {static_cast<cuuint64_t>(ld) * 2};
  const cuuint32_t box[2] = {kWgmmaStep, static_cast<cuuint32_t>(boxOuter)}, steps[2] = {1, 1};
  return encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(data), extent, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <Product product, int BN>
bool start(const Stream& stream, const GemmArgs& g, int multiprocessors) {
  constexpr bool inner = product == Product::Forward;
  CUtensorMap x, w, x2, w2;
  const auto weight = [&](CUtensorMap& map, const void* data, int k, long ld) { return inner ? describe(map, data, k, g.n, ld, BN) : describe(map, data, g.n, k, ld, 64); };
  if (!describe(x, g.x, g.k, g.m, g.ldx, kRows) || !weight(w, g.w, g.k, g.ldw)) return false;
  if (g.k2 > 0) {
    if (!describe(x2, g.x2, g.k2, g.m, g.ldx2, kRows) || !weight(w2, g.w2, g.k2, g.ldw2)) return false;
  } else {
    x2 = x;
    w2 = w;
  }
  const int tiles = ((g.m + kRows - 1) / kRows) * ((g.n + BN - 1) / BN);
  launch(multiply<product, BN>, dim3(static_cast<unsigned>(tiles < multiprocessors ? tiles : multiprocessors)), dim3(kThreads), Ring<BN>::shared, stream.get(), x, w, x2, w2, g);
  return true;
}

/// Share of the device that works when `tiles` of BN columns are dealt out.
double busy(const GemmArgs& g, int BN, int multiprocessors) {
  const int tiles = ((g.m + kRows - 1) / kRows) * ((g.n + BN - 1) / BN), rounds = (tiles + multiprocessors - 1) / multiprocessors;
  const double used = static_cast<double>(g.m) * g.n / (static_cast<double>(rounds) * multiprocessors * kRows * BN);
  return BN == 256 ? used : 0.93 * used;  // the narrower tile reads its operands more often
}

}  // namespace

bool gemmWgmma(const Stream& stream, Product product, const GemmArgs& g) {
  static const int multiprocessors = [] {
    cudaDeviceProp p;
    return cudaGetDeviceProperties(&p, 0) == cudaSuccess ? p.multiProcessorCount : 1;
  }();
  if (product == Product::Outer || g.splits > 1 || !encoder()) return false;
  for (const void* p : {g.x, g.w, g.x2, g.w2})
    if (reinterpret_cast<uintptr_t>(p) % 16) return false;
  if (g.ldx % 8 || g.ldw % 8 || g.ldx2 % 8 || g.ldw2 % 8) return false;
  const bool wide = busy(g, 256, multiprocessors) >= busy(g, 128, multiprocessors);
  if (product == Product::Forward) return wide ? start<Product::Forward, 256>(stream, g, multiprocessors) : start<Product::Forward, 128>(stream, g, multiprocessors);
  return wide ? start<Product::Gradient, 256>(stream, g, multiprocessors) : start<Product::Gradient, 128>(stream, g, multiprocessors);
}

}  // namespace cuda
}  // namespace hindsight
