#include "model/device_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "io/failure.h"
#include "io/file.h"

namespace hindsight {
namespace {

constexpr const char* kFile = "hindsight_cuda.so";

struct Opened {
  const DeviceLibrary* library = nullptr;
  std::string problem;
};

/// The folder of this very addon.
std::string ownFolder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&ownFolder), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Opened open() {
  Opened result;
  const char* named = std::getenv("HINDSIGHT_CUDA_LIBRARY");
  const std::string path = named && *named ? named : ownFolder() + "/" + kFile;
#if defined(__APPLE__)
  result.problem = "CUDA is not used: macOS has no NVIDIA driver.";
  return result;
#endif
  // A library named by hand may be the emulator of the tests, which needs no driver.
  if (!(named && *named) && !dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    result.problem = "CUDA is not used: no NVIDIA driver was found (libcuda.so.1).";
    return result;
  }
  if (!fileExists(path)) {
    result.problem = "CUDA is not used: " + path + " is not built; run `npm run build:cuda` where nvcc is.";
    return result;
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const auto entry = handle ? reinterpret_cast<const DeviceLibrary* (*)()>(dlsym(handle, kDeviceEntry)) : nullptr;
  if (!entry) {
    const char* error = dlerror();
    result.problem = "CUDA is not used: " + path + " cannot be opened (" + (error ? error : "unknown") + "); run `npm run build:cuda` again.";
    return result;
  }
  const DeviceLibrary* library = entry();
  if (library->version != kDeviceVersion) {
    result.problem = "CUDA is not used: " + path + " belongs to another version; run `npm run build:cuda` again.";
    return result;
  }
  result.problem = library->whyNot();
  if (result.problem.empty()) result.library = library;
  return result;
}

const Opened& opened() {
  static const Opened once = open();
  return once;
}

}  // namespace

std::string whyNoDevice() { return opened().problem; }

std::string deviceName() { return opened().library ? opened().library->name() : ""; }

const DeviceLibrary& deviceLibrary() {
  if (!opened().library) throw Failure("DEVICE_UNAVAILABLE", opened().problem.substr(0, opened().problem.size() - 1) + ": use --device cpu, or mend that.");
  return *opened().library;
}

}  // namespace hindsight
