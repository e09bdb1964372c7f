// Decode's products: one pass over the weights for up to eight rows. A warp owns two outputs; each lane
// reads 16 bytes of weight a turn, and the rows of x come out of the cache.
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/vectors.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kWarps = 4, kOutputs = 2;

template <class T, Format format, int M>
__global__ void __launch_bounds__(kWarps * 32) vector(GemvArgs g, long pitch, int scales) {
  float* codes = reinterpret_cast<float*>(sharedMemory());
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32;
  if (format == Format::Nf4) {
    const float values[16] = {HINDSIGHT_NF4_VALUES};
    float mine = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) mine = i == tid ? values[i] : mine;
    if (tid < 16) codes[tid] = mine;
    __syncthreads();
  }
  const int n0 = (static_cast<int>(blockIdx.x) * kWarps + tid / 32) * kOutputs, k = g.w.k;
  const T* x = static_cast<const T*>(g.x);
  float acc[kOutputs][M];
#pragma unroll
  for (int o = 0; o < kOutputs; ++o)
#pragma unroll
    for (int m = 0; m < M; ++m) acc[o][m] = 0;
  for (int at = lane * 8; at < k; at += 256) {
    float w[kOutputs][8];
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      const int n = n0 + o < g.w.n ? n0 + o : g.w.n - 1;
      weight8<format>(static_cast<const unsigned char*>(g.w.data) + n * pitch, g.w.scale + static_cast<long>(n) * scales, codes, at, w[o]);
    }
#pragma unroll
    for (int m = 0; m < M; ++m) {
      if (m >= g.m) break;
      float v[8];
      load8(x + m * g.ldx + at, v);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o)
#pragma unroll
        for (int i = 0; i < 8; ++i) acc[o][m] += w[o][i] * v[i];
    }
  }
  if (g.xa) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
      if (m >= g.m) break;
      const int width = g.k2[m];
      const T* b = static_cast<const T*>(g.b[m]);
      const T* xa = static_cast<const T*>(g.xa) + m * g.ldxa;
      for (int j = lane; j < width; j += 32)
#pragma unroll
        for (int o = 0; o < kOutputs; ++o)
          if (n0 + o < g.w.n) acc[o][m] += value(b[static_cast<long>(n0 + o) * width + j]) * value(xa[j]);
    }
  }
#pragma unroll
  for (int o = 0; o < kOutputs; ++o)
#pragma unroll
    for (int m = 0; m < M; ++m) {
      if (m >= g.m) break;
      float v = warpSum(acc[o][m]);
      const int n = n0 + o;
      if (lane != 0 || n >= g.w.n) continue;
      if (g.w.bias) v += g.w.bias[n];
      if (g.residual) v += g.residual[static_cast<long>(m) * g.w.n + n];
      if (g.floats) static_cast<float*>(g.y)[m * g.ldy + n] = v;
      else put(static_cast<T*>(g.y)[m * g.ldy + n], v);
    }
}

template <class T>
__global__ void __launch_bounds__(128) down(int k, const T* x, long ldx, const void* const* a, const int* k2, int width, T* xa) {
  const int m = static_cast<int>(blockIdx.y), j = static_cast<int>(blockIdx.x * 4 + threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  float sum = 0;
  if (j < k2[m]) {
    const T* row = static_cast<const T*>(a[m]) + static_cast<long>(j) * k;
    for (int at = lane * 8; at < k; at += 256) {
      float p[8], q[8];
      load8(row + at, p);
      load8(x + m * ldx + at, q);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += p[i] * q[i];
    }
  }
  sum = warpSum(sum);
  if (lane == 0 && j < width) put(xa[static_cast<long>(m) * width + j], sum);
}

template <class T, Format format>
void byRows(const Stream& stream, const GemvArgs& g) {
  const dim3 grid(blocksFor(g.w.n, kWarps * kOutputs)), block(kWarps * 32);
  const long pitch = static_cast<long>(rowPitch(format, g.w.k));
  const int scales = scalesPerRow(format, g.w.k);
  if (g.m == 1) launch(vector<T, format, 1>, grid, block, 64, stream.get(), g, pitch, scales);
  else if (g.m <= 4) launch(vector<T, format, 4>, grid, block, 64, stream.get(), g, pitch, scales);
  else launch(vector<T, format, kVectorRows>, grid, block, 64, stream.get(), g, pitch, scales);
}

}  // namespace

template <>
void gemv<float>(const Stream& stream, const GemvArgs& g) { byRows<float, Format::Fp32>(stream, g); }
template <>
void gemv<Bf16>(const Stream& stream, const GemvArgs& g) {
  if (g.w.format == Format::Bf16) byRows<Bf16, Format::Bf16>(stream, g);
  else if (g.w.format == Format::Int8) byRows<Bf16, Format::Int8>(stream, g);
  else byRows<Bf16, Format::Nf4>(stream, g);
}

template <class T>
void loraDown(const Stream& stream, int m, int k, const T* x, long ldx, const void* const* a, const int* k2, int width, T* xa) {
  launch(down<T>, dim3(blocksFor(width, 4), static_cast<unsigned>(m)), dim3(128), 0, stream.get(), k, x, ldx, a, k2, width, xa);
}
template void loraDown<float>(const Stream&, int, int, const float*, long, const void* const*, const int*, int, float*);
template void loraDown<Bf16>(const Stream&, int, int, const Bf16*, long, const void* const*, const int*, int, Bf16*);

}  // namespace cuda
}  // namespace hindsight
