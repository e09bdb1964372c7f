// The bf16 attention kernels on mma.sync. Four warps, each with 16 rows of the block's 64. A tile of rows
// of one head lies in shared memory as [rows][HD] with chunks turned by row % 8; heads narrower than HD
// are padded with zeros.
#include <cmath>

#include "kernels/cuda/attention.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kThreads = 128;
constexpr float kLog2E = 1.4426950408889634f;
/// Rows of the tiles that stream past in the backward pass.
constexpr int kStream = 32;

template <int HD>
__device__ __forceinline__ int place(int row, int chunk) { return row * HD + ((chunk ^ (row & 7)) * 8); }

/// `rows` rows of a head, each at row(r) where r < valid.
template <int HD, int rows, class Row>
__device__ __forceinline__ void loadRows(Bf16* tile, int valid, int headDim, const Bf16* safe, const Row& row) {
  for (int c = static_cast<int>(threadIdx.x); c < rows * HD / 8; c += kThreads) {
    const int r = c / (HD / 8), q = c % (HD / 8);
    const bool there = r < valid && q * 8 < headDim;
    copyAsync16(tile + place<HD>(r, q), there ? row(r) + q * 8 : safe, there);
  }
}

/// acc[16 rows of a][NB * 8 rows of b] += a b^T over the head dimension.
template <int HD, int NB>
__device__ __forceinline__ void scores(float (&acc)[NB][4], const Bf16* a, int row, const Bf16* b, int lane) {
#pragma unroll
  for (int d = 0; d < HD; d += 16) {
    uint32_t fa[4];
    loadMatrices(fa, a + place<HD>(row + lane % 16, d / 8 + lane / 16));
#pragma unroll
    for (int j = 0; j < NB / 2; ++j) {
      uint32_t fb[4];
      loadMatrices(fb, b + place<HD>(j * 16 + lane % 8 + lane / 16 * 8, d / 8 + lane / 8 % 2));
      multiplyAdd(acc[2 * j], fa, fb[0], fb[1]);
      multiplyAdd(acc[2 * j + 1], fa, fb[2], fb[3]);
    }
  }
}

/// acc[16][HD] += p[16][NB * 8] b[NB * 8][HD], with p in the layout scores() leaves.
template <int HD, int NB>
__device__ __forceinline__ void weighted(float (&acc)[HD / 8][4], const float (&p)[NB][4], const Bf16* b, int lane) {
#pragma unroll
  for (int k = 0; k < NB / 2; ++k) {
    const uint32_t fa[4] = {pack2(p[2 * k][0], p[2 * k][1]), pack2(p[2 * k][2], p[2 * k][3]), pack2(p[2 * k + 1][0], p[2 * k + 1][1]), pack2(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
    for (int d = 0; d < HD / 16; ++d) {
      uint32_t fb[4];
      loadMatricesTransposed(fb, b + place<HD>(k * 16 + lane % 16, d * 2 + lane / 16));
      multiplyAdd(acc[2 * d], fa, fb[0], fb[1]);
      multiplyAdd(acc[2 * d + 1], fa, fb[2], fb[3]);
    }
  }
}

template <int N>
__device__ __forceinline__ void clear(float (&acc)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) acc[i][j] = 0;
}

/// Rows of a warp's 16 x HD result to global memory, times factor[h] for row h of a lane's two.
template <int HD>
__device__ __forceinline__ void storeRows(const float (&acc)[HD / 8][4], const float (&factor)[2], Bf16* out, long ld, int firstRow, int rows, int headDim, int lane) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int r = firstRow + lane / 4 + h * 8;
    if (r >= rows) continue;
#pragma unroll
    for (int d = 0; d < HD / 8; ++d) {
      const int col = d * 8 + lane % 4 * 2;
      if (col < headDim) *reinterpret_cast<uint32_t*>(out + r * ld + col) = pack2(acc[d][2 * h] * factor[h], acc[d][2 * h + 1] * factor[h]);
    }
  }
}

