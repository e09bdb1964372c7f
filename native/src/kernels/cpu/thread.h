// Compute threads stand one step back behind the thread that serves the event loop: on a machine
// with fewer free cores than threads it would otherwise wait several milliseconds for its turn.
// One step only: each costs a tenth of the processor against other programs.
#pragma once
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hindsight {

inline void yieldToEventLoop() {
#if defined(__linux__)
  // Niceness is per thread on Linux: one more than that of the process's first thread, whatever the
  // user gave the process. Failure only means the priority it was started with.
  const int process = getpriority(PRIO_PROCESS, static_cast<id_t>(getpid()));
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), process + 1);
#endif
}

}  // namespace hindsight
