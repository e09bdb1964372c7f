// Chooses the op table by what this processor can run (cpuid), never by what it was built on.
#include "kernels/cpu/ops.h"

namespace hindsight {

#if defined(__x86_64__) && !defined(HINDSIGHT_PORTABLE_ONLY)
namespace {
bool hasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool hasAvx512() {
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool hasVnni() { return hasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool hasBf16() { return hasVnni() && __builtin_cpu_supports("avx512bf16"); }
}  // namespace
#endif

const Ops* opsFor(Isa isa) {
  switch (isa) {
    case Isa::Reference: return referenceOps();
    case Isa::Portable: return portableOps();
#if defined(__x86_64__) && !defined(HINDSIGHT_PORTABLE_ONLY)
    case Isa::Avx2: return hasAvx2() ? avx2Ops() : nullptr;
    case Isa::Avx512: return hasAvx512() ? avx512Ops() : nullptr;
    case Isa::Avx512Vnni: return hasVnni() ? avx512VnniOps() : nullptr;
    case Isa::Avx512Bf16: return hasBf16() ? avx512Bf16Ops() : nullptr;
#else
    default: return nullptr;
#endif
  }
  return nullptr;
}

Isa bestIsa() {
  Isa best = Isa::Portable;
  for (const Isa isa : kIsas)
    if (isa > best && opsFor(isa)) best = isa;
  return best;
}

}  // namespace hindsight
