#include "kernels/cuda/rows.h"

#include "kernels/cuda/vectors.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kThreads = 128;

template <Format format>
__global__ void gatherRows(Weight table, long pitch, int scales, const int* tokens, float* h) {
  float* codes = reinterpret_cast<float*>(sharedMemory());
  if (format == Format::Nf4) {
    const float values[16] = {HINDSIGHT_NF4_VALUES};
    float mine = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) mine = i == static_cast<int>(threadIdx.x) ? values[i] : mine;
    if (threadIdx.x < 16) codes[threadIdx.x] = mine;
    __syncthreads();
  }
  const int token = tokens[blockIdx.x];
  for (int k = static_cast<int>(threadIdx.x) * 8; k < table.k; k += kThreads * 8) {
    float v[8] = {};
    if (token >= 0) weight8<format>(static_cast<const unsigned char*>(table.data) + token * pitch, table.scale + static_cast<long>(token) * scales, codes, k, v);
    store8(h + static_cast<long>(blockIdx.x) * table.k + k, v);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) normRows(const float* h, const int* index, const float* weight, int n, float eps, T* out) {
  float* scratch = reinterpret_cast<float*>(sharedMemory());
  const long row = blockIdx.x, from = index ? index[row] : row;
  T* to = out + row * n;
  if (from < 0) {
    const float zeros[8] = {};
    for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += kThreads * 8) store8(to + i, zeros);
    return;
  }
  const float* x = h + from * n;
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += kThreads * 8) {
    float v[8];
    load8(x + i, v);
#pragma unroll
    for (int j = 0; j < 8; ++j) squares += v[j] * v[j];
  }
  const float inverse = rsqrtf(blockSum(squares, scratch) / static_cast<float>(n) + eps);
  for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += kThreads * 8) {
    float v[8], w[8];
    load8(x + i, v);
    load8(weight + i, w);
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] *= inverse * w[j];
    store8(to + i, v);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) normRowsBackward(const float* h, const int* index, const float* weight, const T* dy, int n, float eps, float* dh, bool add, T* copy) {
  float* scratch = reinterpret_cast<float*>(sharedMemory());
  const long row = blockIdx.x, at = index ? index[row] : row;
  if (at < 0) return;
  const float* x = h + at * n;
  const T* d = dy + row * n;
  float* dx = dh + at * n;
  float squares = 0, projection = 0;
  for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += kThreads * 8) {
    float v[8], w[8], g[8];
    load8(x + i, v);
    load8(weight + i, w);
    load8(d + i, g);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      squares += v[j] * v[j];
      projection += g[j] * w[j] * v[j];
    }
  }
  const float inverse = rsqrtf(blockSum(squares, scratch) / static_cast<float>(n) + eps);
  const float pull = blockSum(projection, scratch) * inverse * inverse * inverse / static_cast<float>(n);
  for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += kThreads * 8) {
    float v[8], w[8], g[8], old[8] = {};
    load8(x + i, v);
    load8(weight + i, w);
    load8(d + i, g);
    if (add) load8(dx + i, old);
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = old[j] + g[j] * w[j] * inverse - v[j] * pull;
    store8(dx + i, v);
    if (copy) store8(copy + at * n + i, v);
  }
}

constexpr int kPairs = 2;  // of a lane: headDim up to 128

/// A warp's head: lane holds pairs (i, i + half), i = lane, lane + 32.
struct Head {
  long in, out;
  const float* norm;
  long angle;
};
__device__ __forceinline__ bool findHead(const RopeArgs& g, Head& h) {
  const long item = static_cast<long>(blockIdx.x) * 4 + threadIdx.x / 32;
  const int each = g.heads + g.kvHeads;
  const long row = item / each;
  if (row >= g.rows) return false;
  const int head = static_cast<int>(item % each);
  h.in = row * g.ldIn + static_cast<long>(head) * g.headDim;
  h.out = row * g.ldOut + static_cast<long>(head) * g.headDim;
  h.norm = head < g.heads ? g.qNorm : g.kNorm;
  h.angle = static_cast<long>(g.positions[row]) * (g.headDim / 2);
  return true;
}

