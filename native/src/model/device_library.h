// The accelerator library beside the addon, opened only when it is wanted and can work. It is a plain
// shared library and no second addon: its kernels are then tested by a C++ program where there is no
// Node, and scheduler, adapters' files and the rules of requests stay in one place.
#pragma once
#include <string>

#include "model/device.h"

namespace hindsight {

/// Empty where `device: cuda` can work, else one sentence that says why not and what to do.
std::string whyNoDevice();
/// @throws Failure DEVICE_UNAVAILABLE with that sentence
const DeviceLibrary& deviceLibrary();

}  // namespace hindsight