template <int HD>
__global__ void __launch_bounds__(kThreads) forward(AttentionArgs g) {
  const AttentionTile t = g.tiles[blockIdx.x];
  if (t.segment < 0) return;
  const Segment s = g.segments[t.segment];
  const int head = static_cast<int>(blockIdx.y), kv = head / (g.heads / g.kvHeads), tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32;
  const int rows = s.rows - t.row < kAttentionRows ? s.rows - t.row : kAttentionRows, row0 = s.row0 + t.row, position = s.start + t.row;
  Bf16* tq = reinterpret_cast<Bf16*>(sharedMemory());
  Bf16* tk = tq + kAttentionRows * HD;
  Bf16* tv = tk + 2 * kAttentionRows * HD;
  const Bf16* q = static_cast<const Bf16*>(g.q) + head * g.headDim;
  const Bf16* safe = static_cast<const Bf16*>(g.q);
  const int keys = position + rows, count = (keys + kAttentionRows - 1) / kAttentionRows;
  const auto loadKeys = [&](int i) {
    if (i < count) {
      const int first = i * kAttentionRows, valid = keys - first;
      loadRows<HD, kAttentionRows>(tk + i % 2 * kAttentionRows * HD, valid, g.headDim, safe, [&](int r) { return kvRow<Bf16>(g.k, g.ldk, g, s, first + r) + kv * g.headDim; });
      loadRows<HD, kAttentionRows>(tv + i % 2 * kAttentionRows * HD, valid, g.headDim, safe, [&](int r) { return kvRow<Bf16>(g.v, g.ldv, g, s, first + r) + kv * g.headDim; });
    }
    copyAsyncCommit();
  };
  loadRows<HD, kAttentionRows>(tq, rows, g.headDim, safe, [&](int r) { return q + (row0 + r) * g.ldq; });
  loadKeys(0);
  float out[HD / 8][4], top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  clear(out);
  const float factor = g.scale * kLog2E;
  for (int i = 0; i < count; ++i) {
    loadKeys(i + 1);
    copyAsyncWait<1>();
    __syncthreads();
    float p[8][4];
    clear(p);
    scores<HD, 8>(p, tq, warp * 16, tk + i % 2 * kAttentionRows * HD, lane);
    const bool masked = (i + 1) * kAttentionRows > position;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int at = position + warp * 16 + lane / 4 + h * 8;
      float high = top[h];
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = p[j][2 * h + e];
          x *= factor;
          if (masked && i * kAttentionRows + j * 8 + lane % 4 * 2 + e > at) x = -INFINITY;
          high = fmaxf(high, x);
        }
      high = fmaxf(high, shuffleXor(high, 1));
      high = fmaxf(high, shuffleXor(high, 2));
      const float shrink = exp2Fast(top[h] - high);
      top[h] = high;
      total[h] *= shrink;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = p[j][2 * h + e];
          x = exp2Fast(x - high);
          total[h] += x;
        }
#pragma unroll
      for (int d = 0; d < HD / 8; ++d) {
        out[d][2 * h] *= shrink;
        out[d][2 * h + 1] *= shrink;
      }
    }
    weighted<HD, 8>(out, p, tv + i % 2 * kAttentionRows * HD, lane);
    __syncthreads();
  }
  float inverse[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] += shuffleXor(total[h], 1);
    total[h] += shuffleXor(total[h], 2);
    inverse[h] = 1 / total[h];
    const int r = warp * 16 + lane / 4 + h * 8;
    if (g.lse && lane % 4 == 0 && r < rows) g.lse[static_cast<long>(head) * g.rows + row0 + r] = top[h] / kLog2E + logf(total[h]);
  }
  storeRows<HD>(out, inverse, static_cast<Bf16*>(g.out) + row0 * g.ldo + head * g.headDim, g.ldo, warp * 16, rows, g.headDim, lane);
}

