// bf16 products by mma.sync m16n8k16 with cp.async in four stages. Eight warps; tile BM x BN x 32.
//
// Tiles in shared memory keep the order they have in global memory, in chunks of 8 elements whose place
// is turned by their row, so that the eight rows of an ldmatrix lie in different banks:
//   summed index inside ("inner"):  [rows][32], chunk ^ (row / 2 % 4)     forward's X and W
//   summed index outside ("outer"): [32][rows], chunk ^ (k % 8)           W of a gradient; both of outer
// A quantised W arrives as bytes in its own stages and is unpacked into a bf16 tile by all threads
// before the tile is multiplied.
#include "kernels/cuda/gemm.h"

namespace hindsight {
namespace cuda {
namespace {

constexpr int kStep = 32, kStages = 4, kThreads = 256;

__device__ __forceinline__ int innerPlace(int row, int chunk) { return row * kStep + ((chunk ^ (row / 2 & 3)) * 8); }
template <int width>
__device__ __forceinline__ int outerPlace(int k, int chunk) { return k * width + ((chunk ^ (k & 7)) * 8); }

/// One operand's tile from global memory. `rows` x `k` are its extent; row0, k0 the tile's corner.
template <bool inner, int width>
__device__ __forceinline__ void loadTile(Bf16* tile, const Bf16* p, long ld, int row0, int rows, int k0, int k) {
  constexpr int chunks = width * kStep / 8;
#pragma unroll
  for (int i = 0; i < (chunks + kThreads - 1) / kThreads; ++i) {
    const int c = i * kThreads + static_cast<int>(threadIdx.x);
    if (chunks % kThreads != 0 && c >= chunks) break;
    if (inner) {
      const int r = c / (kStep / 8), q = c % (kStep / 8);
      const bool valid = row0 + r < rows && k0 + q * 8 < k;
      copyAsync16(tile + innerPlace(r, q), valid ? p + (row0 + r) * ld + k0 + q * 8 : p, valid);
    } else {
      const int r = c / (width / 8), q = c % (width / 8);
      const bool valid = k0 + r < k && row0 + q * 8 < rows;
      copyAsync16(tile + outerPlace<width>(r, q), valid ? p + (k0 + r) * ld + row0 + q * 8 : p, valid);
    }
  }
}

/// The bytes of a quantised W tile: [storedRows][bytes of a row].
template <Format format, bool inner, int width>
struct Packed {
  static constexpr int storedRows = inner ? width : kStep, columns = inner ? kStep : width;
  static constexpr int rowBytes = format == Format::Nf4 ? columns / 2 : columns;
  static constexpr int bytes = format == Format::Bf16 ? 0 : storedRows * rowBytes;
};
template <Format format, bool inner, int width>
__device__ __forceinline__ void loadPacked(unsigned char* tile, const unsigned char* p, long pitch, int row0, int rows, int col0, int cols) {
  using P = Packed<format, inner, width>;
  constexpr int chunks = P::bytes / 16, perRow = P::rowBytes / 16;
  const int first = format == Format::Nf4 ? col0 / 2 : col0, end = format == Format::Nf4 ? (cols + 1) / 2 : cols;
#pragma unroll
  for (int i = 0; i < (chunks + kThreads - 1) / kThreads; ++i) {
    const int c = i * kThreads + static_cast<int>(threadIdx.x);
    if (chunks % kThreads != 0 && c >= chunks) break;
    const int r = c / perRow, q = c % perRow;
    const bool valid = row0 + r < rows && first + q * 16 < end;
    copyAsync16(tile + r * P::rowBytes + q * 16, valid ? p + (row0 + r) * pitch + first + q * 16 : p, valid);
  }
}
/// 16 neighbouring columns of one stored row a turn, into two chunks of the bf16 tile. `codes` holds the
/// nf4 values in shared memory. Rows beyond the weight are zero, because their bytes need not be.
template <Format format, bool inner, int width>
__device__ __forceinline__ void unpackTile(Bf16* tile, const unsigned char* packed, const float* codes, const float* scale, int scales, int row0, int rows, int col0, int cols) {
  using P = Packed<format, inner, width>;
  constexpr int pieces = P::storedRows * P::columns / 16, perRow = P::columns / 16;
#pragma unroll
  for (int i = 0; i < (pieces + kThreads - 1) / kThreads; ++i) {
    const int c = i * kThreads + static_cast<int>(threadIdx.x);
    if (pieces % kThreads != 0 && c >= pieces) break;
    const int r = c / perRow, q = c % perRow, row = row0 + r, col = col0 + q * 16;
    const bool valid = row < rows && col < cols;
    float s = 0;
    if (valid) s = format == Format::Nf4 ? scale[static_cast<long>(row) * scales + col / kNf4Block] : scale[row];
    uint32_t out[8];
    if (format == Format::Nf4) {
      const uint2 bytes = *reinterpret_cast<const uint2*>(packed + r * P::rowBytes + q * 8);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const uint32_t two = (j < 4 ? bytes.x : bytes.y) >> (j % 4 * 8);
        out[j] = pack2(codes[two & 15] * s, codes[two >> 4 & 15] * s);
      }
    } else {
      const uint4 bytes = *reinterpret_cast<const uint4*>(packed + r * P::rowBytes + q * 16);
      const uint32_t words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const uint32_t two = words[j / 2] >> (j % 2 * 16);
        out[j] = pack2(static_cast<float>(static_cast<signed char>(two & 255)) * s, static_cast<float>(static_cast<signed char>(two >> 8 & 255)) * s);
      }
    }
    Bf16* first = inner ? tile + innerPlace(r, q * 2) : tile + outerPlace<width>(r, q * 2);
    Bf16* second = inner ? tile + innerPlace(r, q * 2 + 1) : tile + outerPlace<width>(r, q * 2 + 1);
    *reinterpret_cast<uint4*>(first) = make_uint4(out[0], out[1], out[2], out[3]);
    *reinterpret_cast<uint4*>(second) = make_uint4(out[4], out[5], out[6], out[7]);
  }
}

template <Product product, Format format, int BM, int BN>
struct Plan {
  static constexpr bool innerX = product != Product::Outer, innerW = product == Product::Forward;
  static constexpr int tileX = BM * kStep, tileW = BN * kStep;  // elements
  static constexpr bool packed = format != Format::Bf16;
  static constexpr int packedBytes = Packed<format, innerW, BN>::bytes;
  static constexpr size_t bytes = static_cast<size_t>(kStages) * (tileX * 2 + tileW * 2 + packedBytes) + 64;
};

template <Product product, Format format, int BM, int BN>
__global__ void __launch_bounds__(kThreads) multiply(GemmArgs g) {
  using P = Plan<product, format, BM, BN>;
  constexpr int warpsM = 2, warpsN = 4;
  constexpr int WM = BM / warpsM, WN = BN / warpsN, MI = WM / 16, NI = WN / 8;
  static_assert(NI % 2 == 0, "two n8 blocks come from one ldmatrix");
  Bf16* tilesX = reinterpret_cast<Bf16*>(sharedMemory());
  Bf16* tilesW = tilesX + kStages * P::tileX;
  unsigned char* packedTiles = reinterpret_cast<unsigned char*>(tilesW + kStages * P::tileW);
  float* codes = reinterpret_cast<float*>(packedTiles + kStages * P::packedBytes);
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32, wm = warp / warpsN * WM, wn = warp % warpsN * WN;
  if (P::packed && tid < 16) {
    const float values[16] = {HINDSIGHT_NF4_VALUES};
    float mine = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) mine = i == tid ? values[i] : mine;
    codes[tid] = mine;
  }

