// Chooses the op table by what this processor can run (cpuid), never by what it was built on.
#include "kernels/cpu/ops.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hindsight {

#if defined(__x86_64__) && !defined(HINDSIGHT_PORTABLE_ONLY)
namespace {
bool hasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool hasAvx512() {
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
Ops avx512With(const char* name, const NarrowOps* narrow) {
  Ops ops = *avx512Ops();
  ops.name = name;
  ops.narrow = narrow;
  return ops;
}
bool hasVnni() { return hasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool hasBf16() { return hasVnni() && __builtin_cpu_supports("avx512bf16"); }
/// A process asks Linux for the matrix registers once, for all its threads; an old kernel, or a signal stack that is too
/// small for them, says no.
bool hasAmx() {
#if defined(__linux__)
  constexpr long request = 0x1023, tileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = hasBf16() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-int8") &&
                              syscall(SYS_arch_prctl, request, tileData) == 0;
  return granted;
#else
  return false;
#endif
}
}  // namespace
#endif

const Ops* opsFor(Isa isa) {
  switch (isa) {
    case Isa::Reference: return referenceOps();
    case Isa::Portable: return portableOps();
#if defined(__x86_64__) && !defined(HINDSIGHT_PORTABLE_ONLY)
    case Isa::Avx2: return hasAvx2() ? avx2Ops() : nullptr;
    case Isa::Avx512: return hasAvx512() ? avx512Ops() : nullptr;
    case Isa::Avx512Vnni: {
      if (!hasVnni()) return nullptr;
      static const Ops ops = avx512With("avx512vnni", avx512VnniProducts());
      return &ops;
    }
    case Isa::Avx512Bf16: {
      if (!hasBf16()) return nullptr;
      static const Ops ops = avx512With("avx512bf16", avx512Bf16Products());
      return &ops;
    }
    case Isa::Avx512Amx: {
      if (!hasAmx()) return nullptr;
      static const Ops ops = avx512With("avx512amx", avx512AmxProducts());
      return &ops;
    }
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
