// What this process has in memory, and the most it ever had.
#pragma once
#include <sys/resource.h>

#include <cstddef>
#if defined(__linux__)
#include <cstdio>
#endif

namespace hindsight {

#if defined(__linux__)
/// A line of /proc/self/status in bytes, or 0.
inline size_t statusBytes(const char* format) {
  size_t kilobytes = 0;
  if (FILE* file = std::fopen("/proc/self/status", "r")) {
    char line[256];
    while (!kilobytes && std::fgets(line, sizeof line, file))
      if (std::sscanf(line, format, &kilobytes) != 1) kilobytes = 0;
    std::fclose(file);
  }
  return kilobytes * 1024;
}
#endif

inline size_t peakResidentBytes() {
#if defined(__linux__)
  // getrusage's figure begins with that of the process that started this one.
  if (const size_t bytes = statusBytes("VmHWM: %zu kB")) return bytes;
#endif
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  return static_cast<size_t>(usage.ru_maxrss);
#else
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
#endif
}

/// Now; where the system does not say, the most there ever was.
inline size_t residentBytes() {
#if defined(__linux__)
  if (const size_t bytes = statusBytes("VmRSS: %zu kB")) return bytes;
#endif
  return peakResidentBytes();
}

}  // namespace hindsight
