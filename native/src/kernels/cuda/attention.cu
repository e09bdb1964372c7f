// Attention without matrix instructions: the fp32 path, and decode of either type, where one row a
// sequence leaves nothing to multiply in tiles.
#include <cmath>

#include "kernels/cuda/attention.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kPieces = kMostHeadDim / 32;  // elements of a head a lane holds
constexpr int kHeads = 8;                   // query heads a block serves with one pass over the keys

/// Elements lane, lane + 32, ... of a head.
template <class T>
__device__ __forceinline__ void loadHead(const T* p, int headDim, int lane, float (&out)[kPieces]) {
#pragma unroll
  for (int i = 0; i < kPieces; ++i) out[i] = lane + i * 32 < headDim ? value(p[lane + i * 32]) : 0.0f;
}
__device__ __forceinline__ float dot(const float (&a)[kPieces], const float (&b)[kPieces]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPieces; ++i) sum += a[i] * b[i];
  return warpSum(sum);
}

/// Block (query row, chunk of a key head's query heads, part of the keys); four warps share the part's keys and
/// join their sums in shared memory.
template <class T>
__global__ void __launch_bounds__(128) rows(AttentionArgs g, const int* segmentOfRow, int splits, float* partial) {
  const int row = static_cast<int>(blockIdx.x), tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32;
  const int group = g.heads / g.kvHeads, chunks = (group + kHeads - 1) / kHeads, kv = static_cast<int>(blockIdx.y) / chunks, part = static_cast<int>(blockIdx.z);
  const int head0 = kv * group + static_cast<int>(blockIdx.y) % chunks * kHeads, left = (kv + 1) * group - head0, heads = left < kHeads ? left : kHeads;
  const int segment = segmentOfRow ? segmentOfRow[row] : row;
  if (segment < 0) return;
  const Segment s = g.segments[segment];
  if (s.rows <= 0) return;
  const int keys = s.start + row - s.row0 + 1, first = static_cast<int>(static_cast<long>(keys) * part / splits), last = static_cast<int>(static_cast<long>(keys) * (part + 1) / splits);
  const int width = g.headDim + 2;
  float q[kHeads][kPieces], out[kHeads][kPieces], top[kHeads], total[kHeads];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    loadHead(static_cast<const T*>(g.q) + row * g.ldq + (head0 + (h < heads ? h : 0)) * g.headDim, g.headDim, lane, q[h]);
    top[h] = -INFINITY;
    total[h] = 0;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) out[h][i] = 0;
  }
  for (int j = first + warp; j < last; j += 4) {
    float k[kPieces], v[kPieces];
    loadHead(kvRow<T>(g.k, g.ldk, g, s, j) + kv * g.headDim, g.headDim, lane, k);
    loadHead(kvRow<T>(g.v, g.ldv, g, s, j) + kv * g.headDim, g.headDim, lane, v);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if (h >= heads) break;
      const float x = dot(q[h], k) * g.scale, high = fmaxf(top[h], x), shrink = expf(top[h] - high), p = expf(x - high);
      top[h] = high;
      total[h] = total[h] * shrink + p;
#pragma unroll
      for (int i = 0; i < kPieces; ++i) out[h][i] = out[h][i] * shrink + p * v[i];
    }
  }
  float* shared = reinterpret_cast<float*>(sharedMemory());  // [4 warps][heads][width]
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) break;
    float* mine = shared + (warp * kHeads + h) * width;
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      if (lane + i * 32 < g.headDim) mine[lane + i * 32] = out[h][i];
    if (lane == 0) {
      mine[g.headDim] = top[h];
      mine[g.headDim + 1] = total[h];
    }
  }
  __syncthreads();
  for (int i = tid; i < heads * g.headDim; i += 128) {
    const int h = i / g.headDim, d = i % g.headDim, head = head0 + h;
    float high = -INFINITY, sum = 0, x = 0;
    for (int w = 0; w < 4; ++w) high = fmaxf(high, shared[(w * kHeads + h) * width + g.headDim]);
    for (int w = 0; w < 4; ++w) {
      const float* theirs = shared + (w * kHeads + h) * width;
      const float p = theirs[g.headDim] == -INFINITY ? 0.0f : expf(theirs[g.headDim] - high);
      sum += theirs[g.headDim + 1] * p;
      x += theirs[d] * p;
    }
    if (splits > 1) {
      float* to = partial + ((static_cast<long>(row) * g.heads + head) * splits + part) * width;
      to[d] = x;
      if (d == 0) {
        to[g.headDim] = high;
        to[g.headDim + 1] = sum;
      }
    } else {
      put(static_cast<T*>(g.out)[row * g.ldo + head * g.headDim + d], x / sum);
      if (d == 0 && g.lse) g.lse[static_cast<long>(head) * g.rows + row] = high + logf(sum);
    }
  }
}

