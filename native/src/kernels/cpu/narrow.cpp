#include "kernels/cpu/narrow.h"

#include <cmath>
#include <cstring>

namespace hindsight {

size_t narrowBytes(Dtype dtype, int n, int k) {
  return narrowPanels(n) * kNarrowPanel * static_cast<size_t>(padded4(k)) * (dtype == Dtype::Bf16 ? 2 : 1);
}

void packBf16(const float* w, int n, int k, uint16_t* out) {
  const size_t stride = static_cast<size_t>(padded4(k)) * kNarrowPanel;
  for (int row = 0; row < n; ++row) {
    uint16_t* to = out + row / kNarrowPanel * stride + row % kNarrowPanel * 2;
    const float* from = w + static_cast<size_t>(row) * k;
    for (int i = 0; i < k; ++i) {
      uint32_t bits;
      std::memcpy(&bits, from + i, 4);
      bits += 0x7fff + (bits >> 16 & 1);
      to[static_cast<size_t>(i / 2) * (2 * kNarrowPanel) + i % 2] = static_cast<uint16_t>(bits >> 16);
    }
  }
}

void packInt8(const float* w, int n, int k, int8_t* out, float* scale, int32_t* offset) {
  const size_t stride = static_cast<size_t>(padded4(k)) * kNarrowPanel;
  for (int row = 0; row < n; ++row) {
    int8_t* to = out + row / kNarrowPanel * stride + row % kNarrowPanel * 4;
    const float* from = w + static_cast<size_t>(row) * k;
    float top = 0;
    for (int i = 0; i < k; ++i) top = std::fabs(from[i]) > top ? std::fabs(from[i]) : top;
    const float inverse = top > 0 ? 127.0f / top : 0.0f;
    int32_t sum = 0;
    for (int i = 0; i < k; ++i) {
      const int value = static_cast<int>(std::nearbyint(from[i] * inverse));
      to[static_cast<size_t>(i / 4) * (4 * kNarrowPanel) + i % 4] = static_cast<int8_t>(value);
      sum += value;
    }
    scale[row] = top / 127.0f;
    offset[row] = 128 * sum;
  }
}

}  // namespace hindsight
