// Matrix products. T is bf16 or, for parity, fp32; sums are fp32. M rows of tokens, N outputs, K inputs;
// the second pair of operands is LoRA's, as more columns of the same sum:
//   forward   Y[M,N]  = X[M,K] W[N,K]^T + X2[M,K2] W2[N,K2]^T (+ bias, + residual)
//   gradient  dX[M,K] = dY[M,N] W[N,K]  + dX2[M,K2] W2[K2,K]
//   outer     G[P,Q]  = P[M,P]^T Q[M,Q]
// Widths that are read 16 bytes at a time (K, K2, N of gradients, P, Q, and every ld) are multiples of 8;
// rows of `x` are readable and zero up to the next multiple of 8 of its width.
//
// Invariant: the order in which an output is summed depends on K and on `splits` alone, so a row gives
// the same bits in every batch of more than kVectorRows rows.
#pragma once
#include "kernels/cuda/formats.h"
#include "kernels/cuda/runtime.h"

namespace hindsight {
namespace cuda {

/// Most rows of the vector path (decode).
constexpr int kVectorRows = 8;

enum class Product { Forward, Gradient, Outer };

struct GemmArgs {
  int m = 0, n = 0, k = 0, k2 = 0;  // of the product as computed: Y[m,n], k summed
  const void *x = nullptr, *x2 = nullptr;  // T
  long ldx = 0, ldx2 = 0;
  const void *w = nullptr, *w2 = nullptr;  // w in its format, w2 in T
  const float* scale = nullptr;            // of a quantised w
  long ldw = 0, ldw2 = 0;                  // elements; of a quantised w, bytes
  int scales = 0;                          // per row of w
  const float *bias = nullptr, *residual = nullptr;
  long ldr = 0;
  void* y = nullptr;
  long ldy = 0;
  bool floats = false;  // y is fp32 whatever T is
  int splits = 1;       // > 1: y is fp32 [splits][m][n], to be summed by sumSlices
  int rows = 0;         // of w as stored, where a tile could read beyond its last one
};

/// Which kernels a process uses for large bf16 products; set once, before the first product.
enum class Backend { Mma, Wgmma, CublasLt };
Backend gemmBackend();
/// What was chosen and why, in one sentence.
const std::string& gemmBackendReason();
/// On compute capability 9.0 compares the wgmma kernel with the mma.sync kernel once and uses it only if
/// they agree; HINDSIGHT_GEMM=mma, wgmma or cublaslt forces one.
void chooseGemmBackend(const Stream& stream);

template <class T>
void gemm(const Stream& stream, Product product, Format format, const GemmArgs& g);
/// The mma.sync kernel whatever was chosen (self-check, bench).
void gemmMma(const Stream& stream, Product product, Format format, const GemmArgs& g);
/// compute capability 9.0 only; false where it does not take these shapes.
bool gemmWgmma(const Stream& stream, Product product, const GemmArgs& g);
/// fp32 operands.
void gemmSimt(const Stream& stream, Product product, const GemmArgs& g);

/// out[rows, n] (T, ld ldo) = sum over `splits` slices [rows][n], in order.
template <class T>
void sumSlices(const Stream& stream, const float* slices, int splits, int rows, int n, T* out, long ldo);
/// How many slices fill the device when the output has m x n elements and k are summed.
int splitsFor(int m, int n, int k, int multiprocessors);

/// Decode: up to kVectorRows rows, each with LoRA of its own adapter.
struct GemvArgs {
  int m = 0;
  Weight w;
  const void* x = nullptr;  // T [m][k]
  long ldx = 0;
  const float* residual = nullptr;  // [m][n]
  void* y = nullptr;                // T, or fp32 if `floats`
  long ldy = 0;
  bool floats = false;
  const void* xa = nullptr;                // T [m][ldxa]: this linear's x A^T, or none
  long ldxa = 0;
  const void* const* b = nullptr;          // device table: row -> its B [n][k2], or null
  const int* k2 = nullptr;                 // device: row -> width of its B, 0 = no adapter
};
template <class T>
void gemv(const Stream& stream, const GemvArgs& g);
/// xa[m][0..k2[m]) = x[m] A[m]^T with A [k2][k] of the row's adapter, and zeros up to `width`.
template <class T>
void loraDown(const Stream& stream, int m, int k, const T* x, long ldx, const void* const* a, const int* k2, int width, T* xa);

}  // namespace cuda
}  // namespace hindsight
