#include "kernels/cuda/formats.h"

#include <cmath>
#include <cstring>

namespace hindsight {
namespace cuda {
namespace {

constexpr float kNf4[16] = {HINDSIGHT_NF4_VALUES};

uint16_t roundBf16(float x) {
  uint32_t bits = toBits(x);
  if (x != x) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float asBf16(float x) { return fromBits(static_cast<uint32_t>(roundBf16(x)) << 16); }

unsigned nearestCode(float x) {
  unsigned code = 0;
  while (code < 15 && x > 0.5f * (kNf4[code] + kNf4[code + 1])) ++code;
  return code;
}

float largest(const float* x, int count) {
  float top = 0;
  for (int i = 0; i < count; ++i) top = std::fmax(top, std::fabs(x[i]));
  return top;
}

}  // namespace

void quantize(Format format, const float* w, int n, int k, unsigned char* data, float* scale) {
  const size_t pitch = rowPitch(format, k);
  const int scales = scalesPerRow(format, k);
  for (int r = 0; r < n; ++r) {
    const float* row = w + static_cast<size_t>(r) * k;
    unsigned char* out = data + r * pitch;
    if (format == Format::Fp32) std::memcpy(out, row, pitch);
    else if (format == Format::Bf16)
      for (int i = 0; i < k; ++i) reinterpret_cast<uint16_t*>(out)[i] = roundBf16(row[i]);
    else if (format == Format::Int8) {
      const float top = largest(row, k);
      scale[r] = top / 127;
      std::memset(out, 0, pitch);
      for (int i = 0; i < k; ++i) reinterpret_cast<signed char*>(out)[i] = static_cast<signed char>(top > 0 ? std::lrint(row[i] * (127 / top)) : 0);
    } else {
      std::memset(out, 0x77, pitch);  // code 7 is zero
      for (int b = 0; b < scales; ++b) {
        const int first = b * kNf4Block, count = k - first < kNf4Block ? k - first : kNf4Block;
        const float top = largest(row + first, count);
        scale[static_cast<size_t>(r) * scales + b] = top;
        for (int i = first; i < first + count; ++i) {
          const unsigned code = top > 0 ? nearestCode(row[i] / top) : 7;
          out[i / 2] = static_cast<unsigned char>(i % 2 ? (out[i / 2] & 0x0f) | code << 4 : (out[i / 2] & 0xf0) | code);
        }
      }
    }
  }
}

float dequantized(Format format, const unsigned char* data, const float* scale, int k, int row, int col) {
  const unsigned char* at = data + row * rowPitch(format, k);
  switch (format) {
    case Format::Fp32: {
      float x;
      std::memcpy(&x, at + static_cast<size_t>(col) * 4, 4);
      return x;
    }
    case Format::Bf16: return fromBits(static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(at)[col]) << 16);
    case Format::Int8: return asBf16(reinterpret_cast<const signed char*>(at)[col] * scale[row]);
    default: return asBf16(kNf4[at[col / 2] >> (col % 2 * 4) & 15] * scale[static_cast<size_t>(row) * scalesPerRow(format, k) + col / kNf4Block]);
  }
}

}  // namespace cuda
}  // namespace hindsight
