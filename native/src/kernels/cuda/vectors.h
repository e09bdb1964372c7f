// Eight neighbouring values at a time: 16 bytes of bf16.
#pragma once
#include "kernels/cuda/formats.h"

namespace hindsight {
namespace cuda {

/// 8 neighbouring values of x.
__device__ __forceinline__ void load8(const Bf16* p, float (&out)[8]) {
  const uint4 v = *reinterpret_cast<const uint4*>(p);
  const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = low2(words[i]);
    out[2 * i + 1] = high2(words[i]);
  }
}
__device__ __forceinline__ void load8(const float* p, float (&out)[8]) {
  const float4 a = reinterpret_cast<const float4*>(p)[0], b = reinterpret_cast<const float4*>(p)[1];
  out[0] = a.x; out[1] = a.y; out[2] = a.z; out[3] = a.w;
  out[4] = b.x; out[5] = b.y; out[6] = b.z; out[7] = b.w;
}

/// 8 values of weight row `n` from column k, rounded as the matrix products round them.
template <Format format>
__device__ __forceinline__ void weight8(const unsigned char* row, const float* scale, const float* codes, int k, float (&out)[8]) {
  if (format == Format::Fp32) {
    load8(reinterpret_cast<const float*>(row) + k, out);
  } else if (format == Format::Bf16) {
    const uint4 v = loadStreaming(reinterpret_cast<const uint4*>(row + 2l * k));
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = low2(words[i]);
      out[2 * i + 1] = high2(words[i]);
    }
  } else if (format == Format::Int8) {
    const uint2 v = loadStreaming(reinterpret_cast<const uint2*>(row + k));
    const float s = scale[0];
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = static_cast<float>(static_cast<signed char>((i < 4 ? v.x : v.y) >> (i % 4 * 8) & 255)) * s;
  } else {
    const uint32_t v = loadStreaming(reinterpret_cast<const uint32_t*>(row + k / 2));
    const float s = scale[k / kNf4Block];
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = codes[v >> (i * 4) & 15] * s;
  }
  if (format == Format::Int8 || format == Format::Nf4) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t two = pack2(out[2 * i], out[2 * i + 1]);
      out[2 * i] = low2(two);
      out[2 * i + 1] = high2(two);
    }
  }
}

__device__ __forceinline__ void store8(Bf16* p, const float (&v)[8]) { *reinterpret_cast<uint4*>(p) = make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7])); }
__device__ __forceinline__ void store8(float* p, const float (&v)[8]) {
  float4 *to = reinterpret_cast<float4*>(p), a, b;
  a.x = v[0]; a.y = v[1]; a.z = v[2]; a.w = v[3];
  b.x = v[4]; b.y = v[5]; b.z = v[6]; b.w = v[7];
  to[0] = a;
  to[1] = b;
}

}  // namespace cuda
}  // namespace hindsight
