// LoRA adapters on the device: packing into the operands of the products, gradients back, AdamW.
//
// The linears that read the same rows form a group (q, k, v; o; gate, up; down). A group's A lie one
// under the other, [k2][K]; its B form one block-diagonal [N][k2], scaled by alpha / r, so that x A^T
// times B^T is k2 more columns of the base product. k2 is a multiple of 32; what no adapter fills is 0.
#pragma once
#include <cstddef>

#include "kernels/cuda/lanes.h"
#include "kernels/cuda/runtime.h"

namespace hindsight {
namespace cuda {

/// One tensor's way between the flat fp32 buffer and the packed one.
struct LoraPiece {
  size_t flat = 0, packed = 0;  // first elements
  int rows = 0, cols = 0, ld = 0;
  float scale = 1;              // packed = scale * flat; B's carries alpha / r
};

/// packed = scale * flat for every piece; the rest of `packed` stays as it is (zero).
template <class T>
void packLora(const Stream& stream, const LoraPiece* pieces, int count, int largest, const float* flat, T* packed);
/// gradient[flat] += scale * packed[packed - base].
void addGradients(const Stream& stream, const LoraPiece* pieces, int count, int largest, const float* packed, size_t base, float* gradient);

struct AdamSettings {
  float lr, beta1, beta2, eps, weightDecay, clipNorm;
  float correction1, correction2;  // 1 - beta^step
};
/// norm[0] = |g|, in one order; `scratch` holds kNormParts doubles.
constexpr int kNormParts = 256;
void gradientNorm(const Stream& stream, const float* g, size_t n, double* scratch, float* norm);
/// PyTorch's AdamW over one flat buffer, the gradient clipped to clipNorm (0: not) and then zeroed. Does
/// nothing where norm[0] is not finite.
void adamw(const Stream& stream, float* w, float* m, float* v, float* g, size_t n, const AdamSettings& settings, const float* norm);

}  // namespace cuda
}  // namespace hindsight