template <class T>
__global__ void rotate(RopeArgs g) {
  Head h;
  if (!findHead(g, h)) return;
  const int half = g.headDim / 2, lane = static_cast<int>(threadIdx.x % 32);
  const T* in = static_cast<const T*>(g.in) + h.in;
  T* out = static_cast<T*>(g.out) + h.out;
  float a[kPairs] = {}, b[kPairs] = {}, squares = 0;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + i * 32;
    if (at >= half) continue;
    a[i] = value(in[at]);
    b[i] = value(in[at + half]);
    squares += a[i] * a[i] + b[i] * b[i];
  }
  float inverse = 1;
  if (h.norm) inverse = rsqrtf(warpSum(squares) / static_cast<float>(g.headDim) + g.eps);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + i * 32;
    if (at >= half) continue;
    const float x = h.norm ? a[i] * inverse * h.norm[at] : a[i], y = h.norm ? b[i] * inverse * h.norm[at + half] : b[i];
    const float c = g.cosine[h.angle + at], s = g.sine[h.angle + at];
    put(out[at], x * c - y * s);
    put(out[at + half], y * c + x * s);
  }
}

template <class T>
__global__ void rotateBack(RopeArgs g) {
  Head h;
  if (!findHead(g, h)) return;
  const int half = g.headDim / 2, lane = static_cast<int>(threadIdx.x % 32);
  const T* in = static_cast<const T*>(g.in) + h.in;
  T* d = static_cast<T*>(g.out) + h.out;
  float a[kPairs] = {}, b[kPairs] = {}, da[kPairs] = {}, db[kPairs] = {}, squares = 0, projection = 0;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + i * 32;
    if (at >= half) continue;
    const float c = g.cosine[h.angle + at], s = g.sine[h.angle + at], x = value(d[at]), y = value(d[at + half]);
    da[i] = x * c + y * s;
    db[i] = y * c - x * s;
    if (!h.norm) continue;
    a[i] = value(in[at]);
    b[i] = value(in[at + half]);
    da[i] *= h.norm[at];
    db[i] *= h.norm[at + half];
    squares += a[i] * a[i] + b[i] * b[i];
    projection += da[i] * a[i] + db[i] * b[i];
  }
  float inverse = 1, pull = 0;
  if (h.norm) {
    inverse = rsqrtf(warpSum(squares) / static_cast<float>(g.headDim) + g.eps);
    pull = warpSum(projection) * inverse * inverse * inverse / static_cast<float>(g.headDim);
  }
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + i * 32;
    if (at >= half) continue;
    put(d[at], da[i] * inverse - a[i] * pull);
    put(d[at + half], db[i] * inverse - b[i] * pull);
  }
}

/// Eight units of one row a thread.
template <class T>
__global__ void gateUp(const T* both, int n, T* act) {
  const long row = blockIdx.y;
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * 8;
  if (i >= n) return;
  float gate[8], up[8];
  load8(both + row * 2 * n + i, gate);
  load8(both + row * 2 * n + n + i, up);
#pragma unroll
  for (int j = 0; j < 8; ++j) up[j] *= gate[j] / (1 + expf(-gate[j]));
  store8(act + row * n + i, up);
}

template <class T>
__global__ void gateUpBackward(const T* both, const T* dAct, int n, T* dBoth) {
  const long row = blockIdx.y;
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * 8;
  if (i >= n) return;
  float gate[8], up[8], d[8], dGate[8], dUp[8];
  load8(both + row * 2 * n + i, gate);
  load8(both + row * 2 * n + n + i, up);
  load8(dAct + row * n + i, d);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float s = 1 / (1 + expf(-gate[j]));
    dUp[j] = d[j] * gate[j] * s;
    dGate[j] = d[j] * up[j] * s * (1 + gate[j] * (1 - s));
  }
  store8(dBoth + row * 2 * n + i, dGate);
  store8(dBoth + row * 2 * n + n + i, dUp);
}

template <class T>
__global__ void cast(const float* h, size_t count, T* out) {
  const size_t i = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
  if (i >= count) return;
  float v[8];
  load8(h + i, v);
  store8(out + i, v);
}

__device__ __forceinline__ uint32_t hash(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}
/// `units` bytes (quantised) or elements; the scales of a quantised row make them as large as bf16's.
__global__ void randomUnits(Format format, void* data, size_t units, float bound, unsigned seed) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= units) return;
  const uint32_t bits = hash(static_cast<uint32_t>(i) * 2654435761u + seed + static_cast<uint32_t>(i >> 32));
  const float x = bound * (static_cast<float>(bits >> 8) * (2.0f / 16777216.0f) - 1.0f);
  if (format == Format::Fp32) static_cast<float*>(data)[i] = x;
  else if (format == Format::Bf16) put(static_cast<Bf16*>(data)[i], x);
  else static_cast<unsigned char*>(data)[i] = static_cast<unsigned char>(bits);
}
__global__ void fillFloats(float* to, size_t count, float value) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = value;
}