template <class T>
__global__ void join(AttentionArgs g, int splits, const float* partial) {
  const int row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y), d = static_cast<int>(threadIdx.x), width = g.headDim + 2;
  if (g.segments[row].rows <= 0 || d >= g.headDim) return;
  const float* parts = partial + (static_cast<long>(row) * g.heads + head) * splits * width;
  float high = -INFINITY, sum = 0, x = 0;
  for (int s = 0; s < splits; ++s) high = fmaxf(high, parts[s * width + g.headDim]);
  for (int s = 0; s < splits; ++s) {
    const float* part = parts + s * width;
    const float p = part[g.headDim] == -INFINITY ? 0.0f : expf(part[g.headDim] - high);
    sum += part[g.headDim + 1] * p;
    x += part[d] * p;
  }
  put(static_cast<T*>(g.out)[row * g.ldo + head * g.headDim + d], x / sum);
}

/// delta = dOut . out of each row and head; a warp each.
template <class T>
__global__ void products(AttentionBackwardArgs b) {
  const AttentionArgs& g = b.forward;
  const int item = static_cast<int>(blockIdx.x * 4 + threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int row = item / g.heads, head = item % g.heads;
  float o[kPieces] = {}, d[kPieces] = {};
  if (row < g.rows) {
    loadHead(static_cast<const T*>(g.out) + row * g.ldo + head * g.headDim, g.headDim, lane, o);
    loadHead(static_cast<const T*>(b.dOut) + row * g.ldo + head * g.headDim, g.headDim, lane, d);
  }
  const float sum = dot(o, d);
  if (row < g.rows && lane == 0) b.delta[static_cast<long>(head) * g.rows + row] = sum;
}

/// dq of one row and head a warp.
__global__ void queryGradients(AttentionBackwardArgs b) {
  const AttentionArgs& g = b.forward;
  const AttentionTile t = g.tiles[blockIdx.x];
  if (t.segment < 0) return;
  const Segment s = g.segments[t.segment];
  const int head = static_cast<int>(blockIdx.y), kv = head / (g.heads / g.kvHeads), lane = static_cast<int>(threadIdx.x % 32);
  for (int r = t.row + static_cast<int>(threadIdx.x / 32); r < t.row + kAttentionRows; r += 4) {
    if (r >= s.rows) break;
    const int row = s.row0 + r;
    const long at = static_cast<long>(head) * g.rows + row;
    float q[kPieces], d[kPieces], dq[kPieces] = {};
    loadHead(static_cast<const float*>(g.q) + row * g.ldq + head * g.headDim, g.headDim, lane, q);
    loadHead(static_cast<const float*>(b.dOut) + row * g.ldo + head * g.headDim, g.headDim, lane, d);
    for (int j = 0; j <= r; ++j) {
      float k[kPieces], v[kPieces];
      loadHead(static_cast<const float*>(g.k) + (s.row0 + j) * g.ldk + kv * g.headDim, g.headDim, lane, k);
      loadHead(static_cast<const float*>(g.v) + (s.row0 + j) * g.ldv + kv * g.headDim, g.headDim, lane, v);
      const float p = expf(dot(q, k) * g.scale - g.lse[at]), ds = p * (dot(d, v) - b.delta[at]) * g.scale;
      for (int i = 0; i < kPieces; ++i) dq[i] += ds * k[i];
    }
    for (int i = 0; i < kPieces; ++i)
      if (lane + i * 32 < g.headDim) static_cast<float*>(b.dq)[row * b.lddq + head * g.headDim + lane + i * 32] = dq[i];
  }
}

/// dk and dv of one key and key head a warp.
__global__ void keyGradients(AttentionBackwardArgs b) {
  const AttentionArgs& g = b.forward;
  const AttentionTile t = g.tiles[blockIdx.x];
  if (t.segment < 0) return;
  const Segment s = g.segments[t.segment];
  const int kv = static_cast<int>(blockIdx.y), group = g.heads / g.kvHeads, lane = static_cast<int>(threadIdx.x % 32);
  for (int j = t.row + static_cast<int>(threadIdx.x / 32); j < t.row + kAttentionRows; j += 4) {
    if (j >= s.rows) break;
    float k[kPieces], v[kPieces], dk[kPieces] = {}, dv[kPieces] = {};
    loadHead(static_cast<const float*>(g.k) + (s.row0 + j) * g.ldk + kv * g.headDim, g.headDim, lane, k);
    loadHead(static_cast<const float*>(g.v) + (s.row0 + j) * g.ldv + kv * g.headDim, g.headDim, lane, v);
    for (int head = kv * group; head < (kv + 1) * group; ++head)
      for (int r = j; r < s.rows; ++r) {
        const int row = s.row0 + r;
        const long at = static_cast<long>(head) * g.rows + row;
        float q[kPieces], d[kPieces];
        loadHead(static_cast<const float*>(g.q) + row * g.ldq + head * g.headDim, g.headDim, lane, q);
        loadHead(static_cast<const float*>(b.dOut) + row * g.ldo + head * g.headDim, g.headDim, lane, d);
        const float p = expf(dot(q, k) * g.scale - g.lse[at]), ds = p * (dot(d, v) - b.delta[at]) * g.scale;
        for (int i = 0; i < kPieces; ++i) {
          dk[i] += ds * q[i];
          dv[i] += p * d[i];
        }
      }
    for (int i = 0; i < kPieces; ++i)
      if (lane + i * 32 < g.headDim) {
        static_cast<float*>(b.dk)[(s.row0 + j) * b.lddk + kv * g.headDim + lane + i * 32] = dk[i];
        static_cast<float*>(b.dv)[(s.row0 + j) * b.lddv + kv * g.headDim + lane + i * 32] = dv[i];
      }
  }
}

unsigned headBlocks(const AttentionArgs& g) { return static_cast<unsigned>(g.kvHeads * ((g.heads / g.kvHeads + kHeads - 1) / kHeads)); }
size_t rowsBytes(const AttentionArgs& g) { return static_cast<size_t>(4) * kHeads * (g.headDim + 2) * sizeof(float); }

template <class T>
__global__ void store(StoreArgs g) {
  const int row = static_cast<int>(blockIdx.x), segment = g.segmentOfRow[row];
  if (segment < 0) return;
  const Segment s = g.segments[segment];
  const int position = s.start + row - s.row0;
  const long to = g.table[s.table + position / kPageTokens] * g.pageStride + static_cast<long>(position % kPageTokens) * g.kvWidth;
  for (int i = static_cast<int>(threadIdx.x); i < g.kvWidth; i += static_cast<int>(blockDim.x)) {
    static_cast<T*>(g.keys)[to + i] = static_cast<const T*>(g.k)[row * g.ldk + i];
    static_cast<T*>(g.values)[to + i] = static_cast<const T*>(g.v)[row * g.ldv + i];
  }
}

}  // namespace