  // Blocks that share rows of X run close together: groups of eight tiles down, then across.
  const int tilesM = (g.m + BM - 1) / BM, tilesN = (g.n + BN - 1) / BN, id = static_cast<int>(blockIdx.x);
  const int perGroup = 8 * tilesN, group = id / perGroup, high = tilesM - group * 8 < 8 ? tilesM - group * 8 : 8;
  const int m0 = (group * 8 + id % perGroup % high) * BM, n0 = id % perGroup / high * BN;

  const int steps1 = (g.k + kStep - 1) / kStep, steps = steps1 + (g.k2 + kStep - 1) / kStep;
  const int first = static_cast<int>(static_cast<long>(steps) * blockIdx.z / g.splits), last = static_cast<int>(static_cast<long>(steps) * (blockIdx.z + 1) / g.splits);
  const auto load = [&](int step) {
    const int stage = (step - first) % kStages;
    Bf16* tx = tilesX + stage * P::tileX;
    Bf16* tw = tilesW + stage * P::tileW;
    if (step < last) {
      if (step < steps1) {
        const int k0 = step * kStep;
        loadTile<P::innerX, BM>(tx, static_cast<const Bf16*>(g.x), g.ldx, m0, g.m, k0, g.k);
        if constexpr (P::packed) {
          unsigned char* tp = packedTiles + stage * P::packedBytes;
          const unsigned char* w = static_cast<const unsigned char*>(g.w);
          if (P::innerW) loadPacked<format, true, BN>(tp, w, g.ldw, n0, g.n, k0, g.k);
          else loadPacked<format, false, BN>(tp, w, g.ldw, k0, g.k, n0, g.n);
        } else {
          loadTile<P::innerW, BN>(tw, static_cast<const Bf16*>(g.w), g.ldw, n0, g.n, k0, g.k);
        }
      } else {
        const int k0 = (step - steps1) * kStep;
        loadTile<P::innerX, BM>(tx, static_cast<const Bf16*>(g.x2), g.ldx2, m0, g.m, k0, g.k2);
        loadTile<P::innerW, BN>(tw, static_cast<const Bf16*>(g.w2), g.ldw2, n0, g.n, k0, g.k2);
      }
    }
    copyAsyncCommit();  // also an empty group, so that the count of pending groups stays the same
  };

  float acc[MI][NI][4];
#pragma unroll
  for (int i = 0; i < MI; ++i)
#pragma unroll
    for (int j = 0; j < NI; ++j)
#pragma unroll
      for (int q = 0; q < 4; ++q) acc[i][j][q] = 0;