unsigned count(int rows) { return static_cast<unsigned>(rows); }
unsigned headBlocks(const RopeArgs& g) { return blocksFor(static_cast<size_t>(g.rows) * (g.heads + g.kvHeads), 4); }

}  // namespace

void embed(const Stream& stream, const Weight& table, const int* tokens, int rows, float* h) {
  const auto start = [&](auto kernel) { launch(kernel, dim3(count(rows)), dim3(kThreads), 64, stream.get(), table, static_cast<long>(rowPitch(table.format, table.k)), scalesPerRow(table.format, table.k), tokens, h); };
  switch (table.format) {
    case Format::Fp32: return start(gatherRows<Format::Fp32>);
    case Format::Bf16: return start(gatherRows<Format::Bf16>);
    case Format::Int8: return start(gatherRows<Format::Int8>);
    default: return start(gatherRows<Format::Nf4>);
  }
}

void fill(const Stream& stream, float* to, size_t n, float value) {
  if (n) launch(fillFloats, dim3(blocksFor(n, kThreads)), dim3(kThreads), 0, stream.get(), to, n, value);
}

void randomWeight(const Stream& stream, const Weight& w, unsigned seed) {
  const bool packed = w.format == Format::Int8 || w.format == Format::Nf4;
  const size_t units = w.n * rowPitch(w.format, w.k) / (packed ? 1 : w.format == Format::Bf16 ? 2 : 4);
  const float bound = 1.7f / sqrtf(static_cast<float>(w.k));
  launch(randomUnits, dim3(blocksFor(units, kThreads)), dim3(kThreads), 0, stream.get(), w.format, const_cast<void*>(w.data), units, bound, seed);
  if (packed) fill(stream, const_cast<float*>(w.scale), static_cast<size_t>(w.n) * scalesPerRow(w.format, w.k), w.format == Format::Int8 ? bound / 127 : bound);
  if (w.bias) fill(stream, const_cast<float*>(w.bias), w.n, 0.01f);
}

template <class T>
void rmsnorm(const Stream& stream, const float* h, const int* index, const float* weight, int rows, int n, float eps, T* out) {
  launch(normRows<T>, dim3(count(rows)), dim3(kThreads), 128, stream.get(), h, index, weight, n, eps, out);
}
template <class T>
void rmsnormBackward(const Stream& stream, const float* h, const int* index, const float* weight, const T* dy, int rows, int n, float eps, float* dh, bool add, T* copy) {
  launch(normRowsBackward<T>, dim3(count(rows)), dim3(kThreads), 128, stream.get(), h, index, weight, dy, n, eps, dh, add, copy);
}
template <class T>
void rope(const Stream& stream, const RopeArgs& g) {
  launch(rotate<T>, dim3(headBlocks(g)), dim3(kThreads), 0, stream.get(), g);
}
template <class T>
void ropeBackward(const Stream& stream, const RopeArgs& g) {
  launch(rotateBack<T>, dim3(headBlocks(g)), dim3(kThreads), 0, stream.get(), g);
}
template <class T>
void swiglu(const Stream& stream, const T* both, int rows, int n, T* act) {
  launch(gateUp<T>, dim3(blocksFor(n, kThreads * 8), count(rows)), dim3(kThreads), 0, stream.get(), both, n, act);
}
template <class T>
void swigluBackward(const Stream& stream, const T* both, const T* dAct, int rows, int n, T* dBoth) {
  launch(gateUpBackward<T>, dim3(blocksFor(n, kThreads * 8), count(rows)), dim3(kThreads), 0, stream.get(), both, dAct, n, dBoth);
}
template <class T>
void convert(const Stream& stream, const float* h, size_t n, T* out) {
  launch(cast<T>, dim3(blocksFor(n, kThreads * 8)), dim3(kThreads), 0, stream.get(), h, n, out);
}

#define HINDSIGHT_ROWS(T)                                                                                                                   \
  template void rmsnorm<T>(const Stream&, const float*, const int*, const float*, int, int, float, T*);                                     \
  template void rmsnormBackward<T>(const Stream&, const float*, const int*, const float*, const T*, int, int, float, float*, bool, T*);     \
  template void rope<T>(const Stream&, const RopeArgs&);                                                                                    \
  template void ropeBackward<T>(const Stream&, const RopeArgs&);                                                                            \
  template void swiglu<T>(const Stream&, const T*, int, int, T*);                                                                           \
  template void swigluBackward<T>(const Stream&, const T*, const T*, int, int, T*);                                                         \
  template void convert<T>(const Stream&, const float*, size_t, T*);
HINDSIGHT_ROWS(float)
HINDSIGHT_ROWS(Bf16)

}  // namespace cuda
}  // namespace hindsight
