// Which kernel a product runs on, and the sum of its slices.
#include "kernels/cuda/gemm.h"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/cuda/cublaslt.h"

namespace hindsight {
namespace cuda {
namespace {

Backend chosen = Backend::Mma;
std::string reason = "mma.sync kernels";

template <class T>
__global__ void sum(const float* slices, int splits, int rows, int n, T* out, long ldo) {
  const long i = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x, size = static_cast<long>(rows) * n;
  if (i >= size) return;
  float v = 0;
  for (int s = 0; s < splits; ++s) v += slices[s * size + i];
  put(out[i / n * ldo + i % n], v);
}

/// Products of the self-check on both kernels; @returns the largest difference.
float wgmmaDisagreement(const Stream& stream) {
  constexpr int m = 384, n = 640, k = 448, k2 = 64;
  const size_t sizes[] = {size_t{m} * k, size_t{n} * k, size_t{m} * k2, size_t{n} * k2};
  std::vector<DeviceArray<Bf16>> in;
  uint32_t state = 7;
  for (const size_t size : sizes) {
    std::vector<Bf16> host(size);
    for (Bf16& x : host) {
      state = state * 1664525u + 1013904223u;
      x.bits = static_cast<uint16_t>(toBits(static_cast<float>(state >> 8) * (2.0f / 16777216.0f) - 1.0f) >> 16);
    }
    in.emplace_back(size);
    stream.upload(in.back().get(), host.data(), size);
    stream.wait();
  }
  float worst = 0;
  for (const Product product : {Product::Forward, Product::Gradient}) {
    const bool forward = product == Product::Forward;
    const int outputs = forward ? n : k, summed = forward ? k : n;
    DeviceArray<float> y[2] = {DeviceArray<float>(size_t{m} * outputs), DeviceArray<float>(size_t{m} * outputs)};
    GemmArgs g;
    g.m = m;
    g.n = outputs;
    g.k = summed;
    g.k2 = k2;
    DeviceArray<Bf16> dy(size_t{m} * n);
    stream.copy(dy.get(), in[1].get(), size_t{m} * n < sizes[1] ? size_t{m} * n : sizes[1]);
    g.x = forward ? in[0].get() : dy.get();
    g.ldx = summed;
    g.w = in[1].get();
    g.ldw = k;
    g.x2 = in[2].get();
    g.ldx2 = k2;
    g.w2 = in[3].get();
    g.ldw2 = forward ? k2 : k;
    g.ldy = outputs;
    g.floats = true;
    g.rows = n;
    g.y = y[0].get();
    gemmMma(stream, product, Format::Bf16, g);
    g.y = y[1].get();
    if (!gemmWgmma(stream, product, g)) return INFINITY;
    std::vector<float> a(size_t{m} * outputs), b(a.size());
    stream.download(a.data(), y[0].get(), a.size());
    stream.download(b.data(), y[1].get(), b.size());
    stream.wait();
    for (size_t i = 0; i < a.size(); ++i) {
      const float error = std::fabs(a[i] - b[i]) / (1 + std::fabs(a[i]));
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

}  // namespace

Backend gemmBackend() { return chosen; }
const std::string& gemmBackendReason() { return reason; }

void chooseGemmBackend(const Stream& stream) {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const char* forced = std::getenv("HINDSIGHT_GEMM");
  const std::string wish = forced ? forced : "";
  chosen = Backend::Mma;
  reason = "mma.sync kernels";
  if (wish == "mma") return;
  if (wish == "cublaslt") {
    if (openCublasLt()) {
      chosen = Backend::CublasLt;
      reason = "cuBLASLt, as HINDSIGHT_GEMM asks";
    } else {
      reason = "mma.sync kernels, because HINDSIGHT_GEMM asks for cuBLASLt and no libcublasLt was found";
    }
    return;
  }
  if (device.major != 9) return;
  float error = INFINITY;
  std::string failure;
  try {
    error = wgmmaDisagreement(stream);
  } catch (const CudaError& thrown) {
    failure = thrown.what();
  }
  if (error < 1e-3f) {
    chosen = Backend::Wgmma;
    reason = "wgmma kernels, which agreed with mma.sync at start";
  } else {
    reason = "mma.sync kernels, slower than this GPU allows, because the wgmma kernel's self-check failed (" + (failure.empty() ? "difference " + std::to_string(error) : failure) + ")";
  }
}

template <>
void gemm<float>(const Stream& stream, Product product, Format, const GemmArgs& g) {
  gemmSimt(stream, product, g);
}
template <>
void gemm<Bf16>(const Stream& stream, Product product, Format format, const GemmArgs& g) {
  const bool large = format == Format::Bf16 && g.m > 64 && g.n > 64 && g.splits == 1 && product != Product::Outer;
  if (large && chosen == Backend::Wgmma && gemmWgmma(stream, product, g)) return;
  if (large && chosen == Backend::CublasLt && gemmCublasLt(stream, product, g)) return;
  gemmMma(stream, product, format, g);
}

template <class T>
void sumSlices(const Stream& stream, const float* slices, int splits, int rows, int n, T* out, long ldo) {
  launch(sum<T>, dim3(blocksFor(static_cast<size_t>(rows) * n, 256)), dim3(256), 0, stream.get(), slices, splits, rows, n, out, ldo);
}
template void sumSlices<float>(const Stream&, const float*, int, int, int, float*, long);
template void sumSlices<Bf16>(const Stream&, const float*, int, int, int, Bf16*, long);

int splitsFor(int m, int n, int k, int multiprocessors) {
  const int tiles = ((m + 63) / 64) * ((n + 63) / 64), most = k / 256 > 0 ? k / 256 : 1;
  int splits = (2 * multiprocessors + tiles - 1) / tiles;
  if (splits > most) splits = most;
  return splits > 32 ? 32 : splits < 1 ? 1 : splits;
}

}  // namespace cuda
}  // namespace hindsight
