#include "kernels/cuda/lora.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void pack(const LoraPiece* pieces, const float* flat, T* packed) {
  const LoraPiece p = pieces[blockIdx.y];
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= static_cast<size_t>(p.rows) * p.cols) return;
  put(packed[p.packed + i / p.cols * p.ld + i % p.cols], p.scale * flat[p.flat + i]);
}

__global__ void unpackGradients(const LoraPiece* pieces, const float* packed, size_t base, float* gradient) {
  const LoraPiece p = pieces[blockIdx.y];
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= static_cast<size_t>(p.rows) * p.cols) return;
  gradient[p.flat + i] += p.scale * packed[p.packed - base + i / p.cols * p.ld + i % p.cols];
}

/// Each block its stretch in one order, then one thread the blocks in order.
__global__ void __launch_bounds__(kThreads) squares(const float* g, size_t n, double* parts) {
  double* sums = reinterpret_cast<double*>(sharedMemory());
  const size_t each = (n + gridDim.x - 1) / gridDim.x, first = blockIdx.x * each, last = first + each < n ? first + each : n;
  double sum = 0;
  for (size_t i = first + threadIdx.x; i < last; i += kThreads) sum += static_cast<double>(g[i]) * g[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    sum = 0;
    for (int i = 0; i < kThreads; ++i) sum += sums[i];
    parts[blockIdx.x] = sum;
  }
}
__global__ void root(const double* parts, float* norm) {
  double sum = 0;
  for (int i = 0; i < kNormParts; ++i) sum += parts[i];
  if (threadIdx.x == 0) norm[0] = static_cast<float>(sqrt(sum));
}

__global__ void step(float* w, float* m, float* v, float* g, size_t n, AdamSettings s, const float* norm) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  const float length = norm[0];
  if (i >= n || !(length < 3e38f)) return;
  const float clip = s.clipNorm > 0 && length > s.clipNorm ? s.clipNorm / (length + 1e-6f) : 1.0f, grad = g[i] * clip;
  const float first = s.beta1 * m[i] + (1 - s.beta1) * grad, second = s.beta2 * v[i] + (1 - s.beta2) * grad * grad;
  m[i] = first;
  v[i] = second;
  w[i] = w[i] * (1 - s.lr * s.weightDecay) - s.lr * (first / s.correction1) / (sqrtf(second / s.correction2) + s.eps);
  g[i] = 0;
}

}  // namespace

template <class T>
void packLora(const Stream& stream, const LoraPiece* pieces, int count, int largest, const float* flat, T* packed) {
  launch(pack<T>, dim3(blocksFor(largest, kThreads), static_cast<unsigned>(count)), dim3(kThreads), 0, stream.get(), pieces, flat, packed);
}
template void packLora<float>(const Stream&, const LoraPiece*, int, int, const float*, float*);
template void packLora<Bf16>(const Stream&, const LoraPiece*, int, int, const float*, Bf16*);

void addGradients(const Stream& stream, const LoraPiece* pieces, int count, int largest, const float* packed, size_t base, float* gradient) {
  launch(unpackGradients, dim3(blocksFor(largest, kThreads), static_cast<unsigned>(count)), dim3(kThreads), 0, stream.get(), pieces, packed, base, gradient);
}

void gradientNorm(const Stream& stream, const float* g, size_t n, double* scratch, float* norm) {
  launch(squares, dim3(kNormParts), dim3(kThreads), kThreads * sizeof(double), stream.get(), g, n, scratch);
  launch(root, dim3(1), dim3(32), 0, stream.get(), static_cast<const double*>(scratch), norm);
}

void adamw(const Stream& stream, float* w, float* m, float* v, float* g, size_t n, const AdamSettings& settings, const float* norm) {
  launch(step, dim3(blocksFor(n, kThreads)), dim3(kThreads), 0, stream.get(), w, m, v, g, n, settings, norm);
}

}  // namespace cuda
}  // namespace hindsight