/// dK and dV of 64 keys of one key head: all queries of its query heads stream past.
template <int HD>
__global__ void __launch_bounds__(kThreads) backwardKeys(AttentionBackwardArgs b) {
  const AttentionArgs& g = b.forward;
  const AttentionTile t = g.tiles[blockIdx.x];
  if (t.segment < 0) return;
  const Segment s = g.segments[t.segment];
  const int kv = static_cast<int>(blockIdx.y), group = g.heads / g.kvHeads, tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32;
  const int rows = s.rows - t.row < kAttentionRows ? s.rows - t.row : kAttentionRows, row0 = s.row0 + t.row;
  Bf16* tk = reinterpret_cast<Bf16*>(sharedMemory());
  Bf16* tv = tk + kAttentionRows * HD;
  Bf16* tq = tv + kAttentionRows * HD;
  Bf16* td = tq + 2 * kStream * HD;
  float* sums = reinterpret_cast<float*>(td + 2 * kStream * HD);  // [2][lse, delta][kStream]
  const Bf16* safe = static_cast<const Bf16*>(g.q);
  const int firstTile = t.row / kStream, tiles = (s.rows + kStream - 1) / kStream - firstTile, count = tiles * group;
  const auto load = [&](int i) {
    if (i < count) {
      const int head = kv * group + i / tiles, first = (firstTile + i % tiles) * kStream, valid = s.rows - first, stage = i % 2;
      loadRows<HD, kStream>(tq + stage * kStream * HD, valid, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.q) + (s.row0 + first + r) * g.ldq + head * g.headDim; });
      loadRows<HD, kStream>(td + stage * kStream * HD, valid, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(b.dOut) + (s.row0 + first + r) * g.ldo + head * g.headDim; });
      if (tid < kStream) {
        const long at = static_cast<long>(head) * g.rows + s.row0 + first + tid;
        sums[stage * 2 * kStream + tid] = tid < valid ? g.lse[at] * kLog2E : INFINITY;
        sums[stage * 2 * kStream + kStream + tid] = tid < valid ? b.delta[at] : 0;
      }
    }
    copyAsyncCommit();
  };
  loadRows<HD, kAttentionRows>(tk, rows, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.k) + (row0 + r) * g.ldk + kv * g.headDim; });
  loadRows<HD, kAttentionRows>(tv, rows, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.v) + (row0 + r) * g.ldv + kv * g.headDim; });
  load(0);
  float dk[HD / 8][4], dv[HD / 8][4];
  clear(dk);
  clear(dv);
  for (int i = 0; i < count; ++i) {
    load(i + 1);
    copyAsyncWait<1>();
    __syncthreads();
    const int stage = i % 2, first = (firstTile + i % tiles) * kStream;
    const Bf16 *q = tq + stage * kStream * HD, *d = td + stage * kStream * HD;
    const float *lse = sums + stage * 2 * kStream, *delta = lse + kStream;
    float p[kStream / 8][4], ds[kStream / 8][4];
    clear(p);
    clear(ds);
    scores<HD, kStream / 8>(p, tk, warp * 16, q, lane);
    scores<HD, kStream / 8>(ds, tv, warp * 16, d, lane);
#pragma unroll
    for (int j = 0; j < kStream / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int query = j * 8 + lane % 4 * 2 + e % 2, key = t.row + warp * 16 + lane / 4 + e / 2 * 8;
        const float x = key > first + query ? 0.0f : exp2Fast(p[j][e] * g.scale * kLog2E - lse[query]);
        ds[j][e] = x * (ds[j][e] - delta[query]) * g.scale;
        p[j][e] = x;
      }
    weighted<HD, kStream / 8>(dv, p, d, lane);
    weighted<HD, kStream / 8>(dk, ds, q, lane);
    __syncthreads();
  }
  const float one[2] = {1, 1};
  storeRows<HD>(dk, one, static_cast<Bf16*>(b.dk) + row0 * b.lddk + kv * g.headDim, b.lddk, warp * 16, rows, g.headDim, lane);
  storeRows<HD>(dv, one, static_cast<Bf16*>(b.dv) + row0 * b.lddv + kv * g.headDim, b.lddv, warp * 16, rows, g.headDim, lane);
}

