// Whether a model fits a device, before anything is allocated, and what has to give so that it does.
// Pure: numbers in, a decision and one sentence out.
#pragma once
#include "model/cuda/layout.h"
#include "model/device.h"

namespace hindsight {
namespace cuda {

/// What the driver keeps for itself beside our allocations: its context and the loaded kernels.
constexpr size_t kDriverReserve = size_t{400} << 20;

struct DeviceFacts {
  size_t freeBytes = 0;
  int multiprocessors = 0;
};

/// Tries bf16, then checkpointing, then int8 and nf4 with checkpointing (only the named one where a format
/// is named), each first with the whole cache of keys and values and then with
/// the smallest useful one.
MemoryPlan planMemory(const ModelConfig& config, const DeviceOptions& options, const DeviceFacts& facts);
/// The buffers' sizes under a plan.
Extent extentOf(const ModelConfig& config, const DeviceOptions& options, const MemoryPlan& plan, int multiprocessors);
Format formatOf(DeviceFormat format);
size_t pageBytes(const ModelConfig& config, size_t element);

}  // namespace cuda
}  // namespace hindsight
