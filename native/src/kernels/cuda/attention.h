// Causal attention of packed sequences with grouped query heads, forward and backward.
// Rows of several sequences lie one after the other; a Segment says which rows are one sequence's and at
// which position they begin. Keys and values are either rows of the same batch (training) or lie in
// pages of kPageTokens tokens, found through a table (serving).
// FlashAttention-2 (Dao 2023): scores never leave the multiprocessor; the backward pass recomputes them
// from the log-sum-exp. Its dQ and dK, dV run as two kernels without atomics: 7 products instead of 5 of
// about a tenth of a step, and in return the gradients are the same bits every time.
#pragma once
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/lanes.h"

namespace hindsight {
namespace cuda {

constexpr int kPageTokens = 32;
/// Widest head.
constexpr int kMostHeadDim = 128;
/// Rows of a tile of queries (or of keys, in the backward pass).
constexpr int kAttentionRows = 64;

struct Segment {
  int row0 = 0, rows = 0;  // of the batch
  int start = 0;           // position of row0
  int table = 0;           // first entry of its page table
};
/// One block's part; segment < 0: nothing to do (padding of a captured graph).
struct AttentionTile {
  int segment = -1, row = 0;  // row: within the segment
};

struct AttentionArgs {
  int heads = 0, kvHeads = 0, headDim = 0, rows = 0;  // rows: of the batch, the stride of lse
  float scale = 0;
  const Segment* segments = nullptr;
  const AttentionTile* tiles = nullptr;
  int tileCount = 0;
  const int* segmentOfRow = nullptr;  // [rows], -1: padding; the fp32 path and storePages read it
  const void *q = nullptr, *k = nullptr, *v = nullptr;  // T, rotated q and k
  long ldq = 0, ldk = 0, ldv = 0;
  const int* table = nullptr;  // null: k and v are rows of the batch
  long pageStride = 0;         // elements from page to page
  void* out = nullptr;         // T [rows][heads * headDim]
  long ldo = 0;
  float* lse = nullptr;        // [heads][rows] or none
};

struct AttentionBackwardArgs {
  AttentionArgs forward;         // with out and lse of the forward pass
  const void* dOut = nullptr;    // T, ldo as out
  float* delta = nullptr;        // [heads][rows], scratch
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;  // T
  long lddq = 0, lddk = 0, lddv = 0;
};

template <class T>
void attention(const Stream& stream, const AttentionArgs& g);
template <class T>
void attentionBackward(const Stream& stream, const AttentionBackwardArgs& g);

/// Decode: one row a sequence (segment i is row i), split over its keys into `splits` parts that are
/// joined afterwards. partial: [rows][heads][splits][headDim + 2] floats.
template <class T>
void attentionDecode(const Stream& stream, const AttentionArgs& g, int splits, float* partial);

/// Writes rotated keys and values of batch rows into pages; segments as in AttentionArgs.
struct StoreArgs {
  int rows = 0, kvWidth = 0;
  const Segment* segments = nullptr;
  const int* segmentOfRow = nullptr;  // -1: padding
  const int* table = nullptr;
  long pageStride = 0;
  const void *k = nullptr, *v = nullptr;
  long ldk = 0, ldv = 0;
  void *keys = nullptr, *values = nullptr;  // of this layer in page 0
};
template <class T>
void storePages(const Stream& stream, const StoreArgs& g);

#if defined(__CUDACC__) || defined(HINDSIGHT_EMULATE)
/// Where key (or value) j of a segment lies.
template <class T>
__device__ __forceinline__ const T* kvRow(const void* base, long ld, const AttentionArgs& g, const Segment& s, int j) {
  const T* p = static_cast<const T*>(base);
  if (!g.table) return p + (s.row0 + j) * ld;
  return p + g.table[s.table + j / kPageTokens] * g.pageStride + j % kPageTokens * ld;
}
#endif

void attentionMma(const Stream& stream, const AttentionArgs& g);
void attentionBackwardMma(const Stream& stream, const AttentionBackwardArgs& g);

}  // namespace cuda
}  // namespace hindsight