/// dQ of 64 queries of one head: the keys they saw stream past.
template <int HD>
__global__ void __launch_bounds__(kThreads) backwardQueries(AttentionBackwardArgs b) {
  const AttentionArgs& g = b.forward;
  const AttentionTile t = g.tiles[blockIdx.x];
  if (t.segment < 0) return;
  const Segment s = g.segments[t.segment];
  const int head = static_cast<int>(blockIdx.y), kv = head / (g.heads / g.kvHeads), tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32;
  const int rows = s.rows - t.row < kAttentionRows ? s.rows - t.row : kAttentionRows, row0 = s.row0 + t.row;
  Bf16* tq = reinterpret_cast<Bf16*>(sharedMemory());
  Bf16* td = tq + kAttentionRows * HD;
  Bf16* tk = td + kAttentionRows * HD;
  Bf16* tv = tk + 2 * kStream * HD;
  const Bf16* safe = static_cast<const Bf16*>(g.q);
  const int count = (t.row + rows + kStream - 1) / kStream;
  const auto load = [&](int i) {
    if (i < count) {
      const int first = i * kStream, valid = s.rows - first, stage = i % 2;
      loadRows<HD, kStream>(tk + stage * kStream * HD, valid, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.k) + (s.row0 + first + r) * g.ldk + kv * g.headDim; });
      loadRows<HD, kStream>(tv + stage * kStream * HD, valid, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.v) + (s.row0 + first + r) * g.ldv + kv * g.headDim; });
    }
    copyAsyncCommit();
  };
  loadRows<HD, kAttentionRows>(tq, rows, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(g.q) + (row0 + r) * g.ldq + head * g.headDim; });
  loadRows<HD, kAttentionRows>(td, rows, g.headDim, safe, [&](int r) { return static_cast<const Bf16*>(b.dOut) + (row0 + r) * g.ldo + head * g.headDim; });
  load(0);
  float dq[HD / 8][4], lse[2], delta[2];
  clear(dq);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int r = warp * 16 + lane / 4 + h * 8;
    const long at = static_cast<long>(head) * g.rows + row0 + r;
    lse[h] = r < rows ? g.lse[at] * kLog2E : INFINITY;
    delta[h] = r < rows ? b.delta[at] : 0;
  }
  for (int i = 0; i < count; ++i) {
    load(i + 1);
    copyAsyncWait<1>();
    __syncthreads();
    const Bf16 *k = tk + i % 2 * kStream * HD, *v = tv + i % 2 * kStream * HD;
    float p[kStream / 8][4], ds[kStream / 8][4];
    clear(p);
    clear(ds);
    scores<HD, kStream / 8>(p, tq, warp * 16, k, lane);
    scores<HD, kStream / 8>(ds, td, warp * 16, v, lane);
#pragma unroll
    for (int j = 0; j < kStream / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = i * kStream + j * 8 + lane % 4 * 2 + e % 2, query = t.row + warp * 16 + lane / 4 + e / 2 * 8;
        const float x = key > query ? 0.0f : exp2Fast(p[j][e] * g.scale * kLog2E - lse[e / 2]);
        ds[j][e] = x * (ds[j][e] - delta[e / 2]) * g.scale;
      }
    weighted<HD, kStream / 8>(dq, ds, k, lane);
    __syncthreads();
  }
  const float one[2] = {1, 1};
  storeRows<HD>(dq, one, static_cast<Bf16*>(b.dq) + row0 * b.lddq + head * g.headDim, b.lddq, warp * 16, rows, g.headDim, lane);
}

template <int HD>
constexpr size_t forwardBytes() { return 5 * kAttentionRows * HD * sizeof(Bf16); }
template <int HD>
constexpr size_t backwardBytes() { return (2 * kAttentionRows + 4 * kStream) * HD * sizeof(Bf16) + 4 * kStream * sizeof(float); }

}  // namespace

void attentionMma(const Stream& stream, const AttentionArgs& g) {
  const dim3 grid(static_cast<unsigned>(g.tileCount), static_cast<unsigned>(g.heads)), block(kThreads);
  if (g.headDim <= 64) launch(forward<64>, grid, block, forwardBytes<64>(), stream.get(), g);
  else launch(forward<128>, grid, block, forwardBytes<128>(), stream.get(), g);
}

void attentionBackwardMma(const Stream& stream, const AttentionBackwardArgs& b) {
  const AttentionArgs& g = b.forward;
  const unsigned tiles = static_cast<unsigned>(g.tileCount);
  const dim3 keys(tiles, static_cast<unsigned>(g.kvHeads)), queries(tiles, static_cast<unsigned>(g.heads)), block(kThreads);
  if (g.headDim <= 64) {
    launch(backwardKeys<64>, keys, block, backwardBytes<64>(), stream.get(), b);
    launch(backwardQueries<64>, queries, block, backwardBytes<64>(), stream.get(), b);
  } else {
    launch(backwardKeys<128>, keys, block, backwardBytes<128>(), stream.get(), b);
    launch(backwardQueries<128>, queries, block, backwardBytes<128>(), stream.get(), b);
  }
}

}  // namespace cuda
}  // namespace hindsight