template <>
void attention<Bf16>(const Stream& stream, const AttentionArgs& g) { attentionMma(stream, g); }
template <>
void attention<float>(const Stream& stream, const AttentionArgs& g) {
  launch(rows<float>, dim3(static_cast<unsigned>(g.rows), headBlocks(g), 1), dim3(128), rowsBytes(g), stream.get(), g, g.segmentOfRow, 1, static_cast<float*>(nullptr));
}

template <class T>
void attentionDecode(const Stream& stream, const AttentionArgs& g, int splits, float* partial) {
  launch(rows<T>, dim3(static_cast<unsigned>(g.rows), headBlocks(g), static_cast<unsigned>(splits)), dim3(128), rowsBytes(g), stream.get(), g, static_cast<const int*>(nullptr), splits, partial);
  if (splits > 1) launch(join<T>, dim3(static_cast<unsigned>(g.rows), static_cast<unsigned>(g.heads)), dim3(kMostHeadDim), 0, stream.get(), g, splits, static_cast<const float*>(partial));
}
template void attentionDecode<float>(const Stream&, const AttentionArgs&, int, float*);
template void attentionDecode<Bf16>(const Stream&, const AttentionArgs&, int, float*);

template <>
void attentionBackward<Bf16>(const Stream& stream, const AttentionBackwardArgs& b) {
  launch(products<Bf16>, dim3(blocksFor(static_cast<size_t>(b.forward.rows) * b.forward.heads, 4)), dim3(128), 0, stream.get(), b);
  attentionBackwardMma(stream, b);
}
template <>
void attentionBackward<float>(const Stream& stream, const AttentionBackwardArgs& b) {
  const AttentionArgs& g = b.forward;
  launch(products<float>, dim3(blocksFor(static_cast<size_t>(g.rows) * g.heads, 4)), dim3(128), 0, stream.get(), b);
  launch(queryGradients, dim3(static_cast<unsigned>(g.tileCount), static_cast<unsigned>(g.heads)), dim3(128), 0, stream.get(), b);
  launch(keyGradients, dim3(static_cast<unsigned>(g.tileCount), static_cast<unsigned>(g.kvHeads)), dim3(128), 0, stream.get(), b);
}

template <class T>
void storePages(const Stream& stream, const StoreArgs& g) { launch(store<T>, dim3(static_cast<unsigned>(g.rows)), dim3(128), 0, stream.get(), g); }
template void storePages<float>(const Stream&, const StoreArgs&);
template void storePages<Bf16>(const Stream&, const StoreArgs&);

}  // namespace cuda
}  // namespace hindsight
