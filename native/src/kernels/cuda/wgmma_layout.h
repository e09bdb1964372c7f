// Where the bulk copy engine puts a tile, and how a wgmma descriptor says so. Pure arithmetic, because no
// machine without compute capability 9.0 can run the kernel: pure.cpp checks that both name the same bytes.
//
// A tile row is 128 bytes (64 bf16); the 16-byte chunks of a row are turned by its number modulo 8
// (SWIZZLE_128B), on both sides as a function of the address: bits 4-6 are xored with bits 7-9.
#pragma once
#include "kernels/cuda/lanes.h"

namespace hindsight {
namespace cuda {

/// Summed elements of a tile, one 128-byte row of bf16.
constexpr int kWgmmaStep = 64;
constexpr uint32_t kTileRowBytes = 128;
/// Bytes of 64 x 64 elements: one box of a gradient's W.
constexpr uint32_t kBoxBytes = 64 * kTileRowBytes;

/// The byte of shared memory that holds byte `offset` of an unswizzled tile.
__host__ __device__ inline uint32_t swizzled(uint32_t offset) { return offset ^ (offset >> 7 & 7) << 4; }

/// PTX ISA, "Matrix Descriptor Format": address, leading and stride byte offsets in 16-byte units,
/// 128-byte swizzling. Summed index inside (K-major): stride = bytes from 8 rows to the next 8, leading is
/// not used. Summed index outside (MN-major): leading = bytes from 64 outputs to the next 64, stride =
/// bytes from 8 summed elements to the next 8.
__host__ __device__ inline uint64_t matrixDescriptor(uint32_t address, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>(address >> 4 & 0x3fff) | static_cast<uint64_t>(leading >> 4 & 0x3fff) << 16 | static_cast<uint64_t>(stride >> 4 & 0x3fff) << 32 | uint64_t{1} << 62;
}
/// Start of the 16 summed elements `k` (a multiple of 16) within a tile.
__host__ __device__ inline uint32_t innerAdvance(int k) { return static_cast<uint32_t>(k) * 2; }
__host__ __device__ inline uint32_t outerAdvance(int k) { return static_cast<uint32_t>(k) * kTileRowBytes; }

}  // namespace cuda
}  // namespace hindsight