  for (int s = 0; s < kStages - 1; ++s) load(first + s);
  for (int step = first; step < last; ++step) {
    copyAsyncWait<kStages - 2>();
    __syncthreads();  // this stage is there for all, and the one that load() fills is read by none
    load(step + kStages - 1);
    const int stage = (step - first) % kStages;
    const Bf16* tx = tilesX + stage * P::tileX;
    Bf16* tw = tilesW + stage * P::tileW;
    if constexpr (P::packed) {
      if (step < steps1) {
        const unsigned char* tp = packedTiles + stage * P::packedBytes;
        const int k0 = step * kStep;
        if (P::innerW) unpackTile<format, true, BN>(tw, tp, codes, g.scale, g.scales, n0, g.n, k0, g.k);
        else unpackTile<format, false, BN>(tw, tp, codes, g.scale, g.scales, k0, g.k, n0, g.n);
        __syncthreads();
      }
    }
#pragma unroll
    for (int kk = 0; kk < kStep; kk += 16) {
      uint32_t a[MI][4], b[NI / 2][4];
#pragma unroll
      for (int i = 0; i < MI; ++i) {
        const int m = wm + i * 16;
        if (P::innerX) loadMatrices(a[i], tx + innerPlace(m + lane % 16, kk / 8 + lane / 16));
        else loadMatricesTransposed(a[i], tx + outerPlace<BM>(kk + lane % 8 + lane / 16 * 8, m / 8 + lane / 8 % 2));
      }
#pragma unroll
      for (int j = 0; j < NI / 2; ++j) {
        const int n = wn + j * 16;
        if (P::innerW) loadMatrices(b[j], tw + innerPlace(n + lane % 8 + lane / 16 * 8, kk / 8 + lane / 8 % 2));
        else loadMatricesTransposed(b[j], tw + outerPlace<BN>(kk + lane % 16, n / 8 + lane / 16));
      }
#pragma unroll
      for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int j = 0; j < NI; ++j) multiplyAdd(acc[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
  copyAsyncWait<0>();

  const bool split = g.splits > 1;
#pragma unroll
  for (int i = 0; i < MI; ++i)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = m0 + wm + i * 16 + h * 8 + lane / 4;
      if (row >= g.m) continue;
#pragma unroll
      for (int j = 0; j < NI; ++j) {
        const int col = n0 + wn + j * 8 + lane % 4 * 2;
        if (col >= g.n) continue;
        const bool both = col + 1 < g.n;
        float v[2] = {acc[i][j][h * 2], acc[i][j][h * 2 + 1]};
        if (split) {
          float* y = static_cast<float*>(g.y) + (static_cast<long>(blockIdx.z) * g.m + row) * g.n + col;
          y[0] = v[0];
          if (both) y[1] = v[1];
          continue;
        }
        if (g.bias) {
          v[0] += g.bias[col];
          if (both) v[1] += g.bias[col + 1];
        }
        if (g.residual) {
          const float* r = g.residual + row * g.ldr + col;
          v[0] += r[0];
          if (both) v[1] += r[1];
        }
        if (g.floats) {
          float* y = static_cast<float*>(g.y) + row * g.ldy + col;
          if (both) *reinterpret_cast<float2*>(y) = make_float2(v[0], v[1]);
          else y[0] = v[0];
        } else {
          Bf16* y = static_cast<Bf16*>(g.y) + row * g.ldy + col;
          if (both) *reinterpret_cast<uint32_t*>(y) = pack2(v[0], v[1]);
          else put(y[0], v[0]);
        }
      }
    }
}

template <Product product, Format format, int BM, int BN>
void start(const Stream& stream, const GemmArgs& g) {
  const unsigned tiles = static_cast<unsigned>(((g.m + BM - 1) / BM) * ((g.n + BN - 1) / BN));
  launch(multiply<product, format, BM, BN>, dim3(tiles, 1, static_cast<unsigned>(g.splits)), dim3(kThreads), Plan<product, format, BM, BN>::bytes, stream.get(), g);
}

/// Few rows or columns waste most of a large tile.
bool narrow(const GemmArgs& g) { return g.m <= 64 || g.n <= 64; }

template <Product product>
void byFormat(const Stream& stream, Format format, const GemmArgs& g) {
  if (format == Format::Int8) start<product, Format::Int8, 128, 128>(stream, g);
  else if (format == Format::Nf4) start<product, Format::Nf4, 128, 128>(stream, g);
  else if (narrow(g)) start<product, Format::Bf16, 64, 64>(stream, g);
  else start<product, Format::Bf16, 128, 128>(stream, g);
}

}  // namespace

void gemmMma(const Stream& stream, Product product, Format format, const GemmArgs& g) {
  if (product == Product::Forward) byFormat<Product::Forward>(stream, format, g);
  else if (product == Product::Gradient) byFormat<Product::Gradient>(stream, format, g);
  else start<Product::Outer, Format::Bf16, 64, 64>(stream, g);
}

}  // namespace cuda
}  // namespace hindsight
