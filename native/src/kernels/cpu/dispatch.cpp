// Chooses the op table by what this processor can run (cpuid), never by what it was built on.
#include "kernels/cpu/ops.h"

namespace hindsight {

#if defined(__x86_64__)
namespace {
bool hasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool hasAvx512() {
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
}  // namespace
#endif

const Ops* opsFor(Isa isa) {
  switch (isa) {
    case Isa::Reference: return referenceOps();
    case Isa::Portable: return portableOps();
#if defined(__x86_64__)
    case Isa::Avx2: return hasAvx2() ? avx2Ops() : nullptr;
    case Isa::Avx512: return hasAvx512() ? avx512Ops() : nullptr;
#else
    default: return nullptr;
#endif
  }
  return nullptr;
}

Isa bestIsa() {
  if (opsFor(Isa::Avx512)) return Isa::Avx512;
  if (opsFor(Isa::Avx2)) return Isa::Avx2;
  return Isa::Portable;
}

}  // namespace hindsight
