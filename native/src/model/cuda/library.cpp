// The library's one door: whether a device can be used, and a model on it.
#include "io/failure.h"
#include "model/cuda/model.h"

namespace hindsight {
namespace cuda {
namespace {

cudaDeviceProp properties() {
  cudaDeviceProp p;
  check(cudaSetDevice(0), "cudaSetDevice");
  check(cudaGetDeviceProperties(&p, 0), "cudaGetDeviceProperties");
  return p;
}

std::string whyNot() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("CUDA is not used: the NVIDIA driver does not serve this build (") + cudaGetErrorString(status) + "); update the driver.";
  if (count == 0) return "CUDA is not used: the NVIDIA driver sees no GPU.";
  cudaDeviceProp p;
  if (cudaGetDeviceProperties(&p, 0) != cudaSuccess) return "CUDA is not used: the GPU does not say what it is; check nvidia-smi.";
  if (p.major < 8) return std::string("CUDA is not used: ") + p.name + " has compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor) + ", and 8.0 is needed (Ampere or newer).";
  return "";
}

std::string name() { return properties().name; }

void checkShape(const ModelConfig& c) {
  for (const auto& item : {std::make_pair("hidden_size", c.hidden), std::make_pair("intermediate_size", c.intermediate), std::make_pair("head_dim", c.headDim)})
    if (item.second % 8 != 0) throw Failure("CONFIG_UNSUPPORTED", std::string("CUDA needs a ") + item.first + " that is a multiple of 8, not " + std::to_string(item.second) + ": use --device cpu for this model.");
  if (c.headDim > kMostHeadDim) throw Failure("CONFIG_UNSUPPORTED", "CUDA takes heads of up to 128 numbers, not " + std::to_string(c.headDim) + ": use --device cpu for this model.");
}

DeviceFacts facts() {
  const cudaDeviceProp p = properties();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  // The context exists already: what the plan reserves for it is not taken from what is free now.
  return {free + kDriverReserve, p.multiProcessorCount};
}

MemoryPlan plan(const ModelConfig& config, const DeviceOptions& options) {
  checkShape(config);
  return planMemory(config, options, facts());
}

DeviceModel* open(const ModelConfig& config, const DeviceOptions& options) {
  const MemoryPlan decided = plan(config, options);
  if (!decided.fits) throw Failure("OUT_OF_MEMORY", decided.sentence);
  const cudaDeviceProp p = properties();
  const std::string name = std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." + std::to_string(p.minor);
  if (decided.linears == DeviceFormat::Fp32) return new CudaModel<float>(config, options, decided, name, p.multiProcessorCount);
  return new CudaModel<Bf16>(config, options, decided, name, p.multiProcessorCount);
}

}  // namespace
}  // namespace cuda
}  // namespace hindsight

extern "C" __attribute__((visibility("default"))) const hindsight::DeviceLibrary* hindsight_device() {
  static const hindsight::DeviceLibrary library{hindsight::kDeviceVersion, hindsight::cuda::whyNot, hindsight::cuda::name, hindsight::cuda::open, hindsight::cuda::plan};
  return &library;
}
