// Decisions and addresses that need no device: the memory plan, and what wgmma's descriptors name.
#include "pure.h"

#include <cstdio>
#include <cstring>
#include <string>

#include "kernels/cuda/wgmma_layout.h"
#include "model/cuda/plan.h"

using namespace hindsight;
using namespace hindsight::cuda;

namespace {

int checks = 0, failures = 0;

void expect(const std::string& what, bool holds, const std::string& saw = "") {
  ++checks;
  if (!holds) ++failures;
  std::printf("{\"op\":\"%s\",\"pass\":%s,\"saw\":\"%s\"}\n", what.c_str(), holds ? "true" : "false", saw.c_str());
}

constexpr size_t kGigabyte = 1000000000;

MemoryPlan planOf(const std::string& shape, DeviceFormat format, size_t bytes, int tokens = 2048) {
  DeviceOptions options;
  options.format = format;
  options.trainTokens = tokens;
  options.servedAdapters = 1;
  options.trainedAdapters = 1;
  options.cacheBytes = size_t{256} << 20;
  return planMemory(namedConfig(shape), options, {bytes, 132});
}

void plans() {
  const MemoryPlan nf4 = planOf("7b", DeviceFormat::Nf4, 8 * kGigabyte);
  expect("7b with an nf4 base trains at 2048 tokens within 8 GB", nf4.fits && nf4.checkpoint && nf4.total <= 8 * kGigabyte, nf4.sentence);
  const MemoryPlan picked = planOf("7b", DeviceFormat::Auto, 8 * kGigabyte);
  expect("8 GB: the plan picks nf4 for 7b by itself", picked.fits && picked.linears == DeviceFormat::Nf4 && picked.checkpoint, picked.sentence);
  const MemoryPlan large = planOf("7b", DeviceFormat::Auto, 80 * kGigabyte);
  expect("80 GB: 7b stays bf16 and keeps its activations", large.fits && large.linears == DeviceFormat::Bf16 && !large.checkpoint, large.sentence);
  const MemoryPlan middle = planOf("7b", DeviceFormat::Auto, 20 * kGigabyte);
  expect("20 GB: 7b stays bf16 by checkpointing", middle.fits && middle.linears == DeviceFormat::Bf16 && middle.checkpoint, middle.sentence);
  const MemoryPlan small = planOf("7b", DeviceFormat::Auto, 4 * kGigabyte);
  expect("4 GB: 7b is refused with a remedy", !small.fits && small.sentence.find("choose a smaller model") != std::string::npos, small.sentence);
  // More memory never gives a plan that keeps less.
  const auto rank = [](const MemoryPlan& p) { return !p.fits ? 9 : (p.linears == DeviceFormat::Bf16 ? 0 : p.linears == DeviceFormat::Int8 ? 2 : 4) + (p.checkpoint ? 1 : 0); };
  bool ordered = true, counted = true;
  for (const char* shape : {"135m", "0.5b", "1.5b", "7b"}) {
    int last = 9;
    for (size_t bytes = kGigabyte; bytes <= 90 * kGigabyte; bytes += kGigabyte) {
      const MemoryPlan p = planOf(shape, DeviceFormat::Auto, bytes);
      ordered = ordered && rank(p) <= last;
      counted = counted && (!p.fits || p.total <= bytes) && p.total == p.weights + p.adapters + p.training + p.serving + p.cache + p.reserve;
      last = rank(p);
    }
  }
  expect("more memory never makes a plan worse", ordered);
  expect("a plan that fits stays within its budget, and its parts add up", counted);
}

/// The byte of a tile that a descriptor names for (output, summed element), by the canonical layouts of
/// 128-byte swizzling (PTX ISA, "Strides" and "Canonical layouts").
uint32_t named(uint64_t descriptor, bool inner, int output, int summed) {
  const uint32_t start = static_cast<uint32_t>(descriptor & 0x3fff) << 4, leading = static_cast<uint32_t>(descriptor >> 16 & 0x3fff) << 4, stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4;
  uint32_t at = start;
  if (inner) at += output / 8 * stride + output % 8 * kTileRowBytes + static_cast<uint32_t>(summed) * 2;
  else at += output / 64 * leading + summed / 8 * stride + summed % 8 * kTileRowBytes + output % 64 * 2;
  return swizzled(at);
}
/// Where the copy engine put element (row, column) of a box of 64 columns that begins at `box`.
uint32_t written(uint32_t box, int row, int column) { return box + swizzled(static_cast<uint32_t>(row) * kTileRowBytes + static_cast<uint32_t>(column) * 2); }

void descriptors() {
  bool forward = true, gradient = true, small = true;
  for (int k = 0; k < kWgmmaStep; k += 16)
    for (int summed = 0; summed < 16; ++summed)
      for (int output = 0; output < 128; ++output) {
        forward = forward && named(matrixDescriptor(0x8000 + innerAdvance(k), 16, 8 * kTileRowBytes), true, output, summed) == written(0x8000, output, k + summed);
        gradient = gradient && named(matrixDescriptor(0x8000 + outerAdvance(k), kBoxBytes, 8 * kTileRowBytes), false, output, summed) == written(0x8000 + output / 64 * kBoxBytes, k + summed, output % 64);
      }
  for (const uint32_t address : {0u, 1024u, 0x38000u - 1024u}) small = small && (matrixDescriptor(address, 16, 1024) & 0x3fff) << 4 == address && matrixDescriptor(address, 16, 1024) >> 62 == 1;
  expect("wgmma reads forward's tiles where the copy engine wrote them", forward);
  expect("wgmma reads a gradient's W where the copy engine wrote it", gradient);
  expect("every address of shared memory fits a descriptor", small);
  bool turned = true;  // one column of 16-byte chunks over 8 rows lies in 8 different bank groups
  for (int chunk = 0; chunk < 8; ++chunk) {
    unsigned seen = 0;
    for (int row = 0; row < 8; ++row) seen |= 1u << (swizzled(static_cast<uint32_t>(row) * kTileRowBytes + static_cast<uint32_t>(chunk) * 16) / 16 % 8);
    turned = turned && seen == 0xff;
  }
  expect("swizzling spreads a column over all banks", turned);
}

}  // namespace

int pureFailures(int& count) {
  plans();
  descriptors();
  count = checks;
  return failures;
}
