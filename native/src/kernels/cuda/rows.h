// Operations row by row. h: the residual stream, fp32 in every mode; T: activations, bf16 or fp32.
// Widths are multiples of 8.
#pragma once
#include "kernels/cuda/formats.h"
#include "kernels/cuda/runtime.h"

namespace hindsight {
namespace cuda {

/// h[r] = the embedding of tokens[r].
void embed(const Stream& stream, const Weight& table, const int* tokens, int rows, float* h);

/// out[r] = rmsnorm(h[index[r]]) * weight; index null: r; index < 0: zeros.
template <class T>
void rmsnorm(const Stream& stream, const float* h, const int* index, const float* weight, int rows, int n, float eps, T* out);
/// dh[index[r]] (+)= d rmsnorm / dh dy[r]; `copy`, where given, gets the new dh in T.
template <class T>
void rmsnormBackward(const Stream& stream, const float* h, const int* index, const float* weight, const T* dy, int rows, int n, float eps, float* dh, bool add, T* copy);

/// Rotary embedding of the first `heads` heads of a row after an optional norm of each: query heads
/// with qNorm, the kvHeads after them with kNorm. Angles come from cosine, sine [positions][headDim / 2].
struct RopeArgs {
  int rows = 0, heads = 0, kvHeads = 0, headDim = 0;
  float eps = 0;
  const float *qNorm = nullptr, *kNorm = nullptr;  // [headDim] or none
  const float *cosine = nullptr, *sine = nullptr;
  const int* positions = nullptr;
  const void* in = nullptr;  // T, raw outputs of the linears
  long ldIn = 0;
  void* out = nullptr;  // forward: T rotated; backward: the gradient, in place
  long ldOut = 0;
};
template <class T>
void rope(const Stream& stream, const RopeArgs& g);
template <class T>
void ropeBackward(const Stream& stream, const RopeArgs& g);

/// act[r][i] = silu(gate) up, with both = [gate | up], [rows][2n].
template <class T>
void swiglu(const Stream& stream, const T* both, int rows, int n, T* act);
/// dBoth may be both: an element is read before it is written.
template <class T>
void swigluBackward(const Stream& stream, const T* both, const T* dAct, int rows, int n, T* dBoth);

/// out = h in T.
template <class T>
void convert(const Stream& stream, const float* h, size_t count, T* out);

/// Random values of about 1 / sqrt(k) in a weight's own format, for benchmarks.
void randomWeight(const Stream& stream, const Weight& weight, unsigned seed);
void fill(const Stream& stream, float* to, size_t count, float value);

}  // namespace cuda
}  // namespace hindsight
