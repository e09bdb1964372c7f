#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdint>

namespace hindsight {
namespace cuda {
namespace {

// The few names of its interface that are needed; values from its documentation.
enum { kOpN = 0, kOpT = 1, kComputeFloat = 68, kRealFloat = 0, kRealBf16 = 14, kTransposeA = 3, kTransposeB = 4, kMaxWorkspace = 1 };
struct Handles;
using Desc = void*;

struct Library {
  Handles* handle = nullptr;
  int (*create)(Handles**) = nullptr;
  int (*descCreate)(Desc*, int, int) = nullptr;
  int (*descSet)(Desc, int, const void*, size_t) = nullptr;
  int (*descDestroy)(Desc) = nullptr;
  int (*layoutCreate)(Desc*, int, uint64_t, uint64_t, int64_t) = nullptr;
  int (*layoutDestroy)(Desc) = nullptr;
  int (*matmul)(Handles*, Desc, const void*, const void*, Desc, const void*, Desc, const void*, const void*, Desc, void*, Desc, const void*, void*, size_t, cudaStream_t) = nullptr;
};

template <class F>
bool find(void* library, const char* name, F& to) {
  to = reinterpret_cast<F>(dlsym(library, name));
  return to != nullptr;
}

const Library* library() {
  static const Library* opened = []() -> const Library* {
    void* so = nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"})
      if ((so = dlopen(name, RTLD_NOW | RTLD_LOCAL)) != nullptr) break;
    if (!so) return nullptr;
    auto* l = new Library();
    const bool whole = find(so, "cublasLtCreate", l->create) && find(so, "cublasLtMatmulDescCreate", l->descCreate) && find(so, "cublasLtMatmulDescSetAttribute", l->descSet) &&
                       find(so, "cublasLtMatmulDescDestroy", l->descDestroy) && find(so, "cublasLtMatrixLayoutCreate", l->layoutCreate) &&
                       find(so, "cublasLtMatrixLayoutDestroy", l->layoutDestroy) && find(so, "cublasLtMatmul", l->matmul);
    return whole && l->create(&l->handle) == 0 ? l : nullptr;
  }();
  return opened;
}

/// Column-major D[rows, cols] = op(A) op(B) + beta D.
bool product(const Library& l, const Stream& stream, int rows, int cols, int summed, const void* a, long lda, int opA, const void* b, long ldb, int opB, float beta, void* d, long ldd, int typeD) {
  Desc op = nullptr, la = nullptr, lb = nullptr, ld = nullptr;
  const float alpha = 1;
  bool good = l.descCreate(&op, kComputeFloat, kRealFloat) == 0 && l.descSet(op, kTransposeA, &opA, sizeof opA) == 0 && l.descSet(op, kTransposeB, &opB, sizeof opB) == 0 &&
              l.layoutCreate(&la, kRealBf16, opA == kOpT ? summed : rows, opA == kOpT ? rows : summed, lda) == 0 &&
              l.layoutCreate(&lb, kRealBf16, opB == kOpT ? cols : summed, opB == kOpT ? summed : cols, ldb) == 0 && l.layoutCreate(&ld, typeD, rows, cols, ldd) == 0;
  good = good && l.matmul(l.handle, op, &alpha, a, la, b, lb, &beta, d, ld, d, ld, nullptr, nullptr, 0, stream.get()) == 0;
  for (const Desc layout : {la, lb, ld})
    if (layout) l.layoutDestroy(layout);
  if (op) l.descDestroy(op);
  return good;
}

}  // namespace

bool openCublasLt() { return library() != nullptr; }

bool gemmCublasLt(const Stream& stream, Product kind, const GemmArgs& g) {
  const Library* l = library();
  if (!l || g.bias || g.splits > 1 || (g.residual && (!g.floats || g.ldr != g.ldy))) return false;
  // Row-major Y[m,n] is column-major [n,m]: the weight comes first.
  const int typeD = g.floats ? kRealFloat : kRealBf16, opW = kind == Product::Forward ? kOpT : kOpN, opX = kind == Product::Outer ? kOpT : kOpN;
  float beta = 0;
  if (g.residual) {
    if (g.residual != g.y) stream.copy(static_cast<float*>(g.y), g.residual, static_cast<size_t>(g.m) * g.ldy);
    beta = 1;
  }
  if (!product(*l, stream, g.n, g.m, g.k, g.w, g.ldw, opW, g.x, g.ldx, opX, beta, g.y, g.ldy, typeD)) return false;
  return g.k2 == 0 || product(*l, stream, g.n, g.m, g.k2, g.w2, g.ldw2, opW, g.x2, g.ldx2, opX, 1, g.y, g.ldy, typeD);
}

}  // namespace cuda
}  // namespace hindsight
