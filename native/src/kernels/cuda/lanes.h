// The instructions our kernels are made of, one function each: on a device a line of PTX, under the
// emulator (native/test/cuda/emulator) an exact emulation of the documented fragment layout. So the
// kernels' own indexing is what runs in both.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace hindsight {
namespace cuda {

/// A bf16 number as its bits.
struct Bf16 {
  uint16_t bits;
};

#ifdef HINDSIGHT_EMULATE
using emulator::copyAsync16;
using emulator::copyAsyncCommit;
using emulator::copyAsyncWait;
using emulator::loadMatrices;
using emulator::loadMatricesTransposed;
using emulator::multiplyAdd;
using emulator::shuffleXor;
using emulator::sharedMemory;
inline float exp2Fast(float x) { return std::exp2(x); }
inline uint32_t pack2(float low, float high) { return emulator::toBf16(low) | static_cast<uint32_t>(emulator::toBf16(high)) << 16; }
template <class V>
V loadStreaming(const V* p) { return *p; }
#elif defined(__CUDACC__)
/// The block's dynamic shared memory, 1 KB aligned.
__device__ __forceinline__ unsigned char* sharedMemory() {
  extern __shared__ __align__(1024) unsigned char hindsightShared[];
  return hindsightShared;
}
__device__ __forceinline__ uint32_t sharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
/// 16 bytes from global to shared memory, zeros where not valid; lands by the matching wait.
__device__ __forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(sharedAddress(shared)), "l"(global), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copyAsyncCommit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// All but the newest `pending` groups of this thread have landed.
template <int pending>
__device__ __forceinline__ void copyAsyncWait() { asm volatile("cp.async.wait_group %0;\n" ::"n"(pending) : "memory"); }
/// ldmatrix.x4: lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void loadMatrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(sharedAddress(row)) : "memory");
}
__device__ __forceinline__ void loadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(sharedAddress(row)) : "memory");
}
/// c += a b, m16n8k16, bf16 into fp32.
__device__ __forceinline__ void multiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <class V>
__device__ __forceinline__ V shuffleXor(V value, int lanes) { return __shfl_xor_sync(0xffffffffu, value, lanes); }
__device__ __forceinline__ float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}
/// Two bf16, the first in the low half.
__device__ __forceinline__ uint32_t pack2(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
/// A weight read once: past the first-level cache.
template <class V>
__device__ __forceinline__ V loadStreaming(const V* p) { return __ldcs(p); }
#endif

__host__ __device__ __forceinline__ float fromBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float f;
  memcpy(&f, &bits, 4);
  return f;
#endif
}
__host__ __device__ __forceinline__ uint32_t toBits(float f) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(f);
#else
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
#endif
}
__host__ __device__ __forceinline__ float low2(uint32_t pair) { return fromBits(pair << 16); }
__host__ __device__ __forceinline__ float high2(uint32_t pair) { return fromBits(pair & 0xffff0000u); }

// One element of activations: fp32 in the parity path, bf16 otherwise.
__host__ __device__ __forceinline__ float value(float x) { return x; }
__host__ __device__ __forceinline__ float value(Bf16 x) { return fromBits(static_cast<uint32_t>(x.bits) << 16); }

#if defined(__CUDACC__) || defined(HINDSIGHT_EMULATE)
__device__ __forceinline__ void put(float& to, float x) { to = x; }
__device__ __forceinline__ void put(Bf16& to, float x) { to.bits = static_cast<uint16_t>(pack2(x, 0.0f)); }

__device__ __forceinline__ float warpSum(float v) {
  for (int i = 16; i > 0; i /= 2) v += shuffleXor(v, i);
  return v;
}
__device__ __forceinline__ float warpMax(float v) {
  for (int i = 16; i > 0; i /= 2) v = fmaxf(v, shuffleXor(v, i));
  return v;
}
/// Sum over a block of `threads`, in one order whatever the block does; `scratch` holds 32 floats.
__device__ __forceinline__ float blockSum(float v, float* scratch) {
  v = warpSum(v);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < static_cast<int>(blockDim.x / 32); ++i) sum += scratch[i];
  return sum;
}
__device__ __forceinline__ float blockMax(float v, float* scratch) {
  v = warpMax(v);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  float top = scratch[0];
  for (int i = 1; i < static_cast<int>(blockDim.x / 32); ++i) top = fmaxf(top, scratch[i]);
  return top;
}

#endif

}  // namespace cuda
}  // namespace hindsight
