// The accelerator library beside the addon, opened only when it is wanted and can work. It is a plain
// shared library and no second addon: its kernels are then tested by a C++ program where there is no
// Node, and scheduler, adapters' files and the rules of requests stay in one place.
#pragma once
#include <string>

#include "model/device.h"

namespace hindsight {

/// Empty where `device: cuda` can work, else one sentence that says why not and what to do.
std::string whyNoDevice();
/// What the device that `device: cuda` uses calls itself; empty where there is none.
std::string deviceName();
/// @throws Failure DEVICE_UNAVAILABLE with that sentence
const DeviceLibrary& deviceLibrary();

}  // namespace hindsight
