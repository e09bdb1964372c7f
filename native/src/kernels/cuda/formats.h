// How a frozen weight lies in device memory, and its values.
//   fp32, bf16  [N][K]
//   int8        [N][pitch] bytes, value = q * scale[n]
//   nf4         [N][pitch] bytes of two codes (the low half first), value = kNf4[code] * scale[n][K/64]
// Rows of quantised weights begin at multiples of 16 bytes.
#pragma once
#include <cstddef>

#include "kernels/cuda/lanes.h"

namespace hindsight {
namespace cuda {

enum class Format { Fp32, Bf16, Int8, Nf4 };
/// Values of one nf4 block, which share a scale.
constexpr int kNf4Block = 64;

/// NormalFloat4: quantiles of a normal distribution scaled to [-1, 1] (QLoRA, appendix E).
#define HINDSIGHT_NF4_VALUES                                                                              \
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,        \
      -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,     \
      0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f,              \
      0.7229568362236023f, 1.0f

inline size_t align16(size_t bytes) { return (bytes + 15) / 16 * 16; }
/// Bytes from one row of a weight to the next.
inline size_t rowPitch(Format f, int k) {
  switch (f) {
    case Format::Fp32: return static_cast<size_t>(k) * 4;
    case Format::Bf16: return static_cast<size_t>(k) * 2;
    case Format::Int8: return align16(static_cast<size_t>(k));
    default: return align16(static_cast<size_t>(k + 1) / 2);
  }
}
inline int scalesPerRow(Format f, int k) { return f == Format::Int8 ? 1 : f == Format::Nf4 ? (k + kNf4Block - 1) / kNf4Block : 0; }
inline size_t weightBytes(Format f, int n, int k) { return n * (rowPitch(f, k) + 4 * static_cast<size_t>(scalesPerRow(f, k))); }

/// A weight [n,k] on the device.
struct Weight {
  Format format = Format::Bf16;
  int n = 0, k = 0;
  const void* data = nullptr;
  const float* scale = nullptr;
  const float* bias = nullptr;  // [n] or none
};

/// Host side: rows of floats into a format. `data` holds n * rowPitch bytes, `scale` n * scalesPerRow.
void quantize(Format format, const float* w, int n, int k, unsigned char* data, float* scale);
/// The value a kernel computes with (bf16-rounded where the format is not fp32).
float dequantized(Format format, const unsigned char* data, const float* scale, int k, int row, int col);

}  // namespace cuda
}  // namespace hindsight
